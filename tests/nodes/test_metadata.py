"""The `parameters` text, read back with the rules by which A1111 reads it, and by our own importer."""

from __future__ import annotations

import json
import re
import shutil
from pathlib import Path
from typing import Any, get_args

import pytest
import torch
from PIL import Image as pillow
from safetensors.torch import save_file

from engine import png
from engine.cli import main
from engine.registry import Made
from nodes.importing import infotext
from nodes.importing.a1111 import CHUNK
from nodes.importing.names import A1111_SAMPLERS, A1111_SCHEDULES
from nodes.metadata import annotate
from nodes.sd.names import SamplerName, ScheduleName
from tests.nodes.conftest import GRAPHS

FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')
DIGEST = "0123456789abcdef" * 4


def made(
    node_type: str, links: dict[str, str] | None = None, meta: dict[str, Any] | None = None, **inputs: object
) -> Made:
    return Made(node_type, inputs, links or {}, meta or {})  # type: ignore[arg-type]


STEPS = {
    "model": made("LoadModel", meta={"model": {"name": "dream, v2", "digest": DIGEST}}, model="dream, v2"),
    "positive": made("EncodePrompt", {"encoder": "model"}, prompt="a mug\non a desk", clip_skip=2),
    "negative": made("EncodePrompt", {"encoder": "model"}, prompt="blurry", clip_skip=1),
    "canvas": made("EmptyLatent", width=512, height=768, batch=2),
    "denoise": made(
        "Denoise",
        {"model": "model", "positive": "positive", "negative": "negative", "latent": "canvas"},
        seed=40,
        steps=20,
        guidance=7.0,
        rescale=0.0,
        sampler="euler_ancestral",
        schedule="karras",
        strength=1.0,
    ),
    "decode": made("Decode", {"vae": "model", "latent": "denoise"}, tiled=False),
}


def fields(steps: dict[str, Made]) -> dict[str, str]:
    """The fields by A1111's own pattern, without their quotes."""
    last = annotate(steps, "decode", 0)[CHUNK].split("\n")[-1]
    return {name: json.loads(value) if value[:1] == '"' else value for name, value in FIELD.findall(last)}


def with_changes(steps: dict[str, Made], **changed: Made) -> dict[str, Made]:
    return {**steps, **changed}


def test_a1111_reads_every_field_back() -> None:
    text = annotate(STEPS, "decode", 1)[CHUNK]
    *prompt, last = text.split("\n")
    assert prompt == ["a mug", "on a desk", "Negative prompt: blurry"]
    found = dict(FIELD.findall(last))
    version = found.pop("Version")
    assert found == {
        "Steps": "20",
        "Sampler": "Euler a",
        "Schedule type": "Karras",
        "CFG scale": "7",
        "Seed": "41",
        "Size": "512x768",
        "Model hash": "0123456789",
        "Model": '"dream, v2"',
        "Clip skip": "2",
        "RNG": "CPU",
    }
    assert version.startswith("Safelight ")


def test_every_sampler_and_schedule_has_its_name() -> None:
    assert set(A1111_SAMPLERS) == set(get_args(SamplerName))
    assert set(A1111_SCHEDULES) == set(get_args(ScheduleName))


def test_a_picture_that_was_only_loaded_has_no_parameters() -> None:
    assert annotate({"load": made("LoadImage", image="a.png")}, "load", 0) == {}


def test_loras_are_tags_of_the_prompt_and_have_hashes() -> None:
    def patch(name: str, digest: str) -> dict[str, Any]:
        return {
            "lora": {"source": {"name": name, "digest": digest}, "weight": 1, "blocks": [], "ranks": None}
        }

    meta = {
        "model": {
            "digest": DIGEST,
            "patches": [patch("sub/ink.safetensors", "a" * 64), patch("b.pt", "b" * 64)],
        }
    }
    rows = [
        {"lora": "b.pt", "weight": 0.5, "encoder_weight": 0.25},
        {"lora": "c", "weight": 1.0, "on": False},
    ]
    applied = made(
        "ApplyLoRA",
        {"model": "model", "encoder": "model"},
        meta,
        lora="sub/ink.safetensors",
        weight=0.75,
        encoder_weight=None,
        on=True,
        more=rows,
    )
    denoise = STEPS["denoise"]
    wired = Made("Denoise", denoise.inputs, {**denoise.links, "model": "lora"}, {})
    steps = with_changes(STEPS, lora=applied, denoise=wired)
    text = annotate(steps, "decode", 0)[CHUNK]
    assert text.startswith("a mug\non a desk <lora:ink:0.75> <lora:b:0.25:0.5>\nNegative prompt")
    assert fields(steps)["Lora hashes"] == f"ink: {'a' * 12}, b: {'b' * 12}"
    assert fields(steps)["Model hash"] == "0123456789"


def test_tags_of_a_prompt_are_written_once() -> None:
    tagged = made("ApplyTags", {"model": "model", "encoder": "model"}, prompt="a mug <lora:ink:0.5> here")
    positive = made("EncodePrompt", {"encoder": "tags", "prompt": "tags"}, clip_skip=1)
    denoise = STEPS["denoise"]
    wired = Made("Denoise", denoise.inputs, {**denoise.links, "model": "tags"}, {})
    text = annotate(with_changes(STEPS, tags=tagged, positive=positive, denoise=wired), "decode", 0)[CHUNK]
    assert text.split("\n")[0] == "a mug  here <lora:ink:0.5>"


def test_embeddings_that_stand_in_a_prompt_have_hashes() -> None:
    files = [
        {"given": "", "root": 0, "name": "sub/easy, neg.pt", "digest": "e" * 64},
        {"given": "/home/x/one.pt", "root": 0, "name": "", "digest": "f" * 64},
        {"given": "", "root": 0, "name": "unused.pt", "digest": "0" * 64},
    ]
    loaded = made(
        "LoadEmbeddings", {"encoder": "model"}, {"out": {"embeddings": {"files": files, "made": []}}}
    )
    places = [
        {"text": "a", "trigger": ""},
        {"text": "x", "trigger": "sub/easy, neg.pt"},
        {"trigger": "one.pt: <a>"},
    ]
    negative = made("EncodePrompt", {"encoder": "words"}, {"tokens": places}, prompt="x", clip_skip=1)
    found = fields(with_changes(STEPS, words=loaded, negative=negative))
    assert found["TI hashes"] == f"easy neg: {'e' * 12}, one: {'f' * 12}"


def test_what_is_said_only_where_it_is_unusual() -> None:
    positive = made(
        "EncodePrompt", {"encoder": "model"}, prompt="a", dialect="compel", emphasis="no_norm", clip_skip=1
    )
    denoise = STEPS["denoise"]
    changed = Made("Denoise", {**denoise.inputs, "rescale": 0.7, "strength": 0.5}, denoise.links, {})
    found = fields(with_changes(STEPS, positive=positive, denoise=changed))
    assert (found["Emphasis"], found["Dialect"], found["CFG Rescale phi"]) == ("No norm", "compel", "0.7")
    assert found["Denoising strength"] == "0.5"
    assert "Clip skip" not in found
    assert not {"Emphasis", "Dialect", "CFG Rescale phi", "Denoising strength"} & fields(STEPS).keys()


def test_a_size_that_is_not_known_is_not_said() -> None:
    assert "Size" not in fields(with_changes(STEPS, canvas=made("EmptyLatent", {"width": "x"}, height=8)))


def stacked() -> dict[str, Any]:
    """The first example, with a LoRA and the user's embeddings between its model and the rest."""
    tree: dict[str, Any] = json.loads((GRAPHS / "text_to_image.json").read_text())
    nodes = tree["nodes"]
    model, encoder = {"from": "model.model"}, {"from": "model.encoder"}
    nodes["lora"] = {
        "type": "ApplyLoRA@1",
        "inputs": {"model": model, "encoder": encoder, "lora": "red-to-blue.safetensors", "weight": 0.9},
    }
    nodes["words"] = {"type": "LoadEmbeddings@1", "inputs": {"encoder": {"from": "lora.encoder"}}}
    for name in ("positive", "negative"):
        nodes[name]["inputs"] |= {"encoder": {"from": "words.out"}, "clip_skip": 2}
    nodes["denoise"]["inputs"] |= {
        "model": {"from": "lora.model"},
        "sampler": "euler_ancestral",
        "schedule": "normal",
    }
    nodes["denoise"]["inputs"]["rescale"] = 0.3
    tree.pop("layout", None)
    return tree


def test_our_text_makes_the_same_graph_and_the_same_picture(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    home = tmp_path / "home"
    monkeypatch.setenv("SAFELIGHT_HOME", str(home))
    for kind in ("loras", "embeddings"):
        (home / "models" / kind).mkdir(parents=True)
    shutil.copy(GRAPHS / "loras" / "red-to-blue.safetensors", home / "models" / "loras")
    width = json.loads((GRAPHS.parent / "nodes/sd/tiny/weights/text_encoder/config.json").read_text())[
        "hidden_size"
    ]
    vectors = torch.full((2, width), 0.01)
    save_file({"emb_params": vectors}, home / "models" / "embeddings" / "zzstyle.safetensors")
    (tmp_path / "stacked.json").write_text(json.dumps(stacked()))

    def run(path: Path, *words: str) -> Path:
        capsys.readouterr()
        assert main(["run", str(path), "--quiet", "--out", str(tmp_path / "o"), *words]) == 0
        return Path(capsys.readouterr().out.strip())

    prompt = "a red circle, zzstyle on a (white:1.2) background"
    given = {"prompt": prompt, "negative": "zzstyle", "seed": "4077357776", "steps": "6", "guidance": "3.5"}
    first = run(
        tmp_path / "stacked.json", *(word for name, item in given.items() for word in (f"--{name}", item))
    )
    text = png.read_text(first.read_bytes())[CHUNK]
    said = infotext.parse(text)
    assert said.prompt == f"{prompt} <lora:red-to-blue:0.9>"
    assert infotext.hashes(said.fields["TI hashes"]).keys() == {"zzstyle"}
    (tmp_path / "text.txt").write_text(text)
    assert main(["import", str(tmp_path / "text.txt"), "--json"]) == 0
    answer = json.loads(capsys.readouterr().out)
    assert answer["problems"] == [], "everything is found again, the model by its hash"
    found = {name: item["default"] for name, item in answer["graph"]["inputs"].items()}
    assert found == {
        "prompt": prompt,
        "negative": "zzstyle",
        "model": "safelight-tiny",
        "width": 128,
        "height": 128,
        "seed": 4077357776,
        "steps": 6,
        "guidance": 3.5,
    }
    again = run(tmp_path / "text.txt")
    with pillow.open(first) as one, pillow.open(again) as other:
        assert one.tobytes() == other.tobytes()
