"""Learning rates as A1111 writes them."""

from __future__ import annotations

import pytest

from nodes.sd.training.rate_schedule import parse_rates


def test_each_rate_holds_through_its_last_step() -> None:
    rates = parse_rates("0.005:100, 1e-3:1000, 1e-5")
    assert [rates.at(step - 1) for step in (1, 100, 101, 1000, 1001, 99999)] == [
        0.005, 0.005, 1e-3, 1e-3, 1e-5, 1e-5,
    ]  # fmt: skip
    assert rates.end is None


@pytest.mark.parametrize(
    ("text", "end"),
    [("0.005", None), (".1:-1", None), (" , 1e-4:5,, 2E-4 : 9 ,", 9), ("0", None), ("5:1", 1)],
)
def test_a_schedule_may_end(text: str, end: int | None) -> None:
    assert parse_rates(text).end == end


@pytest.mark.parametrize(
    ("text", "place"),
    [
        ("fast", 1),
        ("0.1:5, x:9", 8),
        ("0.1:5:9", 5),
        ("0.1:0", 5),
        ("0.1:9, 0.2:9", 12),
        ("0.1, 0.2:9", 6),
        ("nan", 1),
        ("1e999", 1),
        ("-1:5", 1),
        ("0.1:1e3", 5),
    ],
)
def test_a_malformed_schedule_is_refused_with_the_place(text: str, place: int) -> None:
    with pytest.raises(ValueError, match=f"at character {place}:"):
        parse_rates(text)


def test_an_empty_schedule_is_refused() -> None:
    with pytest.raises(ValueError, match="empty"):
        parse_rates(" , ")
