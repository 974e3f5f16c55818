"""The judge knows only pixels: it must see nothing in nothing, and be wrong when the picture is wrong."""

import numpy as np
from PIL import Image, ImageDraw

from tests.nodes.sd.tiny.judge import compare, largest_patch, look, look_at_two
from tests.nodes.sd.tiny.scenes import Thing


def test_an_empty_picture_shows_nothing() -> None:
    seen = look(Image.new("RGB", (128, 128), (40, 75, 210)))
    assert (seen.background, seen.colour, seen.shape) == ("blue", "", "")
    verdict = compare(seen, Thing("circle", "red"), "blue")
    assert (verdict.background, verdict.colour, verdict.shape, verdict.position) == (
        True,
        False,
        False,
        False,
    )


def test_stripes_are_no_circle() -> None:
    stripes = np.zeros((128, 128, 3), np.uint8)
    stripes[:, 40:44] = stripes[:, 80:84] = 255
    assert look(Image.fromarray(stripes)).shape != "circle"
    assert look(Image.fromarray(stripes)).overlap < 0.5


def test_a_drawn_disc_is_seen_where_it_is() -> None:
    picture = Image.new("RGB", (128, 128), (245, 245, 245))
    ImageDraw.Draw(picture).ellipse([10, 74, 54, 118], fill=(220, 40, 40))
    seen = look(picture)
    assert (seen.background, seen.colour, seen.shape) == ("white", "red", "circle")
    assert (seen.x, seen.y) == (32 / 128, 96 / 128)
    assert seen.is_at("bottom left")
    assert not seen.is_at("left")


def test_two_things_are_seen_in_their_order_even_if_one_is_faint() -> None:
    picture = Image.new("RGB", (128, 128), (245, 245, 245))
    pen = ImageDraw.Draw(picture)
    pen.rectangle([10, 44, 50, 84], fill=(25, 25, 28))
    pen.polygon([(96, 40), (116, 78), (76, 78)], fill=(250, 222, 50))
    left, right = look_at_two(picture, "left of")
    assert (left.colour, left.shape) == ("black", "square")
    assert (right.colour, right.shape) == ("yellow", "triangle")


def test_the_largest_patch_does_not_jump_a_diagonal() -> None:
    area = np.array([[1, 1, 0, 0], [0, 0, 1, 0], [0, 1, 1, 1]], bool)
    assert largest_patch(area).astype(int).tolist() == [[0, 0, 0, 0], [0, 0, 1, 0], [0, 1, 1, 1]]
