"""The focal point of a picture: strong corners and the part with the most detail."""

from __future__ import annotations

import math

import numpy as np
import pytest
from PIL import Image as pillow
from PIL import ImageDraw

from nodes.pixels.focal_point import detailed_window, focal_point, strong_corners


def square_at(x: int, y: int, size: tuple[int, int], side: int = 20) -> pillow.Image:
    picture = pillow.new("RGB", size, (90, 90, 90))
    ImageDraw.Draw(picture).rectangle([x, y, x + side - 1, y + side - 1], "white")
    return picture


def test_the_corners_of_a_square_are_found() -> None:
    grey = np.asarray(square_at(60, 30, (200, 120)).convert("L"))
    found = strong_corners(grey)
    wanted = [(60, 30), (79, 30), (60, 49), (79, 49)]
    for corner in wanted:
        assert min(math.dist(corner, point) for point in found) <= 2
    assert all(min(math.dist(corner, point) for corner in wanted) <= 2 for point in found if point[1] < 100)


def test_corners_keep_a_distance_and_watermarks_are_ignored() -> None:
    noise = np.random.default_rng(0).integers(0, 256, (100, 150), np.uint8)
    found = strong_corners(noise)
    distances = [math.dist(a, b) for n, a in enumerate(found) for b in found[:n]]
    assert len(found) > 20
    assert min(distances) >= 6
    assert found[:, 1].max() <= 91
    assert len(strong_corners(np.full((50, 50), 7, np.uint8))) <= 2  # the grey bottom has an edge, no corners


@pytest.mark.parametrize(("x", "y", "size"), [(150, 40, (220, 100)), (30, 170, (100, 240))])
def test_the_most_detailed_window_is_found(x: int, y: int, size: tuple[int, int]) -> None:
    picture = pillow.new("L", size, 0)
    noise = np.random.default_rng(1).integers(0, 2, (40, 40), np.uint8) * 255
    picture.paste(pillow.fromarray(noise), (x, y - 20))
    found = detailed_window(picture, (100, 100))
    assert found is not None
    long = 0 if size[0] > size[1] else 1
    start = found[long] - 50
    middle = (x, y - 20)[long]
    assert start % 4 == 0
    assert start <= middle <= start + 100 - 40


def test_a_plain_or_square_picture_has_no_detailed_window() -> None:
    assert detailed_window(pillow.new("L", (200, 100), 255), (100, 100)) is None
    assert detailed_window(pillow.new("L", (100, 100), 99), (100, 100)) is None


def test_the_focal_point_is_the_weighted_mean() -> None:
    picture = square_at(150, 30, (240, 100))
    edges = focal_point(picture, (100, 100), edge_weight=1, entropy_weight=0)
    detail = focal_point(picture, (100, 100), edge_weight=0, entropy_weight=1)
    both = focal_point(picture, (100, 100), edge_weight=0.5, entropy_weight=0.15)
    assert abs(edges[0] - 160) <= 2
    assert both[0] == pytest.approx((edges[0] * 0.5 + detail[0] * 0.15) / 0.65, abs=1)
    nothing = pillow.new("RGB", (300, 100), "white")
    assert focal_point(nothing, (100, 100), edge_weight=0, entropy_weight=0) == (150, 50)
