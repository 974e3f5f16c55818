"""Grid: where each picture lies on the sheet, bit for bit, and what is written around it."""

from __future__ import annotations

from typing import Any

import numpy as np
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from numpy.typing import NDArray

from engine.errors import NodeError
from engine.testing import run_node
from nodes.image.grid import Grid
from nodes.values import Image

Pixels = NDArray[np.uint8]


def noise(seed: int, high: int = 12, wide: int = 12, count: int = 1) -> Image:
    """Pictures that no other has a row of pixels in common with."""
    return Image(np.random.default_rng(seed).integers(0, 255, (count, high, wide, 3), np.uint8))


def sheet_of(images: Any, **more: Any) -> Pixels:
    made = run_node(Grid(images=images, **more))["out"]
    assert isinstance(made, Image)
    assert len(made.pixels) == 1
    sheet: Pixels = made.pixels[0]
    return sheet


def places(sheet: Pixels, cell: Pixels) -> list[tuple[int, int]]:
    """Where a picture lies on a sheet, by comparing every place."""
    windows = np.lib.stride_tricks.sliding_window_view(sheet, cell.shape)[:, :, 0]
    return [(int(y), int(x)) for y, x in np.argwhere((windows == cell).all((2, 3, 4)))]


def place(sheet: Pixels, cell: Image) -> tuple[int, int]:
    (found,) = places(sheet, cell.pixels[0])
    return found


def test_pictures_lie_in_order_with_the_gap_between_and_around() -> None:
    pictures = [noise(n, 10, 14) for n in range(6)]
    sheet = sheet_of(pictures, width=3, gap=5)
    assert sheet.shape == (5 + 2 * (10 + 5), 5 + 3 * (14 + 5), 3)
    assert [place(sheet, cell) for cell in pictures] == [
        (5 + y * 15, 5 + x * 19) for y in range(2) for x in range(3)
    ]
    for y, x in (place(sheet, cell) for cell in pictures):
        sheet = sheet.copy()
        sheet[y : y + 10, x : x + 14] = 255
    assert (sheet == 255).all(), "all the rest is white"


@settings(max_examples=25, deadline=None)
@given(st.integers(1, 12), st.integers(0, 5), st.integers(0, 3))
def test_a_grid_has_each_picture_once_in_full_rows(count: int, width: int, gap: int) -> None:
    pictures = [noise(n, 4, 4) for n in range(count)]
    sheet = sheet_of(pictures, width=width, gap=gap)
    found = [place(sheet, cell) for cell in pictures]
    assert found == sorted(found)
    across = (sheet.shape[1] - gap) // (4 + gap)
    down = (sheet.shape[0] - gap) // (4 + gap)
    assert across == (min(width, count) if width else across)
    assert (down - 1) * across < count <= down * across
    if not width:
        assert abs(down - across) <= 1, "about square"


def test_smaller_pictures_lie_in_the_middle_of_cells_of_the_largest_size() -> None:
    large, flat, tall = noise(1, 20, 30), noise(2, 5, 30), noise(3, 20, 7)
    sheet = sheet_of([large, flat, tall], width=3, gap=0)
    assert sheet.shape == (20, 90, 3)
    assert place(sheet, large) == (0, 0)
    assert place(sheet, flat) == ((20 - 5) // 2, 30)
    assert place(sheet, tall) == (0, 60 + (30 - 7) // 2)


def test_batches_are_laid_out_picture_by_picture() -> None:
    batch, single = noise(1, count=3), noise(2)
    sheet = sheet_of([batch, single], width=2)
    cells = [Image(batch.pixels[n : n + 1].copy()) for n in range(3)] + [single]
    assert [place(sheet, cell) for cell in cells] == [(4, 4), (4, 20), (20, 4), (20, 20)]
    assert np.array_equal(sheet_of(batch, width=2), sheet_of([*cells[:3]], width=2)), "a batch alone will do"


def test_lists_of_lists_are_rows() -> None:
    rows = [[noise(1), noise(2)], [noise(3), noise(4)], [noise(5), noise(6)]]
    sheet = sheet_of(rows, gap=0)
    assert [[place(sheet, cell) for cell in row] for row in rows] == [
        [(12 * y, 0), (12 * y, 12)] for y in range(3)
    ]
    ragged = sheet_of([[noise(1)], [], [noise(2), noise(3)]], gap=0)
    assert ragged.shape == (24, 24, 3), "a row without pictures takes no room"
    assert (ragged[:12, 12:] == 255).all()
    assert place(ragged, noise(3)) == (12, 12)


def dark(area: Pixels) -> int:
    return int((area.sum(-1) < 300).sum())


def test_labels_stand_before_their_rows_and_above_their_columns() -> None:
    rows = [[noise(3 * y + x, 40, 40) for x in range(3)] for y in range(2)]
    plain = sheet_of(rows)
    sheet = sheet_of(rows, rows=["one", ""], columns=["", "two", "three"])
    found = [[place(sheet, cell) for cell in row] for row in rows]
    top, left = found[0][0][0] - 4, found[0][0][1] - 4
    assert (sheet.shape[0] - top, sheet.shape[1] - left) == plain.shape[:2]
    assert np.array_equal(sheet[top:, left:], plain), "the pictures lie as they would without"
    for x, written in enumerate((False, True, True)):
        at = found[0][x][1]
        assert (dark(sheet[:top, at : at + 40]) > 0) == written
    for y, written in enumerate((True, False)):
        at = found[y][0][0]
        assert (dark(sheet[at : at + 40, :left]) > 0) == written
    assert dark(sheet[:top, :left]) == 0
    assert dark(sheet_of(rows, columns=["", "", "mmmm"])) > dark(sheet_of(rows, columns=["", "", "m"]))


def test_a_label_wider_than_its_pictures_makes_room() -> None:
    rows = [[noise(1), noise(2)]]
    sheet = sheet_of(rows, columns=["guidance 7.5", "guidance 10"])
    first, second = (place(sheet, cell) for cell in rows[0])
    assert second[1] - first[1] > 40
    middle = (first[1] + second[1]) // 2 + 6
    assert dark(sheet[: first[0], middle - 2 : middle + 2]) == 0, "the labels do not run into one another"


@pytest.mark.parametrize("text", ["\n\t", "é ☕ 字", "x" * 10_000, "\x1b[2J"])
def test_any_text_is_a_label(text: str) -> None:
    sheet = sheet_of([noise(1)], columns=[text])
    assert place(sheet, noise(1))[0] > 4
    assert sheet.shape[1] < 3000


def test_labels_of_rows_decide_how_many_rows_one_list_makes() -> None:
    pictures = [noise(n) for n in range(6)]
    sheet = sheet_of(pictures, rows=["a", "b", "c"])
    tops = {place(sheet, cell)[0] for cell in pictures}
    assert len(tops) == 3
    assert len({place(sheet_of(pictures, columns=["a"]), cell)[0] for cell in pictures}) == 6


def test_labels_of_columns_count_the_longest_row() -> None:
    sheet = sheet_of([[noise(1)], [noise(2), noise(3)]], columns=["a", "b"])
    assert place(sheet, noise(3))[1] > place(sheet, noise(2))[1]


@pytest.mark.parametrize(
    ("given", "says", "input"),
    [
        ({"images": []}, "`images` is an empty list", "images"),
        ({"images": [[], []]}, "`images` is an empty list", "images"),
        ({"images": 3}, "needs pictures, not int", "images"),
        ({"images": [noise(1), "a.png"]}, "needs pictures, not str", "images"),
        ({"images": [noise(1)], "rows": ["a", "b"]}, "`rows` has 2 labels for 1 rows", "rows"),
        (
            {"images": [[noise(1), noise(2)]], "columns": ["a"]},
            "`columns` has 1 labels for 2 columns",
            "columns",
        ),
        ({"images": [noise(1, 1, 10_000)] * 500, "width": 500, "gap": 1000}, "sheet would be", "images"),
    ],
)
def test_invalid_grids_are_refused(given: dict[str, Any], says: str, input: str) -> None:
    with pytest.raises(NodeError, match=says) as refused:
        run_node(Grid(**given))
    assert refused.value.problem("grid").input == input
    assert refused.value.problem("grid").hint


def test_the_pictures_that_were_given_stay_as_they_were() -> None:
    cell = noise(1)
    before = cell.pixels.copy()
    sheet = sheet_of([cell, cell])
    assert not np.shares_memory(sheet, cell.pixels)
    assert np.array_equal(cell.pixels, before)
    assert places(sheet, before[0]) == [(4, 4), (4, 20)]
