"""Masks of pictures, and what changes them."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray

from engine.errors import NodeError
from engine.node import Node
from engine.testing import run_node
from nodes.image.mask import (
    CombineMasks,
    FadeMaskEdges,
    GrowMask,
    ImageToMask,
    InvertMask,
    MaskFromColor,
    MaskFromLuminance,
    MaskToImage,
    ResizeMask,
    SolidMask,
    ThresholdMask,
)
from nodes.pixels.filters import gaussian_blur
from nodes.values import Image, Mask

RANDOM = np.random.default_rng(0)
COLORS: NDArray[np.uint8] = RANDOM.integers(0, 256, (2, 9, 7, 3), np.uint8)
ONE: NDArray[np.float32] = RANDOM.random((2, 9, 7), np.float32)
TWO: NDArray[np.float32] = RANDOM.random((1, 4, 5), np.float32)


def levels(node: Node) -> NDArray[np.float32]:
    mask = run_node(node)["out"]
    assert isinstance(mask, Mask)
    return mask.levels


def test_a_channel_becomes_a_mask_and_a_picture_again() -> None:
    green = levels(ImageToMask(image=Image(COLORS), channel="green"))
    assert np.array_equal(green, COLORS[..., 1].astype(np.float32) / np.float32(255))
    image = run_node(MaskToImage(mask=Mask(green)))["out"]
    assert isinstance(image, Image)
    assert np.array_equal(image.pixels, COLORS[..., 1:2].repeat(3, -1))
    brightness = levels(ImageToMask(image=Image(COLORS)))
    np.testing.assert_allclose(brightness, COLORS @ [0.2126, 0.7152, 0.0722] / 255, atol=1e-6)


def test_brightness_is_selected_with_both_ends_and_fades_out() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 1, 256, 1).repeat(3, -1)
    hard = levels(MaskFromLuminance(image=Image(ramp), low=100, high=200))[0, 0]
    assert np.flatnonzero(hard).tolist() == list(range(100, 201))
    assert np.unique(hard).tolist() == [0, 1]
    soft = levels(MaskFromLuminance(image=Image(ramp), low=100, high=200, softness=3))[0, 0]
    np.testing.assert_allclose(soft[95:102], [0, 0, 0.25, 0.5, 0.75, 1, 1], atol=1e-3)
    np.testing.assert_allclose(soft[199:206], [1, 1, 0.75, 0.5, 0.25, 0, 0], atol=1e-3)
    with pytest.raises(NodeError, match="above high"):
        run_node(MaskFromLuminance(image=Image(ramp), low=9, high=8))


def test_a_colour_is_selected_within_the_tolerance() -> None:
    colors = np.array([[[[0, 255, 0], [10, 245, 10], [11, 255, 0], [15, 255, 0], [255, 0, 0]]]], np.uint8)
    assert levels(MaskFromColor(image=Image(colors), tolerance=10)).tolist() == [[[1, 1, 0, 0, 0]]]
    assert levels(MaskFromColor(image=Image(colors), tolerance=0)).tolist() == [[[1, 0, 0, 0, 0]]]
    soft = levels(MaskFromColor(image=Image(colors), color="lime", tolerance=10, softness=9))
    np.testing.assert_allclose(soft, [[[1, 1, 0.9, 0.5, 0]]], atol=1e-6)


def test_grown_masks_may_be_feathered() -> None:
    point = np.zeros((1, 21, 21), np.float32)
    point[0, 10, 10] = 1
    assert levels(GrowMask(mask=Mask(point), pixels=3)).sum() == 29  # the points of a disc of radius 3
    assert levels(GrowMask(mask=Mask(point), pixels=3, shape="diamond")).sum() == 25
    assert levels(GrowMask(mask=Mask(point), pixels=3, shape="square")).sum() == 49
    assert levels(GrowMask(mask=Mask(point), pixels=-1)).sum() == 0
    soft = levels(GrowMask(mask=Mask(point), pixels=0, feather=2))
    np.testing.assert_allclose(soft, gaussian_blur(point, 2), atol=1e-6)


def test_a_mask_fades_out_towards_the_sides() -> None:
    faded = levels(FadeMaskEdges(mask=Mask(np.ones((1, 6, 8), np.float32)), left=4, bottom=2))
    rows, columns = np.array([1, 1, 1, 1, 1, 0.5]), np.array([0.25, 0.5, 0.75, 1, 1, 1, 1, 1])
    np.testing.assert_allclose(faded[0], np.outer(rows, columns), atol=1e-6)
    wide = levels(FadeMaskEdges(mask=Mask(np.ones((1, 2, 4), np.float32)), right=1000))
    np.testing.assert_allclose(wide[0], [[1, 0.75, 0.5, 0.25]] * 2, atol=1e-6)


@pytest.mark.parametrize(
    ("operation", "formula"),
    [
        ("union", np.maximum),
        ("intersection", np.minimum),
        ("add", lambda a, b: np.clip(a + b, 0, 1)),
        ("subtract", lambda a, b: np.clip(a - b, 0, 1)),
        ("multiply", np.multiply),
        ("difference", lambda a, b: np.abs(a - b)),
    ],
)
@pytest.mark.parametrize("place", [(0, 0), (2, 3), (-3, -1), (5, 7)])
def test_masks_combine_where_they_meet(operation: Any, formula: object, place: tuple[int, int]) -> None:
    assert callable(formula)
    x, y = place
    wanted = ONE.copy()
    for v in range(4):
        for u in range(5):
            if 0 <= y + v < 9 and 0 <= x + u < 7:
                wanted[:, y + v, x + u] = formula(ONE[:, y + v, x + u], TWO[0, v, u])
    found = levels(CombineMasks(base=Mask(ONE), other=Mask(TWO), operation=operation, x=x, y=y))
    np.testing.assert_allclose(found, wanted, atol=1e-6)


def test_inverting_twice_is_the_mask_again_and_a_threshold_is_hard() -> None:
    once = levels(InvertMask(mask=Mask(ONE)))
    np.testing.assert_allclose(once + ONE, 1, atol=1e-6)
    assert np.array_equal(levels(ThresholdMask(mask=Mask(ONE), level=0.3)), (ONE > 0.3).astype(np.float32))


def test_masks_have_the_size_asked_for() -> None:
    assert np.array_equal(levels(SolidMask(width=5, height=3, level=0.25)), np.full((1, 3, 5), 0.25))
    assert levels(ResizeMask(mask=Mask(ONE), width=21, height=18)).shape == (2, 18, 21)


@pytest.mark.parametrize(
    ("node", "message"),
    [
        (CombineMasks(base=Mask(ONE), other=Mask(TWO), x=7), "outside the base, which is 7 x 9"),
        (CombineMasks(base=Mask(ONE), other=Mask(np.repeat(ONE[:1], 3, 0))), "batches of 2 and 3"),
        (SolidMask(width=32_000, height=32_000), "would be 32000 x 32000"),
        (ResizeMask(mask=Mask(ONE), width=32_000, height=32_000), "would be 32000 x 32000"),
        (MaskFromColor(image=Image(COLORS), color="greeen"), "'greeen' is not a colour"),
    ],
    ids=["beside", "batch", "solid", "resize", "colour"],
)
def test_mismatched_masks_are_refused(node: Node, message: str) -> None:
    with pytest.raises(NodeError, match=message):
        run_node(node)
