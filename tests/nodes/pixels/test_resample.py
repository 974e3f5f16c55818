"""Resizing against Pillow's own functions, and linear light against the standard's curve."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import ImageOps

from nodes.pixels.choices import Method
from nodes.pixels.levels import to_levels, to_linear, to_pixels, to_srgb
from nodes.pixels.resample import centred_box, resize_levels, resize_pixels

NOISE = np.random.default_rng(0).integers(0, 256, (2, 37, 53, 3), np.uint8)
FILTERS = {
    "lanczos": pillow.Resampling.LANCZOS,
    "bicubic": pillow.Resampling.BICUBIC,
    "bilinear": pillow.Resampling.BILINEAR,
    "area": pillow.Resampling.BOX,
    "nearest": pillow.Resampling.NEAREST,
}


@pytest.mark.parametrize("method", get_args(Method))
@pytest.mark.parametrize("size", [(20, 31), (90, 40), (16, 16), (37, 53)])
def test_cropped_pictures_are_those_of_pillow(method: Method, size: tuple[int, int]) -> None:
    ours = resize_pixels(NOISE, *size, method, centred_box(53, 37, *size))
    theirs = [ImageOps.fit(pillow.fromarray(picture), size, FILTERS[method]) for picture in NOISE]
    assert np.array_equal(ours, np.stack([np.asarray(picture) for picture in theirs]))


def test_masks_keep_their_range_and_precision() -> None:
    levels = np.zeros((1, 8, 8), np.float32)
    levels[0, 4:] = 1
    larger = resize_levels(levels, 31, 31, "lanczos")  # which overshoots beside the edge
    assert (larger.dtype.name, larger.min(), larger.max()) == ("float32", 0, 1)
    assert len(np.unique(larger.round(6))) > 4
    assert resize_levels(levels, 8, 4, "area").tolist() == resize_levels(levels, 8, 4, "nearest").tolist()


def test_linear_light_mixes_as_light_does() -> None:
    stripes = np.zeros((1, 4, 4, 3), np.uint8)
    stripes[:, :, ::2] = 255
    mixed = resize_pixels(stripes, 2, 4, "area", linear=True)
    assert np.unique(mixed).tolist() == [188]  # 0.5 of the light, as IEC 61966-2-1 encodes it
    assert np.unique(resize_pixels(stripes, 2, 4, "area")).tolist() == [128]


def test_every_level_comes_back_from_linear_light() -> None:
    pixels = np.arange(256, dtype=np.uint8).reshape(1, 16, 16, 1).repeat(3, -1)
    assert np.array_equal(to_pixels(to_srgb(to_linear(to_levels(pixels)))), pixels)
