"""The sizes and crops of pictures, by the rules of A1111 and kohya."""

from __future__ import annotations

import math
from itertools import pairwise

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from nodes.picture_sets import fitting
from nodes.picture_sets.edits import Crop, Edit, Pad, Resize, Size
from nodes.picture_sets.fitting import Sizes

KOHYA = Sizes(256, 1024, 64, 512 * 512)
A1111 = Sizes(384, 768, 64, 640 * 640)
sides = st.integers(1, 3000)


def result(size: Size, edits: tuple[Edit, ...]) -> Size:
    for edit in edits:
        if isinstance(edit, Crop):
            assert 0 <= edit.left <= size[0] - edit.width
            assert 0 <= edit.top <= size[1] - edit.height
        size = edit.size(size)
    return size


@given(sides, sides, sides, sides)
def test_a_crop_has_the_size_of_the_target_and_lies_inside(w: int, h: int, wide: int, high: int) -> None:
    edits = fitting.cropped((w, h), (wide, high), lambda resized, window: (resized[0], 0))
    assert result((w, h), edits) == (wide, high)
    assert result((w, h), fitting.padded((w, h), (wide, high), (0, 0, 0))) == (wide, high)


@pytest.mark.parametrize(
    ("size", "edits"),
    [
        ((1000, 500), (Resize(1024, 512), Crop(256, 0, 512, 512))),
        ((500, 1001), (Resize(512, 1025), Crop(0, 256, 512, 512))),
        ((300, 300), (Resize(512, 512), Crop(0, 0, 512, 512))),
    ],
)
def test_a_picture_is_cropped_in_the_middle_as_in_a1111(size: Size, edits: tuple[Edit, ...]) -> None:
    assert fitting.cropped(size, (512, 512)) == edits


def test_a_crop_around_a_point_is_pushed_inside() -> None:
    def left_at(x: int) -> int:
        crop = fitting.cropped((1000, 500), (500, 500), lambda resized, window: (x, 250))[1]
        assert isinstance(crop, Crop)
        return crop.left

    assert [left_at(x) for x in (0, 249, 400, 990)] == [0, 0, 150, 500]


def test_a_padded_picture_keeps_its_proportions() -> None:
    assert fitting.padded((1000, 500), (512, 512), (1, 2, 3)) == (
        Resize(512, 256),
        Pad(0, 128, 0, 128, 1, 2, 3),
    )


@pytest.mark.parametrize(
    ("size", "places"),
    [
        # the count is ceil((L - 102.4) / 409.6), and the places are int(i * (L - 512) / (count - 1))
        ((1024, 512), [0, 256, 512]),  # 0.5 is at the threshold; (1024 - 102.4) / 409.6 = 2.25
        ((1000, 512), []),  # 0.512 is above it
        ((1024, 400), [0, 399, 798]),  # L = 1310: 2.95
        ((4000, 1000), [0, 384, 768, 1152, 1536]),
        ((700, 2000), [0, 316, 633, 950]),  # L = 1462: 3.32
        ((512, 512), []),
    ],
)
def test_an_oversized_picture_is_split(size: Size, places: list[int]) -> None:
    pieces = fitting.split(size, (512, 512), threshold=0.5, overlap=0.2)
    crops = [piece[1] for piece in pieces]
    assert [crop.left or crop.top for crop in crops if isinstance(crop, Crop)] == places
    assert all(result(size, piece) == (512, 512) for piece in pieces)


@settings(max_examples=50)
@given(sides, sides, st.floats(0, 1), st.floats(0, 0.9))
def test_pieces_cover_both_ends_and_overlap(w: int, h: int, threshold: float, overlap: float) -> None:
    pieces = fitting.split((w, h), (64, 64), threshold=threshold, overlap=overlap)
    ratio = min(w, h) / max(w, h)
    assert bool(pieces) == (ratio < 1 and min(w, h) * 64 / (max(w, h) * 64) <= threshold)
    crops = [crop for _, crop in pieces if isinstance(crop, Crop)]
    places = [crop.left + crop.top for crop in crops]
    if places:
        (resize,) = {edits[0] for edits in pieces}
        assert isinstance(resize, Resize)
        assert places[0] == 0
        assert places[-1] == max(resize.width, resize.height) - 64
        assert all(b - a <= 64 * (1 - overlap) + 1 for a, b in pairwise(places))


def test_the_split_follows_the_proportions_of_the_target() -> None:
    """A wide picture is not oversized for a target of the same proportions."""
    assert fitting.split((1200, 400), (768, 256), threshold=0.5, overlap=0.2) == []
    upright = fitting.split((1200, 400), (256, 768), threshold=0.5, overlap=0.2)
    assert [edits[0] for edits in upright] == [Resize(2304, 768)] * len(upright)
    assert len(upright) == math.ceil((2304 - 256 * 0.2) / (256 * 0.8))


@pytest.mark.parametrize(
    ("size", "expected"),
    [((1000, 1000), (640, 640)), ((1500, 1000), (768, 512)), ((3000, 1000), None), ((800, 1000), (576, 704))],
)
def test_an_auto_size_is_the_largest_that_fits(size: Size, expected: Size | None) -> None:
    assert fitting.auto_size(size, A1111) == expected


def test_buckets_are_those_of_kohya() -> None:
    """As `make_bucket_resolutions((512, 512))` of sd-scripts lists them."""
    wide = [(576, 448), (640, 384), (704, 320), (768, 320), *((side, 256) for side in (832, 896, 960, 1024))]
    assert fitting.buckets(KOHYA) == sorted([(512, 512), *wide, *((high, side) for side, high in wide)])


@pytest.mark.parametrize(
    ("size", "expected"),
    [
        ((1000, 1000), (512, 512)),
        ((1500, 1000), (640, 384)),
        ((1000, 1500), (384, 640)),
        ((9000, 1000), (1024, 256)),
    ],
)
def test_the_bucket_with_the_nearest_proportions_is_taken(size: Size, expected: Size) -> None:
    assert fitting.bucket(size, fitting.buckets(KOHYA)) == expected


def test_a_bucket_of_its_own_never_enlarges() -> None:
    assert fitting.own_bucket((300, 200), KOHYA) == ((300, 200), (256, 192))
    assert fitting.own_bucket((40, 200), KOHYA) == ((40, 200), (0, 192))
    resized, bucket = fitting.own_bucket((2000, 1000), KOHYA)
    assert (resized, bucket) == ((640, 320), (640, 320))  # 704 x 320 is further from the proportions
