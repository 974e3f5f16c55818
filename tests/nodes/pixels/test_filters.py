"""Blurring and growing against slow formulas that look at every pair of pixels."""

from __future__ import annotations

from typing import get_args

import numpy as np
import pytest
from numpy.typing import NDArray

from nodes.pixels.choices import Shape
from nodes.pixels.filters import gaussian_blur, grow

NOISE: NDArray[np.float32] = np.random.default_rng(0).random((2, 13, 9), np.float32)


def within(shape: Shape, dy: int, dx: int, reach: int) -> bool:
    return {
        "round": dy * dy + dx * dx <= reach * reach,
        "square": max(abs(dy), abs(dx)) <= reach,
        "diamond": abs(dy) + abs(dx) <= reach,
    }[shape]


@pytest.mark.parametrize("shape", get_args(Shape))
@pytest.mark.parametrize("pixels", [1, 2, 5, 40, -1, -3, -40])
def test_grow_takes_the_maximum_or_minimum_within_reach(shape: Shape, pixels: int) -> None:
    _, height, width = NOISE.shape
    choose = np.max if pixels > 0 else np.min
    for mask, grown in zip(NOISE, grow(NOISE, pixels, shape), strict=True):
        for y in range(height):
            for x in range(width):
                near = [
                    mask[v, u]
                    for v in range(height)
                    for u in range(width)
                    if within(shape, v - y, u - x, abs(pixels))
                ]
                assert grown[y, x] == pytest.approx(choose(near), abs=1e-6)


def test_growing_by_nothing_changes_nothing() -> None:
    assert grow(NOISE, 0, "round") is NOISE


def test_a_grown_mask_can_be_given_up_half_way() -> None:
    def stop() -> None:
        raise InterruptedError

    with pytest.raises(InterruptedError):
        grow(NOISE, 3, "round", stop)


@pytest.mark.parametrize(("sigma", "reach"), [(0.7, 0), (2.0, 0), (2.0, 3), (9.0, 0)])
def test_a_blur_is_the_weighted_mean_of_all_pixels_around(sigma: float, reach: int) -> None:
    colors = np.random.default_rng(1).random((1, 11, 8, 3), np.float32)
    radius = reach or max(1, int(np.ceil(3 * sigma)))
    weights = np.exp(-(np.arange(-radius, radius + 1) ** 2) / (2 * sigma**2))
    kernel = np.outer(weights, weights) / weights.sum() ** 2
    around = np.pad(colors[0], ((radius, radius), (radius, radius), (0, 0)), "reflect")
    wanted = np.array(
        [
            [
                (around[y : y + 2 * radius + 1, x : x + 2 * radius + 1] * kernel[..., None]).sum((0, 1))
                for x in range(8)
            ]
            for y in range(11)
        ]
    )
    np.testing.assert_allclose(gaussian_blur(colors, sigma, reach)[0], wanted, atol=1e-5)


def test_a_blur_keeps_a_flat_picture() -> None:
    np.testing.assert_allclose(gaussian_blur(np.full((1, 1, 5), 0.5, np.float32), 3), 0.5, atol=1e-6)
