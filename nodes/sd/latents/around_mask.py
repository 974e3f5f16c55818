"""Finds the rectangle of a picture around a mask, as A1111 does for "only masked" (`modules/masking.py`)."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A rectangle in pixels; `right` and `bottom` are the first column and row outside."""

    left: int
    top: int
    right: int
    bottom: int


def around(levels: NDArray[np.float32], padding: int, width: int, height: int) -> Box | None:
    """Find the rectangle around the masked area, and widen it to the proportions of a size.

    Args:
        levels: the masks, [masks, height, width]; every pixel above 0 belongs to the area.
        padding: pixels added on each side, as far as the picture reaches.
        width: the width of the size.
        height: the height of the size.

    Returns:
        the rectangle inside the picture; None if all masks are empty.
    """
    rows, columns = np.nonzero(levels.max(0) > 0)
    if not len(rows):
        return None
    tall, wide = levels.shape[1:]
    left, right = max(int(columns.min()) - padding, 0), min(int(columns.max()) + 1 + padding, wide)
    top, bottom = max(int(rows.min()) - padding, 0), min(int(rows.max()) + 1 + padding, tall)
    if (right - left) / (bottom - top) > width / height:
        top, bottom = _widened(top, bottom, int((right - left) * height / width), tall)
    else:
        left, right = _widened(left, right, int((bottom - top) * width / height), wide)
    return Box(left, top, right, bottom)


def _widened(start: int, end: int, length: int, most: int) -> tuple[int, int]:
    """Widen the stretch from `start` to `end` to a length, and keep it within 0 and `most`.

    It grows equally on both sides, and is moved and then cut if it does not fit.
    """
    missing = max(length - (end - start), 0)
    start, end = start - missing // 2, end + missing - missing // 2
    if end > most:
        start, end = start - (end - most), most
    return max(start, 0), min(end - min(start, 0), most)
