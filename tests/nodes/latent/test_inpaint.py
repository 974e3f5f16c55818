"""Inpainting, masked image to image and the hires fix on the embedded model: what changes and what stays."""

from __future__ import annotations

from typing import Any

import numpy as np
from PIL import Image as pillow

from engine.document.graph import Literal
from engine.session import Session
from engine.sources import source
from tests.nodes.conftest import GRAPHS, output
from tests.nodes.sd.tiny.judge import look

STAR, HALF = (GRAPHS / "pictures" / name for name in ("green-star.png", "right-half.png"))


def before() -> np.ndarray:
    with pillow.open(STAR) as picture:
        return np.asarray(picture.convert("RGB"))


def drawn(session: Session, graph: str, **values: Any) -> np.ndarray:
    found: np.ndarray = output(session.run(source.load(GRAPHS / graph), values)).pixels[0]
    return found


def roundness(picture: np.ndarray) -> float:
    """The area of the red shape as a share of the circle about its centre that reaches its farthest point."""
    red = (picture[..., 0] > 150) & (picture[..., 1] < 120)
    rows, columns = np.nonzero(red)
    radius = np.hypot(rows - rows.mean(), columns - columns.mean()).max()
    return float(red.sum() / (np.pi * radius**2))


def test_inpainting_changes_only_the_masked_part(session: Session) -> None:
    found = drawn(session, "inpaint.json", image=str(STAR))
    seen = look(pillow.fromarray(found))
    assert (seen.colour, seen.shape, seen.background) == ("red", "circle", "white")
    corner = np.s_[:30, :30]
    np.testing.assert_array_equal(found[corner], before()[corner])
    assert np.abs(found.astype(int) - before()).max(2)[40:90, 40:90].mean() > 60


def test_without_composite_the_unmasked_part_changes_only_by_the_vae(session: Session) -> None:
    graph = source.load(GRAPHS / "masked_image_to_image.json")
    graph.outputs["image"] = graph.nodes["result"].inputs["top"]  # type: ignore[assignment]
    values = {"image": str(STAR), "mask": str(HALF)}
    found = output(session.run(graph, values)).pixels[0].astype(int)
    difference = np.abs(found - before()).max(2)
    assert difference[:, :48].mean() < 6
    assert difference[40:80, 70:90].mean() > 60
    blue = found[56:70, 72:80].mean((0, 1))
    assert blue[2] > blue[1] + 40, "the right half of the star is blue now"


def test_comfyui_s_way_of_masking_keeps_the_rest_as_well(session: Session) -> None:
    graph = source.load(GRAPHS / "masked_image_to_image.json")
    graph.nodes["denoise"].inputs["follow"] = Literal("comfyui")
    graph.outputs["image"] = graph.nodes["result"].inputs["top"]  # type: ignore[assignment]
    found = output(session.run(graph, {"image": str(STAR), "mask": str(HALF), "steps": 8})).pixels[0]
    assert np.abs(found.astype(int) - before()).max(2)[:, :48].mean() < 6


def test_the_hires_fix_keeps_what_the_first_pass_drew(session: Session) -> None:
    found = drawn(session, "hires_fix.json", steps=10)
    assert found.shape == (192, 192, 3)
    small = pillow.fromarray(found).resize((128, 128))
    seen = look(small)
    assert (seen.colour, seen.shape, seen.background) == ("red", "circle", "yellow")
    assert roundness(found) > 0.9
