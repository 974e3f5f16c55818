"""Blending, compositing, levels and blur: against Pillow and formulas on single pixels."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageChops

from engine.errors import NodeError
from engine.node import Node
from engine.testing import run_node
from nodes.image.effects import Blend, BlurImage, Composite, InvertImage, Levels, SolidImage
from nodes.image.lists import BatchToList, JoinImages, ListToBatch
from nodes.values import Image, Mask

RANDOM = np.random.default_rng(0)
BASE: NDArray[np.uint8] = RANDOM.integers(0, 256, (2, 24, 40, 3), np.uint8)
TOP: NDArray[np.uint8] = RANDOM.integers(0, 256, (1, 24, 40, 3), np.uint8)
SMALL: NDArray[np.uint8] = RANDOM.integers(0, 256, (1, 10, 12, 3), np.uint8)
ALPHA: NDArray[np.float32] = RANDOM.random((1, 10, 12), np.float32)


def pixels(node: Node) -> NDArray[np.uint8]:
    image = run_node(node)["out"]
    assert isinstance(image, Image)
    return image.pixels


@pytest.mark.parametrize(
    ("mode", "function"),
    [
        ("multiply", ImageChops.multiply),
        ("screen", ImageChops.screen),
        ("difference", ImageChops.difference),
        ("darken", ImageChops.darker),
        ("lighten", ImageChops.lighter),
        ("add", ImageChops.add),
        ("subtract", ImageChops.subtract),
    ],
)
def test_a_blend_is_that_of_pillow(mode: Any, function: object) -> None:
    ours = pixels(Blend(base=Image(BASE), top=Image(TOP), mode=mode)).astype(int)
    assert callable(function)
    for base, blended in zip(BASE, ours, strict=True):
        theirs = np.asarray(function(pillow.fromarray(base), pillow.fromarray(TOP[0]))).astype(int)
        assert np.abs(blended - theirs).max() <= 1


def test_opacity_and_mask_mix_with_the_base() -> None:
    mask = np.zeros((1, 24, 40), np.float32)
    mask[:, :, 20:] = 0.5
    blended = pixels(Blend(base=Image(BASE), top=Image(TOP), opacity=0.5, mask=Mask(mask)))
    assert np.array_equal(blended[:, :, :20], BASE[:, :, :20])
    wanted = 0.75 * BASE[:, :, 20:] + 0.25 * TOP[:, :, 20:]
    assert np.abs(blended[:, :, 20:] - wanted).max() <= 0.501


@pytest.mark.parametrize("place", [(3, 5), (-4, -6), (35, 20), (-11, 23)])
def test_a_composite_is_over_and_cuts_what_leads_out(place: tuple[int, int]) -> None:
    x, y = place
    node = Composite(base=Image(BASE), top=Image(SMALL), x=x, y=y, mask=Mask(ALPHA), opacity=0.8)
    wanted = BASE.astype(float)
    for v in range(10):
        for u in range(12):
            if 0 <= y + v < 24 and 0 <= x + u < 40:
                alpha = 0.8 * ALPHA[0, v, u]
                wanted[:, y + v, x + u] = alpha * SMALL[0, v, u] + (1 - alpha) * BASE[:, y + v, x + u]
    assert np.abs(pixels(node) - wanted).max() <= 0.501


def test_a_transparent_picture_lies_over_another_as_in_pillow() -> None:
    layer = pillow.fromarray(np.concatenate([SMALL[0], (ALPHA[0, ..., None] * 255).astype(np.uint8)], -1))
    canvas = pillow.fromarray(BASE[0]).convert("RGBA")
    canvas.alpha_composite(layer, (7, 9))
    alpha = np.asarray(layer.getchannel("A")).astype(np.float32)[None] / np.float32(255)
    node = Composite(base=Image(BASE[:1]), top=Image(SMALL), x=7, y=9, mask=Mask(alpha))
    assert np.abs(pixels(node)[0].astype(int) - np.asarray(canvas.convert("RGB"))).max() <= 1


@pytest.mark.parametrize(
    ("node", "input", "message"),
    [
        (Composite(base=Image(BASE), top=Image(SMALL), x=40), "x", "outside the base"),
        (Composite(base=Image(BASE), top=Image(SMALL), y=-10), "x", "outside the base"),
        (Composite(base=Image(BASE), top=Image(TOP), mask=Mask(ALPHA)), "mask", "mask is 12 x 10"),
        (Blend(base=Image(BASE), top=Image(SMALL)), "top", "top is 12 x 10, but must be 40 x 24"),
        (Blend(base=Image(BASE), top=Image(np.repeat(TOP, 3, 0))), "top", "batches of 2 and 3 pictures"),
        (Levels(image=Image(BASE), black=100, white=100), "white", "not above black"),
        (SolidImage(width=32_000, height=32_000), "width", "would be 32000 x 32000"),
        (SolidImage(color="x"), "color", "is not a colour"),
        (ListToBatch(images=[]), "images", "empty list"),
        (ListToBatch(images=[Image(BASE), Image(SMALL)]), "images", "different sizes: 40 x 24, 12 x 10"),
    ],
    ids=["right", "above", "mask", "size", "batch", "levels", "pixels", "colour", "empty", "sizes"],
)
def test_mismatched_pictures_are_refused(node: Node, input: str, message: str) -> None:
    with pytest.raises(NodeError, match=message) as caught:
        run_node(node)
    assert caught.value.input == input


def test_levels_follow_the_formula() -> None:
    ramp = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    node = Levels(image=Image(ramp), black=20, white=220, gamma=1.5, output_black=10, output_white=240)
    for level, found in zip(ramp[..., 0].flat, pixels(node)[..., 0].flat, strict=True):
        share = min(1, max(0, (int(level) - 20) / 200)) ** (1 / 1.5)
        assert abs(int(found) - (10 + share * 230)) <= 0.501
    red = pixels(Levels(image=Image(ramp), white=128, channel="red"))
    assert np.array_equal(red[..., 1:], ramp[..., 1:])
    assert red[0, 7, 15, 0] == 253  # 127 of 128
    assert np.array_equal(pixels(Levels(image=Image(ramp))), ramp)
    negative = pixels(Levels(image=Image(ramp), output_black=255, output_white=0))
    assert np.array_equal(negative, pixels(InvertImage(image=Image(ramp))))


def test_a_blur_spreads_a_point_as_a_gaussian() -> None:
    point = np.zeros((1, 41, 41, 3), np.uint8)
    point[0, 20, 20] = 255
    blurred = pixels(BlurImage(image=Image(point), sigma=1.0))[0, ..., 0]
    assert blurred[20, 20] == round(255 * 0.15973)  # the weight in the middle of a 7 x 7 kernel
    assert blurred[20, 21] == pytest.approx(blurred[20, 20] * np.exp(-0.5), abs=1)
    assert pixels(BlurImage(image=Image(point), sigma=0)).max() == 255


def test_a_solid_picture_has_one_color() -> None:
    made = pixels(SolidImage(width=5, height=3, color="orange", batch=2))
    assert made.shape == (2, 3, 5, 3)
    assert np.unique(made.reshape(-1, 3), axis=0).tolist() == [[255, 165, 0]]


def test_a_batch_becomes_a_list_and_comes_back() -> None:
    images = run_node(BatchToList(image=Image(BASE)))["out"]
    assert isinstance(images, list)
    assert [image.pixels.shape for image in images] == [(1, 24, 40, 3)] * 2
    assert np.array_equal(pixels(ListToBatch(images=images)), BASE)


def test_joined_pictures_may_be_resized_to_the_first() -> None:
    batch = pixels(JoinImages(first=Image(SMALL), second=Image(BASE), fit="stretch"))
    assert batch.shape == (3, 10, 12, 3)
    assert np.array_equal(batch[0], SMALL[0])
    wanted = pillow.fromarray(BASE[1]).resize((12, 10), pillow.Resampling.LANCZOS)
    assert np.array_equal(batch[2], np.asarray(wanted))
