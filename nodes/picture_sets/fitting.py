"""Fits pictures to the size of a training: which edits resize and crop a picture of a given size.

The rules are those of A1111 (preprocessing) and kohya's sd-scripts (aspect buckets).
"""

from __future__ import annotations

import math
from collections.abc import Callable, Iterable
from dataclasses import dataclass

from nodes.picture_sets.edits import Crop, Edit, Pad, Resize, Size

Focus = Callable[[Size, Size], tuple[int, int]]
"""Given the size of the resized picture and that of the window: the point around which to crop."""
LARGEST_ERROR = 0.1
"""The greatest relative difference of proportions of an auto-sized crop (A1111: error threshold)."""


@dataclass(frozen=True)
class Sizes:
    """The sizes among which buckets and auto-sized crops are chosen, in pixels."""

    smallest: int
    """The shortest side."""
    largest: int
    """The longest side."""
    step: int
    """Sides are multiples of it."""
    area: int
    """The largest area."""


def stretched(target: Size) -> tuple[Edit, ...]:
    """Return edits that resize to the target without keeping the proportions."""
    return (Resize(*target),)


def covered(size: Size, target: Size) -> Size:
    """Return the smallest size with the proportions of `size` that covers the target, rounded as in A1111."""
    (width, height), (wide, high) = size, target
    if wide * height > width * high:
        return wide, max(high, height * wide // width)
    return max(wide, width * high // height), high


def cropped(size: Size, target: Size, focus: Focus | None = None) -> tuple[Edit, ...]:
    """Return edits that resize a picture until it covers the target, and cut off the rest.

    Args:
        size: the size of the picture.
        target: the size of the result.
        focus: the point to crop around; None for the middle.
    """
    resized = covered(size, target)
    (width, height), (wide, high) = resized, target
    left, top = width // 2 - wide // 2, height // 2 - high // 2
    if focus is not None and resized != target:
        x, y = focus(resized, target)
        left = min(max(0, x - wide // 2), width - wide)
        top = min(max(0, y - high // 2), height - high)
    return Resize(*resized), Crop(left, top, wide, high)


def padded(size: Size, target: Size, color: tuple[int, int, int]) -> tuple[Edit, ...]:
    """Return edits that resize a picture until it fits into the target, and add borders."""
    (width, height), (wide, high) = size, target
    if wide * height > width * high:
        inner = max(1, round(width * high / height)), high
    else:
        inner = wide, max(1, round(height * wide / width))
    left, top = (wide - inner[0]) // 2, (high - inner[1]) // 2
    return Resize(*inner), Pad(left, top, wide - inner[0] - left, high - inner[1] - top, *color)


def split(size: Size, target: Size, *, threshold: float, overlap: float) -> list[tuple[Edit, ...]]:
    """Split a picture that is much longer than the target into overlapping pieces of its size (A1111).

    The short side is resized to fit. The pieces are spread evenly over the long side, and cover both ends.

    Args:
        size: the size of the picture.
        target: the size of a piece.
        threshold: a picture is split if the ratio of its short to its long side, relative to that of the
            target, is at most this and below 1.
        overlap: the least overlap of neighbours, as a share of the target.

    Returns:
        the edits of each piece; empty if the picture is not split.
    """
    (width, height), (wide, high) = size, target
    upright = height > width
    short, long = (width * high, height * wide) if upright else (height * wide, width * high)
    if short >= long or short / long > threshold:
        return []
    length, piece = (height * wide // width, high) if upright else (width * high // height, wide)
    count = max(1, math.ceil((length - piece * overlap) / (piece * (1 - overlap))))
    resize = Resize(wide, length) if upright else Resize(length, high)
    places = [number * (length - piece) // max(1, count - 1) for number in range(count)]
    return [
        (resize, Crop(0, place, wide, high) if upright else Crop(place, 0, wide, high)) for place in places
    ]


def auto_size(size: Size, sizes: Sizes) -> Size | None:
    """Return the largest size with nearly the proportions of a picture (A1111's auto-sized crop).

    None if the proportions of each size differ by more than 10 %.
    """
    width, height = size

    def error(side: Size) -> float:
        ratio = width * side[1] / (height * side[0])
        return 1 - min(ratio, 1 / ratio)

    sides = range(sizes.smallest, sizes.largest + 1, sizes.step)
    fitting = [
        (wide, high)
        for wide in sides
        for high in sides
        if wide * high <= sizes.area and error((wide, high)) <= LARGEST_ERROR
    ]
    return max(fitting, key=lambda side: (side[0] * side[1], -error(side)), default=None)


def buckets(sizes: Sizes) -> list[Size]:
    """List kohya's aspect buckets: for each width the greatest height within the area, and vice versa."""
    square = max(sizes.step, int(math.sqrt(sizes.area) // sizes.step) * sizes.step)
    found = {(square, square)}
    for wide in range(sizes.smallest, sizes.largest + 1, sizes.step):
        high = min(sizes.largest, sizes.area // wide // sizes.step * sizes.step)
        if high >= sizes.smallest:
            found |= {(wide, high), (high, wide)}
    return sorted(found)


def bucket(size: Size, choices: Iterable[Size]) -> Size:
    """Return the bucket whose aspect ratio (width / height) is nearest to that of a picture."""
    ratio = size[0] / size[1]
    return min(choices, key=lambda choice: abs(choice[0] / choice[1] - ratio))


def own_bucket(size: Size, sizes: Sizes) -> tuple[Size, Size]:
    """Return the size to which a picture is shrunk, and its bucket, by kohya's rule `bucket_no_upscale`.

    A picture within the area keeps its size. The sides of the bucket are the largest multiples of the step
    inside the picture.

    Returns:
        the resized size and the bucket; the bucket has a side of 0 if the picture is smaller than a step.
    """
    width, height = size
    resized = size
    if width * height > sizes.area:
        ratio = width / height
        wide = math.sqrt(sizes.area * ratio)
        by_width = _rounded(wide, sizes.step)
        by_height = _rounded(sizes.area / wide, sizes.step)
        width_error = abs(by_width / max(1, _rounded(by_width / ratio, sizes.step)) - ratio)
        height_error = abs(_rounded(by_height * ratio, sizes.step) / max(1, by_height) - ratio)
        if width_error < height_error:
            resized = by_width, int(by_width / ratio + 0.5)
        else:
            resized = int(by_height * ratio + 0.5), by_height
    return resized, (resized[0] - resized[0] % sizes.step, resized[1] - resized[1] % sizes.step)


def _rounded(side: float, step: int) -> int:
    whole = int(side + 0.5)
    return whole - whole % step
