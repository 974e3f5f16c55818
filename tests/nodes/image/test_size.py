"""Cropping, padding, resizing, turning: against numpy, Pillow and ComfyUI's formula."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow

from engine.errors import NodeError
from engine.node import Node
from engine.testing import run_node
from nodes.image.crop import CropImage, CropMask
from nodes.image.size import (
    FlipImage,
    PadImage,
    ResizeImage,
    RotateImage,
    ScaleImage,
)
from nodes.values import Image, Mask

NOISE: NDArray[np.uint8] = np.random.default_rng(0).integers(0, 256, (2, 24, 40, 3), np.uint8)
PICTURE = Image(NOISE)


def pixels(node: Node, output: str = "out") -> NDArray[np.uint8]:
    image = run_node(node)[output]
    assert isinstance(image, Image)
    return image.pixels


def levels(node: Node, output: str = "out") -> NDArray[np.float32]:
    mask = run_node(node)[output]
    assert isinstance(mask, Mask)
    return mask.levels


def size(node: Node) -> tuple[int, int]:
    _, height, width, _ = pixels(node).shape
    return width, height


def test_a_crop_is_the_rectangle() -> None:
    cut = pixels(CropImage(image=PICTURE, x=3, y=5, width=8, height=10))
    assert np.array_equal(cut, NOISE[:, 5:15, 3:11])
    mask = NOISE[..., 0].astype(np.float32) / np.float32(255)
    assert np.array_equal(
        levels(CropMask(mask=Mask(mask), x=3, y=5, width=8, height=10)), mask[:, 5:15, 3:11]
    )


@pytest.mark.parametrize(("box", "input"), [((33, 0, 8, 8), "x"), ((0, 20, 8, 8), "y"), ((32, 0, 9, 1), "x")])
def test_a_crop_that_ends_outside_is_refused_until_it_follows_its_hint(
    box: tuple[int, int, int, int], input: str
) -> None:
    x, y, width, height = box
    node = CropImage(image=PICTURE, x=x, y=y, width=width, height=height)
    with pytest.raises(NodeError, match=f"the rectangle ends at {input} = ") as caught:
        run_node(node)
    assert (caught.value.input, caught.value.code) == (input, "outside")
    assert "set outside to clip" in str(caught.value.hint)
    assert np.array_equal(
        pixels(node.model_copy(update={"outside": "clip"})), NOISE[:, y : y + height, x : x + width]
    )


@pytest.mark.parametrize("outside", ["refuse", "clip"])
@pytest.mark.parametrize(
    ("x", "y", "input", "limit"), [(40, 0, "x", 40), (200, 3, "x", 40), (0, 24, "y", 24)]
)
def test_a_crop_that_begins_outside_is_refused_until_it_follows_its_hint(
    outside: Any, x: int, y: int, input: str, limit: int
) -> None:
    node = CropImage(image=PICTURE, x=x, y=y, width=10, height=1, outside=outside)
    with pytest.raises(NodeError) as caught:
        run_node(node)
    assert (caught.value.input, caught.value.code) == (input, "outside")
    assert caught.value.hint == f"set {input} below {limit}"
    clipped = node.model_copy(update={input: limit - 1, "outside": "clip"})
    assert 0 not in pixels(clipped).shape


def test_a_clipped_crop_keeps_what_is_inside() -> None:
    node = CropImage(image=PICTURE, x=33, y=20, width=16, height=16, outside="clip")
    assert np.array_equal(pixels(node), NOISE[:, 20:, 33:])


@pytest.mark.parametrize(("fill", "mode"), [("edge", "edge"), ("reflect", "reflect")])
def test_a_border_continues_the_picture(fill: Any, mode: Any) -> None:
    node = PadImage(image=PICTURE, left=5, top=2, right=30, bottom=7, fill=fill)
    wanted = np.pad(NOISE, ((0, 0), (2, 7), (5, 30), (0, 0)), mode)
    assert np.array_equal(pixels(node, "image"), wanted)


def test_a_border_has_the_color_asked_for() -> None:
    padded = pixels(PadImage(image=PICTURE, left=4, bottom=3, color="#ff8000"), "image")
    assert padded.shape == (2, 27, 44, 3)
    assert np.array_equal(padded[:, :24, 4:], NOISE)
    assert {tuple(color) for color in padded[:, :, :4].reshape(-1, 3).tolist()} == {(255, 128, 0)}


@pytest.mark.parametrize("border", [(8, 0, 0, 0), (4, 6, 8, 10), (0, 0, 5, 0), (0, 0, 0, 0)], ids=str)
@pytest.mark.parametrize("feather", [0, 5, 11, 12])
def test_the_mask_for_outpainting_is_that_of_comfyui(border: tuple[int, ...], feather: int) -> None:
    left, top, right, bottom = border
    _, h, w, _ = NOISE.shape
    wanted = np.ones((h + top + bottom, w + left + right), np.float32)
    t = np.zeros((h, w), np.float32)
    if feather > 0 and feather * 2 < h and feather * 2 < w:
        for i in range(h):  # ComfyUI nodes.py, ImagePadForOutpaint.expand_image
            for j in range(w):
                dt, db = (i if top else h), (h - i if bottom else h)
                dl, dr = (j if left else w), (w - j if right else w)
                d = min(dt, db, dl, dr)
                if d < feather:
                    t[i, j] = ((feather - d) / feather) ** 2
    wanted[top : top + h, left : left + w] = t
    node = PadImage(image=PICTURE, left=left, top=top, right=right, bottom=bottom, feather=feather)
    np.testing.assert_allclose(levels(node, "mask")[0], wanted, atol=1e-6)


def test_sizes_of_zero_keep_the_proportions() -> None:
    assert size(ResizeImage(image=PICTURE, width=20, height=0)) == (20, 12)
    assert size(ResizeImage(image=PICTURE, width=0, height=48)) == (80, 48)
    assert size(ResizeImage(image=PICTURE, width=20, height=20, fit="inside")) == (20, 12)
    assert size(ScaleImage(image=PICTURE, factor=0.5)) == (20, 12)
    assert size(ScaleImage(image=PICTURE, factor=0.01)) == (1, 1)
    with pytest.raises(NodeError, match="both 0"):
        run_node(ResizeImage(image=PICTURE, width=0, height=0))


@pytest.mark.parametrize(("width", "height"), [(64, 64), (48, 100), (100, 32), (56, 33), (40, 24), (2, 400)])
def test_filling_is_that_of_a1111(width: int, height: int) -> None:
    smooth = np.add.outer(2 * np.arange(24), np.arange(40))[:, :, None] + np.array([0, 60, 120])
    picture = pillow.fromarray(smooth.astype(np.uint8))
    made = pixels(ResizeImage(image=Image(np.asarray(picture)[None]), width=width, height=height, fit="fill"))
    # A1111 images.py, resize_image with resize_mode 2
    ratio, src_ratio = width / height, picture.width / picture.height
    src_w = width if ratio < src_ratio else picture.width * height // picture.height
    src_h = height if ratio >= src_ratio else picture.height * width // picture.width
    resized = picture.resize((src_w, src_h), pillow.Resampling.LANCZOS)
    wanted = pillow.new("RGB", (width, height))
    left, top = width // 2 - src_w // 2, height // 2 - src_h // 2
    wanted.paste(resized, (left, top))
    if ratio < src_ratio and top > 0:
        wanted.paste(resized.resize((width, top), box=(0, 0, width, 0)), (0, 0))
        rest = height - top - src_h  # A1111 leaves a line black if it is not `top`
        if rest:
            wanted.paste(resized.resize((width, rest), box=(0, src_h, width, src_h)), (0, top + src_h))
    elif left > 0:
        wanted.paste(resized.resize((left, height), box=(0, 0, 0, height)), (0, 0))
        rest = width - left - src_w
        if rest:
            wanted.paste(resized.resize((rest, height), box=(src_w, 0, src_w, height)), (left + src_w, 0))
    assert np.abs(made[0].astype(int) - np.asarray(wanted).astype(int)).max() <= 1


def test_resizing_follows_the_chosen_method() -> None:
    wanted = pillow.fromarray(NOISE[1]).resize((80, 48), pillow.Resampling.NEAREST)
    larger = pixels(ScaleImage(image=PICTURE, factor=2, method="nearest"))
    assert np.array_equal(larger[1], np.asarray(wanted))


@pytest.mark.parametrize(
    "node",
    [
        ResizeImage(image=PICTURE, width=32_000, height=32_000),
        ResizeImage(image=PICTURE, width=32_000, height=0),
        ResizeImage(image=Image(np.zeros((5, 8, 8, 3), np.uint8)), width=10_000, height=9_999),
        ScaleImage(image=Image(np.zeros((1, 2_000, 3_000, 3), np.uint8)), factor=16),
        PadImage(image=PICTURE, left=16_384, top=16_384),
    ],
    ids=["sides", "proportions", "batch", "factor", "border"],
)
def test_too_many_pixels_are_refused_before_they_take_memory(node: Node) -> None:
    with pytest.raises(NodeError, match="would be"):
        run_node(node)


def test_turns_lose_nothing() -> None:
    assert np.array_equal(pixels(FlipImage(image=PICTURE)), NOISE[:, :, ::-1])
    assert np.array_equal(pixels(FlipImage(image=PICTURE, direction="vertical")), NOISE[:, ::-1])
    for angle, turned in (
        (90, pillow.Transpose.ROTATE_270),  # Pillow turns the other way
        (180, pillow.Transpose.ROTATE_180),
        (-90, pillow.Transpose.ROTATE_90),
        (360, None),
    ):
        picture = pillow.fromarray(NOISE[1])
        wanted = picture if turned is None else picture.transpose(turned)
        assert np.array_equal(pixels(RotateImage(image=PICTURE, angle=angle))[1], np.asarray(wanted))


def test_another_angle_makes_room_for_the_corners() -> None:
    picture = Image(np.full((1, 100, 100, 3), 255, np.uint8))
    turned = pixels(RotateImage(image=picture, angle=45, color="#ff0000"))[0]
    assert turned.shape[0] == pytest.approx(142, abs=1)
    assert turned[0, 0].tolist() == [255, 0, 0]
    assert turned[70, 70].tolist() == [255, 255, 255]
    dot = np.zeros((1, 101, 101, 3), np.uint8)
    dot[0, 40:61, 90:] = 255
    moved = pixels(RotateImage(image=Image(dot), angle=30))[0, ..., 0].astype(float)
    rows, columns = np.indices(moved.shape)
    assert (rows * moved).sum() / moved.sum() > moved.shape[0] / 2  # clockwise: the right side sinks
    assert (columns * moved).sum() / moved.sum() > moved.shape[1] / 2


@pytest.mark.parametrize("color", ["", "#12345", "#ff000080", "no colour"])
def test_a_colour_that_is_none_is_explained(color: str) -> None:
    with pytest.raises(NodeError, match=r"is not a colour|is partly transparent") as caught:
        run_node(PadImage(image=PICTURE, left=8, color=color))
    assert caught.value.input == "color"
