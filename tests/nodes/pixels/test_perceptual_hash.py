"""Perceptual hashes against their definitions, and on changed pictures."""

from __future__ import annotations

import io
from collections.abc import Callable

import numpy as np
import pytest
from numpy.typing import NDArray
from PIL import Image as pillow
from PIL import ImageEnhance

from nodes.pixels.perceptual_hash import dct_hash, difference_hash, distance


def clouds(seed: int, width: int = 192, height: int = 128) -> pillow.Image:
    """A picture with details of all sizes, as in photographs."""
    rng = np.random.default_rng(seed)
    total = np.zeros((height, width, 3))
    for size in (2, 4, 8, 16, 32, 64):
        coarse = pillow.fromarray(rng.integers(0, 256, (size, size, 3), np.uint8))
        total += np.asarray(coarse.resize((width, height), pillow.Resampling.BICUBIC)) / size
    total -= total.min()
    return pillow.fromarray((total * (255 / total.max())).astype(np.uint8))


def test_the_difference_hash_compares_neighbours() -> None:
    rng = np.random.default_rng(1)
    small: NDArray[np.uint8] = rng.integers(0, 256, (8, 9), np.uint8)
    text = "".join("01"[int(row[n + 1]) > int(row[n])] for row in small for n in range(8))
    assert difference_hash(pillow.fromarray(small)) == int(text, 2)


def test_the_dct_hash_compares_low_frequencies() -> None:
    rng = np.random.default_rng(2)
    small: NDArray[np.uint8] = rng.integers(0, 256, (32, 32), np.uint8)

    def coefficient(v: int, u: int) -> float:
        total = 0.0
        for y in range(32):
            for x in range(32):
                cosines = np.cos(np.pi * v * (2 * y + 1) / 64) * np.cos(np.pi * u * (2 * x + 1) / 64)
                total += 4 * float(small[y, x]) * float(cosines)
        return total

    low = np.array([[coefficient(v, u) for u in range(8)] for v in range(8)])
    text = "".join("01"[int(bit)] for bit in (low > np.median(low)).ravel())
    assert dct_hash(pillow.fromarray(small)) == int(text, 2)


def as_jpeg(picture: pillow.Image) -> pillow.Image:
    file = io.BytesIO()
    picture.save(file, "JPEG", quality=40)
    with pillow.open(file) as read:
        return read.convert("RGB")


CHANGES: dict[str, Callable[[pillow.Image], pillow.Image]] = {
    "compressed": as_jpeg,
    "smaller": lambda picture: picture.resize((96, 64)),
    "brighter": lambda picture: ImageEnhance.Brightness(picture).enhance(1.1),
    "grey": lambda picture: picture.convert("L").convert("RGB"),
    "cropped": lambda picture: picture.crop((2, 1, 190, 127)),
}


@pytest.mark.parametrize("change", CHANGES)
def test_a_changed_picture_has_nearly_the_same_hashes(change: str) -> None:
    for seed in range(5):
        picture = clouds(seed)
        changed = CHANGES[change](picture)
        assert distance(difference_hash(picture), difference_hash(changed)) <= 6
        assert distance(dct_hash(picture), dct_hash(changed)) <= 12


def test_different_pictures_have_different_hashes() -> None:
    pictures = [clouds(seed) for seed in range(12)]
    for hash in (difference_hash, dct_hash):
        hashes = [hash(picture) for picture in pictures]
        assert min(distance(a, b) for n, a in enumerate(hashes) for b in hashes[:n]) >= 14


def test_the_distance_counts_bits() -> None:
    assert distance(0b1011, 0b0001) == 2
    assert distance(2**64 - 1, 0) == 64
