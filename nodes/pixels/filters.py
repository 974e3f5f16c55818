"""Gaussian blur, and growing and shrinking of masks."""

from __future__ import annotations

from collections.abc import Callable
from typing import TYPE_CHECKING, Any

import numpy as np

from nodes.pixels.choices import Shape

if TYPE_CHECKING:
    from numpy.typing import NDArray


def gaussian_blur(levels: NDArray[np.float32], sigma: float, reach: int = 0) -> NDArray[np.float32]:
    """Blur along the height and the width. Pictures are mirrored at their edges, without the edge pixel.

    Args:
        levels: float32 [count, height, width, ...].
        sigma: the standard deviation in pixels.
        reach: the radius of the kernel in pixels; 0 for three times sigma.
    """
    reach = reach or max(1, int(np.ceil(3 * sigma)))
    distance = np.arange(-reach, reach + 1)
    kernel = np.exp(-(distance**2) / (2 * sigma**2))
    kernel = (kernel / kernel.sum()).astype(np.float32)
    for axis in (1, 2):
        levels = _convolved(levels, kernel, reach, axis)
    return levels


def _convolved(
    levels: NDArray[np.float32], kernel: NDArray[np.float32], reach: int, axis: int
) -> NDArray[np.float32]:
    length = levels.shape[axis]
    around = [(0, 0)] * levels.ndim
    around[axis] = (reach, reach)
    padded = np.pad(levels, around, "reflect")
    total = np.zeros_like(levels)
    for offset, weight in enumerate(kernel):
        total += weight * _slice(padded, axis, offset, length)
    return total


def grow(
    levels: NDArray[np.float32], pixels: int, shape: Shape, check: Callable[[], None] = lambda: None
) -> NDArray[np.float32]:
    """Grow or shrink masks: replace each level by the greatest or smallest within a distance.

    Levels beyond the edges have no effect.

    Args:
        levels: float32 [count, height, width].
        pixels: the distance; negative to shrink.
        shape: the shape into which a single pixel grows: `round` is a disc; `diamond` is the result of
            repeated growing by a cross (scipy's `grey_dilation`, ComfyUI's "tapered corners").
        check: called regularly; raises an exception to stop the work.
    """
    if pixels == 0:
        return levels
    if pixels < 0:
        return 1 - grow(1 - levels, -pixels, shape, check)
    grown = levels.copy()
    height = levels.shape[1]
    widest = _windows(levels, pixels)
    for rows in range(-min(pixels, height - 1), min(pixels, height - 1) + 1):
        check()
        reach = {
            "round": int(np.sqrt(pixels**2 - rows**2) + 1e-9),
            "square": pixels,
            "diamond": pixels - abs(rows),
        }[shape]
        spread = widest(reach)
        into, source = (
            (slice(rows, None), slice(None, height - rows))
            if rows >= 0
            else (
                slice(None, height + rows),
                slice(-rows, None),
            )
        )
        np.maximum(grown[:, into], spread[:, source], out=grown[:, into])
    return grown


def _windows(levels: NDArray[np.float32], most: int) -> Callable[[int], NDArray[np.float32]]:
    """Return a function that computes the greatest level within `reach` pixels to the left and right.

    The function combines two windows from a table of windows whose widths are powers of two.
    """
    width = levels.shape[2]
    most = min(most, width - 1)
    tables = [np.pad(levels, ((0, 0), (0, 0), (most, most)))]
    while 2 ** len(tables) <= 2 * most + 1:
        half = 2 ** (len(tables) - 1)
        last = tables[-1]
        tables.append(np.maximum(last[..., :-half], last[..., half:]))

    def widest(reach: int) -> NDArray[np.float32]:
        reach = min(reach, most)
        size = 2 * reach + 1
        table = tables[size.bit_length() - 1]
        step = 2 ** (size.bit_length() - 1)
        first, second = most - reach, most + reach + 1 - step
        return np.maximum(table[..., first : first + width], table[..., second : second + width])

    return widest


def _slice(array: NDArray[Any], axis: int, start: int, length: int) -> NDArray[Any]:
    return array[(slice(None),) * axis + (slice(start, start + length),)]
