"""What a node may return in place of an Image, and what it is told if that cannot be."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
import torch
from PIL import Image as pillow

from engine.context import Context
from engine.document.graph import Graph
from engine.document.reader import from_json
from engine.node import Node
from engine.testing import output, run_graph, run_node
from nodes.values import Image, Mask

RED = np.full((2, 3, 3), (255, 0, 0), np.uint8)
RETURNED: list[Any] = []


class Draw(Node):
    """Return something."""

    def run(self, ctx: Context) -> Image:
        value: Image = RETURNED[-1]
        return value


def graph() -> Graph:
    return from_json(
        {"safelight": 1, "nodes": {"a": {"type": "Draw"}}, "outputs": {"image": {"from": "a.out"}}}
    )


@pytest.mark.parametrize(
    "value",
    [RED, RED[None], pillow.fromarray(RED), pillow.fromarray(RED).convert("CMYK"), Image(RED[None])],
    ids=["array", "batch", "Pillow", "CMYK", "Image"],
)
def test_a_picture_of_another_library_becomes_an_image(value: Any) -> None:
    RETURNED.append(value)
    image = output(run_graph(graph(), types=[Draw]))
    assert isinstance(image, Image)
    assert (image.pixels == RED).all()
    assert isinstance(run_node(Draw())["out"], Image)


@pytest.mark.parametrize(
    "value",
    [RED / 255, RED[..., 0], torch.zeros(3, 2, 2), pillow.new("F", (2, 2)), RED[:, :, :2]],
    ids=["floats", "grey", "torch", "F", "two channels"],
)
def test_ambiguous_arrays_are_refused_with_a_hint(value: Any) -> None:
    RETURNED.append(value)
    problem = run_graph(graph(), types=[Draw]).nodes["a"].problem
    assert problem is not None
    assert "Image" in problem.message
    assert problem.hint is not None
    assert "test_values.py" in f"{problem.hint} {problem.message}"


@pytest.mark.parametrize(
    ("levels", "error"),
    [
        (np.zeros((2, 2), np.float32), TypeError),
        (np.zeros((1, 2, 2)), TypeError),
        (np.zeros((1, 0, 2), np.float32), TypeError),
        (np.full((1, 2, 2), 1.5, np.float32), ValueError),
        (np.full((1, 2, 2), np.nan, np.float32), ValueError),
    ],
    ids=["no batch", "float64", "empty", "above 1", "NaN"],
)
def test_a_mask_holds_numbers_from_0_to_1(levels: Any, error: type[Exception]) -> None:
    with pytest.raises(error, match="a Mask holds"):
        Mask(levels)


def test_a_mask_does_not_change_with_the_array_it_was_made_of() -> None:
    base = np.zeros((1, 2, 4), np.float32)
    mask = Mask(base)
    base[:] = 1
    assert mask.levels.max() == 0
    assert not mask.levels.flags.writeable
    assert mask.summary() == "4 x 2, 0 % on"


def test_the_preview_of_a_mask_is_grey() -> None:
    picture = Mask(np.array([[[0, 0.5, 1]]], np.float32)).preview()
    assert (picture.mode, np.asarray(picture).tolist()) == ("L", [[0, 128, 255]])
