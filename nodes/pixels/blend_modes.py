"""Blend modes by the formulas of the W3C's Compositing and Blending Level 1, and two of Nuke's Merge.

Each function takes the base (the backdrop) and the top (the source) as float32 arrays [..., 3] from 0 to 1.
"""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, TypeAlias

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray

Colors: TypeAlias = "NDArray[np.float32]"
_TINY = np.float32(1e-12)


def _hard_light(base: Colors, top: Colors) -> Colors:
    return np.where(top <= 0.5, base * 2 * top, _screen(base, 2 * top - 1))


def _screen(base: Colors, top: Colors) -> Colors:
    return base + top - base * top


def _dodge(base: Colors, top: Colors) -> Colors:
    lightened = np.minimum(1, base / np.maximum(1 - top, _TINY))
    return np.where(base <= 0, 0, np.where(top >= 1, 1, lightened))


def _burn(base: Colors, top: Colors) -> Colors:
    darkened = 1 - np.minimum(1, (1 - base) / np.maximum(top, _TINY))
    return np.where(base >= 1, 1, np.where(top <= 0, 0, darkened))


def _soft_light(base: Colors, top: Colors) -> Colors:
    curve = np.where(base <= 0.25, ((16 * base - 12) * base + 4) * base, np.sqrt(base))
    darker = base - (1 - 2 * top) * base * (1 - base)
    return np.where(top <= 0.5, darker, base + (2 * top - 1) * (curve - base))


def _luminosity(color: Colors) -> Colors:
    light: Colors = color @ np.array([0.3, 0.59, 0.11], np.float32)
    return light[..., None]


def _clipped(color: Colors) -> Colors:
    light = _luminosity(color)
    low, high = color.min(-1, keepdims=True), color.max(-1, keepdims=True)
    color = np.where(low < 0, light + (color - light) * light / np.maximum(light - low, _TINY), color)
    return np.where(high > 1, light + (color - light) * (1 - light) / np.maximum(high - light, _TINY), color)


def _with_luminosity(color: Colors, of: Colors) -> Colors:
    return _clipped(color + _luminosity(of) - _luminosity(color))


def _saturation(color: Colors) -> Colors:
    spread: Colors = color.max(-1, keepdims=True) - color.min(-1, keepdims=True)
    return spread


def _with_saturation(color: Colors, of: Colors) -> Colors:
    spread = _saturation(color)
    lowest = color.min(-1, keepdims=True)
    return np.where(spread > 0, (color - lowest) * _saturation(of) / np.maximum(spread, _TINY), 0)


BLEND_MODES: dict[str, Callable[[Colors, Colors], Colors]] = {
    "normal": lambda base, top: top,
    "multiply": lambda base, top: base * top,
    "screen": _screen,
    "overlay": lambda base, top: _hard_light(top, base),
    "darken": np.minimum,
    "lighten": np.maximum,
    "color dodge": _dodge,
    "color burn": _burn,
    "hard light": _hard_light,
    "soft light": _soft_light,
    "difference": lambda base, top: np.abs(base - top),
    "exclusion": lambda base, top: base + top - 2 * base * top,
    "hue": lambda base, top: _with_luminosity(_with_saturation(top, base), base),
    "saturation": lambda base, top: _with_luminosity(_with_saturation(base, top), base),
    "color": lambda base, top: _with_luminosity(top, base),
    "luminosity": _with_luminosity,
    "add": lambda base, top: np.minimum(base + top, 1),
    "subtract": lambda base, top: np.maximum(base - top, 0),
}
"""The blend modes by name; results are from 0 to 1."""
