"""Perceptual hashes: 64-bit numbers that differ in only a few bits for pictures that look alike."""

from __future__ import annotations

import math
from typing import TYPE_CHECKING

import numpy as np

if TYPE_CHECKING:
    from numpy.typing import NDArray
    from PIL.Image import Image as Picture

_SIDE = 8
"""The hashes have 8 x 8 bits."""
_DCT_SIDE = 32


def difference_hash(picture: Picture) -> int:
    """Compute the dHash of a picture (Krawetz, "Kind of Like That", 2013).

    The picture is reduced to 9 x 8 grey pixels. A bit is 1 where the next pixel to the right is brighter; the
    first bit is the top left one.
    """
    grey = _grey(picture, _SIDE + 1, _SIDE)
    return _packed(grey[:, 1:] > grey[:, :-1])


def dct_hash(picture: Picture) -> int:
    """Compute the pHash of a picture (Zauner, 2010, as in the package imagehash).

    The picture is reduced to 32 x 32 grey pixels. A bit is 1 where one of the 8 x 8 lowest frequencies of
    their cosine transform is above the median.
    """
    transform = _dct_matrix()
    low = (transform @ _grey(picture, _DCT_SIDE, _DCT_SIDE) @ transform.T)[:_SIDE, :_SIDE]
    return _packed(low > np.median(low))


def distance(one: int, other: int) -> int:
    """Count the bits in which two hashes differ, 0 to 64."""
    return (one ^ other).bit_count()


def _grey(picture: Picture, width: int, height: int) -> NDArray[np.float64]:
    from PIL import Image

    small = picture.convert("L").resize((width, height), Image.Resampling.LANCZOS)
    return np.asarray(small, np.float64)


def _packed(bits: NDArray[np.bool_]) -> int:
    return int.from_bytes(np.packbits(bits).tobytes(), "big")


def _dct_matrix() -> NDArray[np.float64]:
    """Compute the matrix of the type 2 cosine transform of 32 numbers, with scipy's scale."""
    places, frequencies = np.arange(_DCT_SIDE) + 0.5, np.arange(_DCT_SIDE)[:, None]
    return 2 * np.cos(math.pi / _DCT_SIDE * frequencies * places)
