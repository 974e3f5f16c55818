"""Requests to A1111's API, made into graphs. How they draw is tested through a server."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest
import torch
from PIL import Image

from engine import settings
from engine.document.graph import From, Graph, Literal
from engine.session import Session
from nodes.files.checkpoints import EMBEDDED
from nodes.values import Latent
from tests.nodes.interchange.other_tools import codes, imported
from tests.nodes.sd.families.small import small_model

REQUEST: dict[str, Any] = {
    "init_images": ["picture.png"],
    "mask": "mask.png",
    "prompt": "a cat",
    "width": 64,
    "height": 128,
    "override_settings": {"sd_model_checkpoint": EMBEDDED},
}


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "inputs").mkdir()
    for name in ("picture.png", "mask.png"):
        Image.new("L", (100, 100), 255).save(tmp_path / "inputs" / name)
    return tmp_path


def made(home: Path, **changed: Any) -> Graph:
    """The graph of a request, which has no problem."""
    found = imported({"img2img": REQUEST | changed}, home)
    with Session(settings.load(home, device="cpu")) as session:
        assert session.check(found.graph).problems == []
    return found.graph


def literal(graph: Graph, node: str, input: str) -> Any:
    found = graph.nodes[node].inputs.get(input)
    return found.value if isinstance(found, Literal) else found


@pytest.mark.parametrize("whole", [True, False])
@pytest.mark.parametrize("mode", [0, 1, 2])
@pytest.mark.parametrize("more", [{}, {"mask_blur": 0, "inpainting_mask_invert": 1, "mask_round": False}])
def test_every_kind_of_mask_gives_a_graph_without_problems(
    home: Path, whole: bool, mode: int, more: dict[str, Any]
) -> None:
    graph = made(home, inpaint_full_res=not whole, resize_mode=mode, **more)
    assert ("part" in graph.nodes, "cover" in graph.nodes) == (not whole, whole)
    assert ("inverted" in graph.nodes, "soft" in graph.nodes, "masked" in graph.nodes) == (
        bool(more),
        not more,
        not more,
    )
    if not more:
        assert (literal(graph, "cells", "width"), literal(graph, "cells", "height")) == (8, 16)


@pytest.mark.parametrize(("fill", "content"), list(enumerate(["fill", "original", "noise", "nothing"])))
def test_the_masked_part_begins_as_asked(home: Path, fill: int, content: str) -> None:
    assert literal(made(home, inpainting_fill=fill), "encode", "content") == content


@pytest.mark.parametrize("channels", [4, 9])
def test_an_inpainting_model_also_sees_the_picture_around_the_mask(home: Path, channels: int) -> None:
    (home / "models" / "checkpoints").mkdir(parents=True)
    small_model("sd1", in_channels=channels).save_file(
        home / "models" / "checkpoints" / "painter.safetensors"
    )
    graph = made(home, override_settings={"sd_model_checkpoint": "painter.safetensors"})
    assert literal(graph, "encode", "for_inpainting_model") == (True if channels == 9 else None)


def test_resize_mode_3_resizes_the_latent_of_the_picture_as_torch_does(home: Path) -> None:
    Image.effect_noise((48, 64), 60).convert("RGB").save(home / "inputs" / "picture.png")
    graph = made(home, mask=None, resize_mode=3)
    graph.outputs = {"whole": From("encode", "out"), "resized": From("resize", "out")}
    assert graph.nodes["denoise"].inputs["latent"] == From("resize", "out")
    assert graph.nodes["encode"].inputs["image"] == From("picture", "out")
    with Session(settings.load(home, device="cpu")) as session:
        report = session.run(graph)
    whole, resized = report["whole"], report["resized"]
    assert isinstance(whole, Latent)
    assert isinstance(resized, Latent)
    assert (whole.samples.shape[2:], resized.samples.shape[2:]) == ((8, 6), (16, 8))
    # A1111 processing.py, StableDiffusionProcessingImg2Img.init with resize_mode 3
    expected = torch.nn.functional.interpolate(whole.samples, size=(128 // 8, 64 // 8), mode="bilinear")
    assert torch.equal(resized.samples, expected)


def test_the_part_around_a_mask_is_drawn_alike_in_every_resize_mode(home: Path) -> None:
    assert made(home, resize_mode=3) == made(home, resize_mode=0)


def test_a_missing_mask_is_named(home: Path) -> None:
    (home / "inputs" / "mask.png").unlink()
    found = imported({"img2img": REQUEST}, home)
    assert "missing_picture" in codes(found)
    assert found.graph.inputs["mask"].required
