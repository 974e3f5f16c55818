"""Finds the point of a picture to crop around, from its edges and its entropy (A1111's focal point crop)."""

from __future__ import annotations

from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

_MOST_CORNERS = 100
_QUALITY = 0.04
"""Corners weaker than this share of the strongest are ignored."""
_DISTANCE = 0.06
"""The least distance of two corners, as a share of the short side."""
_WATERMARK = 0.9
"""Corners below this share of the height are ignored, since watermarks are often there."""
_STRIDE = 4
"""The entropy is compared each so many pixels."""


def focal_point(
    picture: Picture, window: tuple[int, int], *, edge_weight: float, entropy_weight: float
) -> tuple[int, int]:
    """Find the point to crop around: the weighted mean of two points.

    Args:
        picture: the picture, already resized so that one side of the window fits.
        window: the width and height of the crop in pixels.
        edge_weight: the weight of the first point, the mean of the strongest corners; 0.5 in A1111.
        entropy_weight: the weight of the second, the middle of the most detailed window; 0.15 in A1111.

    Returns:
        x and y in pixels; the middle of the picture if neither point is found.
    """
    grey = picture.convert("L")
    points = []
    if edge_weight > 0:
        corners = strong_corners(np.asarray(grey))
        if len(corners):
            x, y = corners.mean(axis=0)
            points.append((edge_weight, float(x), float(y)))
    if entropy_weight > 0 and (found := detailed_window(grey, window)) is not None:
        points.append((entropy_weight, *found))
    total = sum(weight for weight, _, _ in points)
    if not total:
        return picture.width // 2, picture.height // 2
    x = sum(weight * x for weight, x, _ in points) / total
    y = sum(weight * y for weight, _, y in points) / total
    return round(x), round(y)


def strong_corners(grey: NDArray[np.uint8]) -> NDArray[np.float64]:
    """Find the strongest corners: float64 [corners, 2] of x and y (Shi and Tomasi, "Good Features to Track").

    A corner is a local maximum of the smaller eigenvalue of the structure tensor, as in OpenCV's
    `goodFeaturesToTrack` with a block of 3 pixels.

    Args:
        grey: the picture, uint8 [height, width].
    """
    levels = grey.astype(np.float32)
    levels[int(len(levels) * _WATERMARK) :] = 0x99
    strength = _smaller_eigenvalue(levels)
    around = _windowed(np.pad(strength, 1, constant_values=-1), np.maximum)
    is_peak = (strength >= around) & (strength > _QUALITY * strength.max()) & (strength > 1e-3)
    rows, columns = np.nonzero(is_peak)
    order = np.argsort(-strength[rows, columns], kind="stable")
    least = (_DISTANCE * min(grey.shape)) ** 2
    chosen = np.empty((_MOST_CORNERS, 2))
    count = 0
    for place in order:
        x, y = columns[place], rows[place]
        if ((chosen[:count] - (x, y)) ** 2).sum(axis=1).min(initial=np.inf) >= least:
            chosen[count] = x, y
            count += 1
            if count == _MOST_CORNERS:
                break
    return chosen[:count]


def _smaller_eigenvalue(levels: NDArray[np.float32]) -> NDArray[np.float32]:
    padded = np.pad(levels, 1, "reflect") if min(levels.shape) > 1 else np.pad(levels, 1, "edge")
    smooth_rows = padded[:-2] + 2 * padded[1:-1] + padded[2:]
    smooth_columns = padded[:, :-2] + 2 * padded[:, 1:-1] + padded[:, 2:]
    across = smooth_rows[:, 2:] - smooth_rows[:, :-2]
    down = smooth_columns[2:] - smooth_columns[:-2]
    xx, yy, xy = (
        _windowed(np.pad(product, 1, "edge"), np.add)
        for product in (across * across, down * down, across * down)
    )
    return np.asarray((xx + yy) / 2 - np.sqrt(((xx - yy) / 2) ** 2 + xy**2), np.float32)


def _windowed(padded: NDArray[np.float32], combine: np.ufunc) -> NDArray[np.float32]:
    """Combine each pixel with its eight neighbours by `combine`; `padded` has one more pixel on each side."""
    rows = combine(combine(padded[:-2], padded[1:-1]), padded[2:])
    combined: NDArray[np.float32] = combine(combine(rows[:, :-2], rows[:, 1:-1]), rows[:, 2:])
    return combined


def detailed_window(grey: Picture, window: tuple[int, int]) -> tuple[float, float] | None:
    """Find the middle of the window with the greatest entropy, in steps of 4 pixels along the long side.

    The entropy is that of black and white pixels after dithering to 1 bit, in bits by Shannon.

    Returns None for a square picture, and for one without detail.
    """
    if grey.width == grey.height:
        return None
    bits = np.asarray(grey.convert("1"), np.int64)
    along = 1 if grey.width > grey.height else 0
    length, breadth = window[1 - along], min(window[along], bits.shape[1 - along])
    across = bits[:breadth] if along else bits[:, :breadth]
    sums = np.concatenate([[0], across.sum(axis=1 - along).cumsum()])
    starts = np.arange(0, max(1, bits.shape[along] - length + 1), _STRIDE)
    white = (sums[np.minimum(starts + length, bits.shape[along])] - sums[starts]) / (length * breadth)
    shares = np.stack([white, 1 - white])
    entropy = -(shares * np.log2(np.maximum(shares, 1e-12))).sum(axis=0)
    best = int(entropy.argmax())
    if entropy[best] < 1e-9:
        return None
    middle = float(starts[best] + length // 2)
    return (middle, window[1] / 2) if along else (window[0] / 2, middle)
