"""Numbers of a step that was begun again become one curve."""

from __future__ import annotations

from itertools import pairwise

from hypothesis import given
from hypothesis import strategies as st

from engine.queue.metric_table import Row, merged, thinned


def steps(first: int, last: int, loss: float) -> list[Row]:
    return [{"step": step, "loss": loss} for step in range(first, last + 1)]


def test_later_numbers_of_a_step_replace_earlier_ones_and_others_stay() -> None:
    rows: list[Row] = [{"step": 2, "validation_loss": 0.5}, *steps(1, 3, 0.1), *steps(2, 3, 0.2)]
    assert merged(rows) == [
        {"step": 1, "loss": 0.1},
        {"step": 2, "validation_loss": 0.5, "loss": 0.2},
        {"step": 3, "loss": 0.2},
    ]
    assert merged([{"loss": 1.0}, {"step": None, "loss": None}, *steps(1, 1, 0.0)]) == [
        {"loss": 1.0},
        {"step": None, "loss": None},
        {"step": 1, "loss": 0.0},
    ]


def test_a_resume_discards_the_steps_that_are_computed_again() -> None:
    resumed: Row = {"step": 4, "resumed": 1}
    killed = [*steps(1, 7, 0.1), *steps(1, 4, 0.1), resumed]
    assert merged(killed) == [*steps(1, 3, 0.1), {"step": 4, "loss": 0.1, "resumed": 1}]
    assert merged([*killed, *steps(5, 6, 0.3)])[-2:] == steps(5, 6, 0.3)


@given(st.lists(st.integers(1, 30)), st.integers(1, 40))
def test_a_curve_is_sorted_and_thinned_evenly(order: list[int], most: int) -> None:
    rows = merged({"step": step, "loss": step} for step in order)
    assert rows == [{"step": step, "loss": step} for step in sorted(set(order))]
    kept = thinned(rows, most)
    assert len(kept) <= most
    assert kept[-1:] == rows[-1:]
    numbers = [rows.index(row) for row in kept]
    assert len({b - a for a, b in pairwise(numbers)}) <= 1
    assert len(rows) > most or kept == rows


def test_rare_numbers_survive_thinning() -> None:
    rows = steps(1, 10_000, 0.1)
    rows[123]["resumed"] = 1
    for number in range(0, 10_000, 500):
        rows[number]["validation_loss"] = 0.5
    kept = thinned(rows, 100)
    assert len(kept) <= 100 + 1 + 20
    assert [row["step"] for row in kept if "resumed" in row] == [124]
    assert sum("validation_loss" in row for row in kept) == 20
