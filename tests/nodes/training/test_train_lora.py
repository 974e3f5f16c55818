"""TrainLoRA and SaveLoRA: what they learn and write, that training resumes to the same bits, and refusals."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from pathlib import Path
from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as pillow
from safetensors import safe_open
from safetensors.torch import load, load_file

from engine.document.graph import Entry, From, Graph, Literal
from engine.session import Session
from engine.step_requests import Requests
from engine.testing import run_node
from nodes.files.patch_files import LORAS
from nodes.model.load import LoadModel
from nodes.model.lora import ApplyLoRA
from nodes.model.save_lora import SaveLoRA
from nodes.sd.lora.file import Lora, match, read
from nodes.sd.lora.keys import Target, key_map
from nodes.sd.lora.lora_value import LoRA
from nodes.sd.lora.stack import module_shapes
from nodes.sd.lora.written import as_kohya
from nodes.values import Model, TextEncoder
from tests.nodes.conftest import output, ran, warnings
from tests.nodes.sd.families.small import small_model
from tests.nodes.training.test_train_ti import Watcher

SMALL: dict[str, Any] = {
    "name": "ink",
    "width": 32,
    "height": 32,
    "sample_every": 0,
    "batch": 2,
    "rank": 2,
    "alpha": 2.0,
    "rate": "0.01",
    "patterns": "up_blocks.3.attentions.2.*.to_?",
}
"""Latents of 4 x 4, and a LoRA of six layers."""


@pytest.fixture(scope="module")
def pictures(tmp_path_factory: pytest.TempPathFactory) -> Path:
    """Four pictures of a square, with captions."""
    folder = tmp_path_factory.mktemp("squares")
    for number, colour in enumerate(("red", "blue", "green", "white")):
        pixels = np.full((32, 32, 3), (40, 75, 210), np.uint8)
        pixels[6 + number : 22 + number, 8:24] = (220, 40, 40 * number)
        pillow.fromarray(pixels).save(folder / f"{number}-a {colour} square.png")
    return folder


def graph(pictures: Path, **inputs: Any) -> Graph:
    """A graph that trains a LoRA named `ink`."""
    wired = {part: From("model", part) for part in ("model", "encoder", "vae")}
    given = {key: Literal(value) for key, value in {**SMALL, **inputs}.items()}
    return Graph(
        nodes={
            "model": Entry("LoadModel@1", {}),
            "data": Entry("LoadDataset@2", {"folder": Literal(str(pictures))}),
            "train": Entry("TrainLoRA@1", {**wired, "dataset": From("data", "out"), **given}),
        },
        outputs={name: From("train", name) for name in ("lora", "report")},
    )


def trained(session: Session, work: Graph, watcher: Watcher | None = None) -> LoRA:
    found = output(session.run(work, emit=watcher or Watcher()), "lora")
    assert isinstance(found, LoRA)
    return found


@pytest.fixture(scope="module")
def made(tmp_path_factory: pytest.TempPathFactory, pictures: Path) -> LoRA:
    """A LoRA of the UNet and the text encoder, after two steps."""
    from engine.testing import open_session

    with open_session(tmp_path_factory.mktemp("made")) as session:
        more = {"text_rate": "0.02", "trigger": "ink style", "license": "CC0"}
        patterns = f"{SMALL['patterns']}, encoder.layers.0.self_attn.*_proj"
        return trained(session, graph(pictures, steps=2, patterns=patterns, **more))


def matched(lora: Lora, networks: Mapping[Any, Any]) -> dict[Target, torch.Tensor]:
    """The change of each layer of some networks, without the weights that it is added to."""
    shapes = {
        part: module_shapes({name: tuple(tensor.shape) for name, tensor in network.named_parameters()})
        for part, network in networks.items()
    }
    known = {Target(part, name): shape for part, own in shapes.items() for name, shape in own.items()}
    found = match(lora, key_map(shapes), known, "test")
    assert not found.unmatched
    return {
        target: one.delta(networks[target.part].get_submodule(target.module).weight)
        for target, one in found.targets.items()
    }


def test_the_trained_lora_changes_both_networks_as_its_file_does(
    session: Session, home: Path, made: LoRA
) -> None:
    parts = run_node(session, LoadModel())
    model, encoder = parts["model"], parts["encoder"]
    assert isinstance(model, Model)
    assert isinstance(encoder, TextEncoder)
    applied = run_node(session, ApplyLoRA(model=model, encoder=encoder, trained=made, weight=0.5))
    saved = run_node(session, SaveLoRA(lora=made))["out"]
    place = home / "models" / LORAS / "ink.safetensors"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(Path(str(saved)).read_bytes())
    from_file = run_node(session, ApplyLoRA(model=model, encoder=encoder, lora="ink", weight=0.5))
    for name in ("model", "encoder"):
        recipes: list[Any] = [applied[name], from_file[name], parts[name]]
        ours, file, plain_recipe = recipes
        again = type(ours).unpack(ours.pack().meta, {part.name: part.data for part in ours.pack().parts})
        weights = [recipe.exact(session.files) for recipe in (ours, file, again, plain_recipe)]
        if name == "encoder":
            weights = [loaded[0].encoder for loaded in weights]
        first, second, third, plain = (dict(network.named_parameters()) for network in weights)
        assert all(torch.equal(first[key], second[key]) for key in first)
        assert all(torch.equal(first[key], third[key]) for key in first)
        changed = [key for key in first if not torch.equal(first[key], plain[key])]
        assert len(changed) == (6 if name == "model" else 4)


def test_the_saved_file_has_the_names_and_the_metadata_of_kohya(session: Session, made: LoRA) -> None:
    path = Path(str(run_node(session, SaveLoRA(lora=made, precision="float16"))["out"]))
    assert (path.parent.name, path.name) == ("loras", "ink.safetensors")
    tensors = load_file(path)
    prefix = "lora_unet_up_blocks_3_attentions_2_transformer_blocks_0_attn1_to_q"
    assert {f"{prefix}.{part}" for part in ("lora_up.weight", "lora_down.weight", "alpha")} <= tensors.keys()
    assert "lora_te_text_model_encoder_layers_0_self_attn_q_proj.lora_up.weight" in tensors
    assert {tensor.dtype for tensor in tensors.values()} == {torch.float16}
    with safe_open(path, "pt") as file:
        metadata = file.metadata()
    expected = {
        "ss_output_name": "ink",
        "ss_network_module": "networks.lora",
        "ss_network_dim": "2",
        "ss_base_model_version": "sd_v1",
        "ss_num_train_images": "4",
        "modelspec.architecture": "stable-diffusion-v1/lora",
        "modelspec.trigger_phrase": "ink style",
        "safelight.license": "CC0",
    }
    assert {key: metadata[key] for key in expected} == expected
    assert json.loads(metadata["ss_tag_frequency"])["ink"]["a red square"] == 1
    assert len(metadata["sshs_model_hash"]) == 64


@pytest.mark.filterwarnings("ignore")  # peft's and diffusers' own
@pytest.mark.parametrize("dora", [False, True])
def test_diffusers_reads_peft_files_as_applylora_does(
    session: Session, pictures: Path, made: LoRA, dora: bool, pipeline: Callable[..., Any]
) -> None:
    pytest.importorskip("peft")
    import copy

    from diffusers import DDIMScheduler

    lora = trained(session, graph(pictures, steps=2, dora=True)) if dora else made
    path = Path(str(run_node(session, SaveLoRA(lora=lora, format="peft"))["out"]))
    theirs = pipeline(DDIMScheduler)
    unet, encoder = copy.deepcopy(theirs.unet), copy.deepcopy(theirs.text_encoder)
    theirs.unet, theirs.text_encoder = copy.deepcopy(unet), copy.deepcopy(encoder)
    theirs.load_lora_weights(str(path.parent), weight_name=path.name)
    theirs.fuse_lora()
    networks = {"unet": unet, "text_encoder": encoder}
    changes = matched(read(path), networks)
    assert len(changes) == (6 if dora else 10)
    for target, change in changes.items():
        layer = getattr(theirs, target.part).get_submodule(target.module)
        weight = networks[target.part].get_submodule(target.module).weight
        assert torch.allclose(getattr(layer, "base_layer", layer).weight, weight + change, atol=1e-5), target
        assert float(change.abs().max()) > 1e-4


@pytest.mark.parametrize("kind", ["lora", "loha"])
def test_stopped_and_run_again_it_gives_the_same_bits(
    open_session: Callable[..., Session], pictures: Path, tmp_path: Path, kind: str
) -> None:
    more = {"kind": kind, "dropout": 0.3, "drop_captions": 0.3, "dora": kind == "loha"}
    work = graph(pictures, steps=5, checkpoint_every=1, **more)
    whole = trained(open_session(tmp_path / "whole"), work)
    session, requests = open_session(), Requests()
    first = Watcher(lambda step: requests.ask("train", "stop") if step == 2 else None)
    assert session.run(work, emit=first, requests=requests).state == "cancelled"
    (copy,) = first.published(".safetensors").values()
    at_the_stop = load_file(copy)
    second = Watcher()
    assert trained(open_session(), work, second).pack() == whole.pack()
    assert first.steps + second.steps == [1, 2, 3, 4, 5]
    assert ran(open_session().run(work)) == set()
    shorter = trained(session, graph(pictures, steps=len(first.steps), **more))
    wanted = load(as_kohya(shorter))
    assert at_the_stop.keys() == wanted.keys()
    assert all(torch.equal(at_the_stop[name], tensor) for name, tensor in wanted.items())


def test_training_lowers_the_loss_and_may_continue_from_a_file(
    session: Session, home: Path, pictures: Path
) -> None:
    work = graph(pictures, steps=8, copy_every=8, validate_every=8, rate="0.03")
    work.nodes["train"].inputs["validation"] = From("data", "out")
    watcher = Watcher()
    lora = trained(session, work, watcher)
    losses = [row["validation_loss"] for row in watcher.rows if "validation_loss" in row]
    assert losses[-1] is not None
    assert losses[0] is not None
    assert losses[-1] < 0.97 * losses[0]
    (copied,) = watcher.published(".safetensors").values()
    place = home / "models" / LORAS / "first.safetensors"
    place.parent.mkdir(parents=True, exist_ok=True)
    place.write_bytes(copied.read_bytes())
    again = trained(session, graph(pictures, steps=0, initial="first", rank=7))
    assert again.tensors.keys() == lora.tensors.keys()
    assert all(torch.equal(again.tensors[key], lora.tensors[key]) for key in lora.tensors)


@pytest.mark.parametrize(
    ("inputs", "input", "code"),
    [
        ({"patterns": "nothing.*"}, "patterns", "no_targets"),
        ({"rank": 300}, "rank", "rank_too_large"),
        ({"rate": "1e9", "steps": 3}, "rate", "diverged"),
        ({"optimizer": "prodigy", "text_rate": "0.5"}, "text_rate", "one_rate"),
    ],
)
def test_invalid_trainings_are_refused(
    session: Session, pictures: Path, inputs: dict[str, Any], input: str, code: str
) -> None:
    problem = session.run(graph(pictures, **{"steps": 1, **inputs})).nodes["train"].problem
    assert problem is not None
    assert (problem.input, problem.code) == (input, code)


def test_missing_captions_are_named_before_training_starts(session: Session, tmp_path: Path) -> None:
    for name in ("1", "2", "a cat"):
        pillow.new("RGB", (32, 32), "red").save(tmp_path / f"{name}.png")
    watcher = Watcher()
    problem = session.run(graph(tmp_path, steps=1), emit=watcher).nodes["train"].problem
    assert problem is not None
    assert (problem.input, problem.code) == ("dataset", "missing_captions")
    assert "1.png, 2.png" in problem.message
    assert watcher.steps == []


def test_equal_captions_and_few_pictures_are_warned_about(session: Session, tmp_path: Path) -> None:
    for number in range(2):
        pillow.new("RGB", (32, 32), "red").save(tmp_path / f"{number}-a cat.png")
    watcher = Watcher()
    session.run(graph(tmp_path, steps=0), emit=watcher)
    told = warnings(watcher.events)
    assert len([text for text in told if "caption" in text or "usual" in text]) == 2
    assert any("`steps` is 0" in text for text in told)


def test_a_pattern_that_matches_nothing_is_warned_about(session: Session, pictures: Path) -> None:
    watcher = Watcher()
    patterns = f"{SMALL['patterns']}, nothing.*"
    assert session.run(graph(pictures, steps=0, patterns=patterns), emit=watcher).state == "done"
    assert ["nothing.*" in text for text in warnings(watcher.events) if "pattern" in text] == [True]


def test_sdxl_files_have_the_names_of_its_original_code(session: Session, home: Path, pictures: Path) -> None:
    place = home / "models" / "checkpoints" / "small.safetensors"
    place.parent.mkdir(parents=True)
    small_model("sdxl").save_file(place)
    work = graph(pictures, steps=1, text_rate="0.01", patterns="", rank=2)
    work.nodes["model"].inputs["model"] = Literal("small.safetensors")
    lora = trained(session, work)
    path = Path(str(run_node(session, SaveLoRA(lora=lora))["out"]))
    keys = load_file(path).keys()
    assert {key.split("_")[1] for key in keys} == {"unet", "te1", "te2"}
    assert any(key.startswith("lora_unet_input_blocks_") for key in keys)
    assert not any("down_blocks" in key for key in keys)
    parts = run_node(session, LoadModel(model="small.safetensors"))
    model = parts["model"]
    assert isinstance(model, Model)
    matches = matched(
        read(path),
        {"unet": model.exact(session.files)}
        | {
            one.role.component: one.encoder
            for one in parts["encoder"].exact(session.files)  # type: ignore[attr-defined]
        },
    )
    assert 3 * len(matches) == len(keys)
