"""Blend modes against the scalar formulas of the W3C's Compositing and Blending Level 1."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import get_args

import numpy as np
import pytest

from nodes.pixels.blend_modes import BLEND_MODES
from nodes.pixels.choices import BlendMode

Color = tuple[float, float, float]


def hard_light(cb: float, cs: float) -> float:
    return cb * 2 * cs if cs <= 0.5 else cb + (2 * cs - 1) - cb * (2 * cs - 1)


def dodge(cb: float, cs: float) -> float:
    return 0.0 if cb == 0 else 1.0 if cs == 1 else min(1, cb / (1 - cs))


def burn(cb: float, cs: float) -> float:
    return 1.0 if cb == 1 else 0.0 if cs == 0 else 1 - min(1, (1 - cb) / cs)


def soft_light(cb: float, cs: float) -> float:
    if cs <= 0.5:
        return cb - (1 - 2 * cs) * cb * (1 - cb)
    d = ((16 * cb - 12) * cb + 4) * cb if cb <= 0.25 else math.sqrt(cb)
    return cb + (2 * cs - 1) * (d - cb)


SEPARABLE: dict[str, Callable[[float, float], float]] = {
    "normal": lambda cb, cs: cs,
    "multiply": lambda cb, cs: cb * cs,
    "screen": lambda cb, cs: cb + cs - cb * cs,
    "overlay": lambda cb, cs: hard_light(cs, cb),
    "darken": min,
    "lighten": max,
    "color dodge": dodge,
    "color burn": burn,
    "hard light": hard_light,
    "soft light": soft_light,
    "difference": lambda cb, cs: abs(cb - cs),
    "exclusion": lambda cb, cs: cb + cs - 2 * cb * cs,
    "add": lambda cb, cs: min(1, cb + cs),
    "subtract": lambda cb, cs: max(0, cb - cs),
}


def lum(c: Color) -> float:
    return 0.3 * c[0] + 0.59 * c[1] + 0.11 * c[2]


def clip_color(c: Color) -> Color:
    light, low, high = lum(c), min(c), max(c)
    if low < 0:
        c = tuple(light + (x - light) * light / (light - low) for x in c)  # type: ignore[assignment]
    if high > 1:
        c = tuple(light + (x - light) * (1 - light) / (high - light) for x in c)  # type: ignore[assignment]
    return c


def set_lum(c: Color, light: float) -> Color:
    d = light - lum(c)
    return clip_color((c[0] + d, c[1] + d, c[2] + d))


def sat(c: Color) -> float:
    return max(c) - min(c)


def set_sat(c: Color, s: float) -> Color:
    """The specification's own way: by the names Cmin, Cmid and Cmax."""
    order = sorted(range(3), key=lambda n: c[n])
    out = [0.0, 0.0, 0.0]
    low, mid, high = (c[n] for n in order)
    if high > low:
        out[order[1]] = (mid - low) * s / (high - low)
        out[order[2]] = s
    return out[0], out[1], out[2]


NON_SEPARABLE: dict[str, Callable[[Color, Color], Color]] = {
    "hue": lambda cb, cs: set_lum(set_sat(cs, sat(cb)), lum(cb)),
    "saturation": lambda cb, cs: set_lum(set_sat(cb, sat(cs)), lum(cb)),
    "color": lambda cb, cs: set_lum(cs, lum(cb)),
    "luminosity": lambda cb, cs: set_lum(cb, lum(cs)),
}


def colors() -> tuple[np.ndarray, np.ndarray]:
    ends = np.array(np.meshgrid([0, 0.25, 0.5, 1], [0, 0.25, 0.5, 1], [0, 0.5, 1])).reshape(3, -1).T
    noise = np.random.default_rng(0).random((150, 3))
    base = np.concatenate([np.repeat(ends, len(ends), 0), noise])
    top = np.concatenate([np.tile(ends, (len(ends), 1)), noise[::-1]])
    return base.astype(np.float32), top.astype(np.float32)


def test_there_is_a_formula_for_every_mode() -> None:
    assert set(get_args(BlendMode)) == set(BLEND_MODES) == {*SEPARABLE, *NON_SEPARABLE}


@pytest.mark.parametrize("mode", SEPARABLE)
def test_a_separable_mode_follows_its_formula(mode: str) -> None:
    base, top = colors()
    wanted = np.vectorize(SEPARABLE[mode], otypes=[float])(base.astype(float), top.astype(float))
    np.testing.assert_allclose(BLEND_MODES[mode](base, top), wanted, atol=2e-6)


@pytest.mark.parametrize("mode", NON_SEPARABLE)
def test_a_non_separable_mode_follows_its_formula(mode: str) -> None:
    base, top = colors()
    wanted = [
        NON_SEPARABLE[mode](tuple(cb), tuple(cs))
        for cb, cs in zip(base.astype(float).tolist(), top.astype(float).tolist(), strict=True)
    ]
    np.testing.assert_allclose(BLEND_MODES[mode](base, top), wanted, atol=5e-6)
