"""Edits of pictures and masks."""

from __future__ import annotations

import math
from typing import Any

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow

from nodes.picture_sets.edits import (
    Augment,
    Crop,
    Edit,
    Mirror,
    Pad,
    Resize,
    edited,
    edits_as_json,
    edits_from_json,
    hidden_corners,
)

EDITS: tuple[Edit, ...] = (
    Resize(20, 12),
    Crop(1, 2, 16, 8),
    Pad(1, 2, 3, 4, 255, 0, 7),
    Mirror("horizontal"),
    Mirror("vertical"),
    Mirror("both"),
    Augment(7.5, 1.1, 0.9, 1.2, 0.8, 0.02),
)


def noise(width: int = 24, height: int = 14) -> NDArray[np.uint8]:
    return np.random.default_rng(3).integers(0, 256, (height, width, 3), np.uint8)


def after(pixels: NDArray[np.uint8], *edits: Edit, mask: bool = False) -> NDArray[Any]:
    return np.asarray(edited(pillow.fromarray(pixels), edits, mask=mask))


def test_edits_survive_json() -> None:
    assert edits_from_json(edits_as_json(EDITS)) == EDITS  # type: ignore[arg-type]


@pytest.mark.parametrize("edit", EDITS, ids=lambda edit: edit.text())
def test_an_edit_tells_the_size_of_its_result(edit: Edit) -> None:
    height, width, _ = after(noise(), edit).shape
    assert edit.size((24, 14)) == (width, height)
    levels = noise()[..., 0]
    assert after(levels, edit, mask=True).shape == (height, width)


def test_a_mirrored_picture_has_the_same_pixels() -> None:
    pixels = noise()
    assert np.array_equal(after(pixels, Mirror("horizontal")), pixels[:, ::-1])
    assert np.array_equal(after(pixels, Mirror("vertical")), pixels[::-1])
    assert np.array_equal(after(pixels, Mirror("both")), pixels[::-1, ::-1])


def test_a_crop_and_a_border_keep_pixels() -> None:
    pixels = noise()
    assert np.array_equal(after(pixels, Crop(3, 2, 10, 9)), pixels[2:11, 3:13])
    framed = after(pixels, Pad(1, 2, 3, 4, 255, 0, 7))
    assert np.array_equal(framed[2:-4, 1:-3], pixels)
    assert (framed[:2] == (255, 0, 7)).all()
    assert (after(noise()[..., 0], Pad(1, 2, 3, 4, 255, 0, 7), mask=True)[:2] == 0).all()


@pytest.mark.parametrize("angle", [-40.0, -3.0, 0.0, 12.0, 90.0])
@pytest.mark.parametrize(("width", "height"), [(30, 30), (40, 20), (20, 50)])
def test_a_rotated_picture_has_no_empty_corner(angle: float, width: int, height: int) -> None:
    white = np.full((height, width, 3), 255, np.uint8)
    assert (after(white, Augment(angle=angle)) == 255).all()
    for x, y in (
        (1, 1),
        (1, -1),
        (-1, 1),
        (-1, -1),
    ):  # the rectangle's corners lie inside the rotated picture
        turn, zoom = math.radians(angle), hidden_corners(angle, (width, height))
        across = (x * width * math.cos(turn) + y * height * math.sin(turn)) / (2 * zoom)
        down = (-x * width * math.sin(turn) + y * height * math.cos(turn)) / (2 * zoom)
        assert abs(across) <= width / 2 + 1e-9
        assert abs(down) <= height / 2 + 1e-9


def test_a_picture_is_rotated_clockwise_and_its_mask_with_it() -> None:
    spot = np.zeros((41, 41, 3), np.uint8)
    spot[4:9, 18:23] = 255  # at the top
    turned = after(spot, Augment(angle=90.0))
    assert turned[18:23, 32:37].min() > 200  # at the right
    assert after(spot[..., 0], Augment(angle=90.0, brightness=0.1), mask=True)[18:23, 32:37].min() > 200


def test_a_zoom_enlarges_around_the_middle() -> None:
    spot = np.zeros((40, 40, 3), np.uint8)
    spot[15:25, 15:25] = 255
    area = (after(spot, Augment(zoom=1.5))[..., 0] > 127).sum()
    assert area == pytest.approx(100 * 1.5**2, rel=0.1)


def test_colours_are_changed_as_named() -> None:
    pixels = np.full((4, 4, 3), (200, 100, 50), np.uint8)
    assert after(pixels, Augment(brightness=0.5))[0, 0].tolist() == [100, 50, 25]
    red, green, blue = after(pixels, Augment(saturation=0.0))[0, 0]
    assert red == green == blue
    assert after(np.full((4, 4, 3), (255, 0, 0), np.uint8), Augment(hue=1 / 3))[0, 0].argmax() == 1
    assert np.array_equal(after(pixels, Augment()), pixels)
