"""Resizes pictures and masks with Pillow's filters, on sRGB levels or in linear light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

from nodes.pixels.choices import Method
from nodes.pixels.levels import to_levels, to_linear, to_pixels, to_srgb

if TYPE_CHECKING:
    from numpy.typing import NDArray

Box = tuple[float, float, float, float]
"""A rectangle in a picture: left, top, right, bottom in pixels."""

_FILTERS = {"lanczos": 1, "bicubic": 3, "bilinear": 2, "area": 4, "nearest": 0}
"""The numbers of Pillow's `Resampling`."""


def centred_box(width: int, height: int, target_width: int, target_height: int) -> Box:
    """Return the largest centred rectangle in a picture with the proportions of the target."""
    ratio, wanted = width / height, target_width / target_height
    inner_width = wanted * height if ratio > wanted else width
    inner_height = width / wanted if ratio < wanted else height
    left, top = (width - inner_width) * 0.5, (height - inner_height) * 0.5
    return left, top, left + inner_width, top + inner_height


def resize_pixels(
    pixels: NDArray[np.uint8],
    width: int,
    height: int,
    method: Method,
    box: Box | None = None,
    *,
    linear: bool = False,
) -> NDArray[np.uint8]:
    """Resize pictures, uint8 [pictures, height, width, 3].

    Args:
        pixels: the pictures.
        width, height: the new size.
        method: the filter. All except `nearest` average pixels when they shrink a picture.
        box: the part of each picture to use; None for the whole picture.
        linear: True to resize in linear light.
    """
    from PIL import Image as pillow

    if linear:
        light = np.moveaxis(to_linear(to_levels(pixels)), 3, 1)
        planes = resize_levels(light.reshape(-1, *light.shape[2:]), width, height, method, box)
        return to_pixels(to_srgb(np.moveaxis(planes.reshape(len(pixels), 3, height, width), 1, 3)))
    filter = pillow.Resampling(_FILTERS[method])
    resized = [pillow.fromarray(picture).resize((width, height), filter, box) for picture in pixels]
    return np.stack([np.asarray(picture) for picture in resized])


def resize_levels(
    levels: NDArray[np.float32], width: int, height: int, method: Method, box: Box | None = None
) -> NDArray[np.float32]:
    """Resize masks, float32 [masks, height, width] from 0 to 1; see `resize_pixels`."""
    from PIL import Image as pillow

    filter = pillow.Resampling(_FILTERS[method])
    resized = [pillow.fromarray(plane).resize((width, height), filter, box) for plane in levels]
    return np.stack([np.asarray(plane) for plane in resized]).clip(0, 1)
