"""Converts between pixels from 0 to 255 and levels from 0 to 1, and between sRGB and linear light."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray


def to_levels(pixels: NDArray[np.uint8]) -> NDArray[np.float32]:
    """Convert pixels from 0 to 255 to float32 from 0 to 1."""
    return pixels.astype(np.float32) / np.float32(255)


def to_pixels(levels: NDArray[np.float32]) -> NDArray[np.uint8]:
    """Convert levels to pixels from 0 to 255, rounded and clipped."""
    return (levels.clip(0, 1) * np.float32(255) + np.float32(0.5)).astype(np.uint8)


def to_linear(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert sRGB levels to linear light (IEC 61966-2-1)."""
    return np.where(levels <= 0.04045, levels / 12.92, ((levels + 0.055) / 1.055) ** 2.4).astype(np.float32)


def to_srgb(light: NDArray[np.float32]) -> NDArray[np.float32]:
    """Convert linear light to sRGB levels (IEC 61966-2-1)."""
    light = light.clip(0, 1)
    return np.where(light <= 0.0031308, light * 12.92, 1.055 * light ** (1 / 2.4) - 0.055).astype(np.float32)


def luminance(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    """Compute the brightness [...] of colours [..., 3] with the weights of Rec. 709, without linearising."""
    weighted: NDArray[np.float32] = levels @ np.array([0.2126, 0.7152, 0.0722], np.float32)
    return weighted
