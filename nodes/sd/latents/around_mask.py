"""The rectangle of a picture around a mask, as in A1111 (`modules/masking.py`) for "only masked"."""

from __future__ import annotations

from typing import NamedTuple

import numpy as np
from numpy.typing import NDArray


class Box(NamedTuple):
    """A rectangle in pixels; `right` and `bottom` are the first ones outside."""

    left: int
    top: int
    right: int
    bottom: int


def around(levels: NDArray[np.float32], padding: int, width: int, height: int) -> Box | None:
    """The rectangle around the masked area of some masks, widened to the proportions of a size.

    Args:
        levels: the masks, [masks, height, width].
        padding: pixels added on each side, as far as the picture reaches.
        width: of the size whose proportions the rectangle gets.
        height: of that size.

    Returns:
        the rectangle inside the picture; None if all masks are off.
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
    """A stretch of another length around the same middle, moved into 0 to `most` and cut to it."""
    missing = max(length - (end - start), 0)
    start, end = start - missing // 2, end + missing - missing // 2
    if end > most:
        start, end = start - (end - most), most
    return max(start, 0), min(end - min(start, 0), most)
