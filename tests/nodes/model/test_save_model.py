"""SaveModel: what is baked in is what was drawn with, and other tools load it."""

from __future__ import annotations

import shutil
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from diffusers import StableDiffusionPipeline
from safetensors import safe_open

from engine.devices.compute import ComputeSettings
from engine.document.graph import Entry, From, Graph, Literal
from engine.session import Session
from nodes.files.checkpoints import EMBEDDED, checkpoint
from nodes.values import Model, TextEncoder
from tests import matrix
from tests.nodes.conftest import output
from tests.nodes.model.test_lora import drawn, graph, problem, rand, small, text_lora
from tests.nodes.sd.tiny.parts import WEIGHTS

COMPUTE = ComputeSettings()


def saving(made: Graph, **inputs: Any) -> Graph:
    before = [name for name in made.nodes if name.startswith("lora")]
    last = before[-1] if before else "model"
    links = {"model": From(last, "model"), "encoder": From(last, "encoder"), "vae": From("model", "vae")}
    made.nodes["save"] = Entry(
        "SaveModel@1", {**links, **{key: Literal(value) for key, value in inputs.items()}}
    )
    return made


@pytest.fixture
def loras(home: Path) -> Path:
    folder = home / "models" / "loras"
    norm = {
        "lora_unet_conv_norm_out.w_norm": rand(1, 64) * 0.1,
        "lora_unet_conv_norm_out.b_norm": rand(2, 64) * 0.1,
    }
    small(folder, "both.safetensors", {**text_lora(), **norm})
    return folder


STACK = {"lora": "both", "weight": 0.8}


def test_a_saved_folder_draws_what_the_loras_drew(session: Session, home: Path, loras: Path) -> None:
    made = graph(STACK)
    wanted = drawn(session, made)
    report = session.run(saving(graph(STACK), path="merged", precision="float32"))
    assert report.state == "done", report
    (home / "models" / "checkpoints").mkdir(parents=True)
    shutil.move(home / "outputs" / "merged", home / "models" / "checkpoints" / "merged")
    plain = graph()
    plain.nodes["model"].inputs["model"] = Literal("merged")
    assert np.array_equal(drawn(session, plain), wanted)


@pytest.mark.filterwarnings("ignore")  # diffusers' own
def test_diffusers_loads_a_saved_file_with_the_patched_weights(
    session: Session, home: Path, loras: Path
) -> None:
    made = graph(STACK)
    made.outputs = {"model": From("lora0", "model"), "encoder": From("lora0", "encoder")}
    report = session.run(saving(made, path="merged", format="file", precision="float32"))
    recipes = {"unet": output(report, "model"), "text_encoder": output(report, "encoder")}
    file = home / "outputs" / "merged.safetensors"
    pipeline: Any = StableDiffusionPipeline.from_single_file(
        str(file), config=str(WEIGHTS), local_files_only=True, safety_checker=None
    )
    found = checkpoint(session.files, EMBEDDED)
    base = {"unet": Model(found), "text_encoder": TextEncoder(found)}
    for part, recipe in recipes.items():
        pair: list[Any] = [recipe, base[part]]
        loaded = [session.residency.use(one, COMPUTE, session.files) for one in pair]
        networks: list[Any] = [one[0].encoder if isinstance(one, tuple) else one for one in loaded]
        ours, plain = (network.state_dict() for network in networks)
        theirs = getattr(pipeline, part).state_dict()
        assert theirs.keys() - {"embeddings.position_ids"} == ours.keys() - {"embeddings.position_ids"}
        assert all(torch.equal(theirs[name], ours[name]) for name in theirs)
        assert any(not torch.equal(theirs[name], plain[name]) for name in theirs)
    from nodes.values import Vae

    vae = session.residency.use(Vae(found), COMPUTE, session.files).state_dict()
    assert all(torch.equal(tensor, vae[name]) for name, tensor in pipeline.vae.state_dict().items())
    with safe_open(file, framework="pt") as opened:
        assert opened.metadata()["modelspec.title"] == "merged"
        assert '"weight": 0.8' in opened.metadata()["safelight.loras"]
    matrix.record(
        "Models saved in one file", "SD 1 with LoRAs baked in", "diffusers' from_single_file", error=0.0
    )


def test_a_saved_file_is_not_replaced_unless_told(session: Session, home: Path, loras: Path) -> None:
    for kind, place in (
        ("folder", home / "outputs" / "kept"),
        ("file", home / "outputs" / "kept.safetensors"),
    ):
        first = session.run(saving(graph(), path="kept", format=kind))
        assert first.state == "done", first
        marks = {path: path.read_bytes()[-64:] for path in [place, *place.rglob("*")] if path.is_file()}
        report = session.run(saving(graph(STACK), path="kept", format=kind))
        assert report.nodes["save"].state == "failed"
        assert "exists already" in problem(report)
        assert {path: path.read_bytes()[-64:] for path in marks} == marks
        again = session.run(saving(graph(STACK), path="kept", format=kind, overwrite=True))
        assert again.state == "done"
    assert not list((home / "outputs").glob(".*"))


@pytest.mark.parametrize("path", ["../out", "/tmp/out", "~/out", ""])
def test_nothing_is_written_outside_the_outputs(session: Session, home: Path, path: str) -> None:
    report = session.run(saving(graph(), path=path))
    assert report.nodes["save"].state == "failed"
    assert not (home / "outputs").exists() or not any((home / "outputs").rglob("*.safetensors"))
