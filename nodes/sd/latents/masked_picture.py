"""Hides the masked part of pictures, for inpainting. A pixel is masked if its level is above one half."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageFilter

Pictures = NDArray[np.uint8]
"""[pictures, height, width, 3], RGB."""
Levels = NDArray[np.float32]
"""[1 or pictures, height, width], from 0 to 1."""

_BLURS = ((256, 1), (64, 1), (16, 2), (4, 4), (2, 2), (0, 1))
"""Radii in pixels, largest first, and the number of repetitions of each, as in A1111's `masking.fill`."""
GREY = 127.5
"""The colour that corresponds to 0 in the VAE's input."""


def scaled(levels: Levels, height: int, width: int) -> Levels:
    """Resize masks to the size of a picture (bilinear)."""
    if levels.shape[1:] == (height, width):
        return levels
    whole = torch.from_numpy(levels.copy())[:, None]
    return np.asarray(torch.nn.functional.interpolate(whole, size=(height, width), mode="bilinear")[:, 0])


def grown(levels: Levels, pixels: int) -> Levels:
    """Grow masks by a square of `pixels` x `pixels`, as ComfyUI's VAEEncodeForInpaint does.

    The levels of the result are 0 or 1. With 0 pixels, the masks are returned unchanged.
    """
    if pixels == 0:
        return levels.copy()
    whole = torch.from_numpy(levels.copy())[:, None].round()
    around = math.ceil((pixels - 1) / 2)
    reached = torch.nn.functional.max_pool2d(whole, pixels, stride=1, padding=around)[:, 0]
    return np.ascontiguousarray(reached[:, : levels.shape[1], : levels.shape[2]].numpy())


def greyed(pictures: Pictures, levels: Levels) -> Pictures:
    """Fill the masked part of pictures with grey."""
    hidden = np.broadcast_to(np.round(levels)[..., None] > 0, pictures.shape)
    return np.where(hidden, np.uint8(round(GREY)), pictures)


def filled(pictures: Pictures, levels: Levels) -> Pictures:
    """Fill the masked part of pictures with the blurred colours around it (A1111's `masking.fill`)."""
    every = np.broadcast_to(levels, (len(pictures), *levels.shape[1:]))
    return np.stack([_filled(picture, level) for picture, level in zip(pictures, every, strict=True)])


def _filled(picture: NDArray[np.uint8], levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    kept = np.uint8(255) - (levels * 255).round().astype(np.uint8)
    # Premultiplied colours, so that blurring does not spread colours from under the mask.
    outside = np.round(picture * (kept[..., None] / 255)).astype(np.uint8)
    seen = pillow.fromarray(np.dstack([outside, kept]), "RGBa")
    result = pillow.new("RGBA", seen.size)
    for radius, repeats in _BLURS:
        blurred = seen.filter(ImageFilter.GaussianBlur(radius)).convert("RGBA")
        for _ in range(repeats):
            result.alpha_composite(blurred)
    return np.asarray(result.convert("RGB"))
