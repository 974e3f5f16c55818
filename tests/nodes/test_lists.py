"""Seeds, Numbers, Lines and Label: what they list, and what one more changes."""

from __future__ import annotations

from fractions import Fraction
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st
from pydantic import ValidationError

from engine.errors import NodeError
from engine.node import Node
from engine.testing import run_node
from engine.widgets import SEED_MAX
from nodes.lists import MOST, Label, Lines, Numbers, Seeds


def listed(node: Node) -> Any:
    return run_node(node)["out"]


def test_seeds_follow_one_another_and_begin_again_after_the_last() -> None:
    assert listed(Seeds(first=7, count=3)) == [7, 8, 9]
    assert listed(Seeds(first=SEED_MAX - 1, count=4)) == [SEED_MAX - 1, SEED_MAX, 0, 1]
    assert listed(Seeds(first=7, count=4))[:3] == listed(Seeds(first=7, count=3))


@settings(max_examples=50, deadline=None)
@given(st.integers(-100, 100), st.integers(-100, 100), st.integers(2, 40))
def test_numbers_lie_at_even_distances_with_both_ends_among_them(start: int, stop: int, count: int) -> None:
    found = listed(Numbers(start=start, stop=stop, count=count))
    exact = [Fraction(start) + Fraction(stop - start) * n / (count - 1) for n in range(count)]
    assert (found[0], found[-1]) == (start, stop)
    assert [float(number) for number in exact] == pytest.approx(found, rel=1e-12, abs=1e-12)


def test_numbers_with_count_1_is_the_start() -> None:
    assert listed(Numbers(start=3.0, stop=9.0, count=1)) == [3.0]


def test_lines_are_stripped_and_empty_ones_left_out() -> None:
    assert listed(Lines(text="  a red circle \r\n\n\t\nb, c\x85 d")) == ["a red circle", "b, c", "d"]
    assert listed(Lines(text="")) == []


def test_too_many_lines_are_refused() -> None:
    assert len(listed(Lines(text="x\n" * MOST))) == MOST
    with pytest.raises(NodeError, match="has 10,001 lines; the limit is 10,000"):
        listed(Lines(text="x\n" * (MOST + 1)))


@pytest.mark.parametrize("count", [0, -1, MOST + 1])
def test_a_list_has_a_length(count: int) -> None:
    for cls in (Seeds, Numbers):
        with pytest.raises(ValidationError):
            cls(count=count)


@pytest.mark.parametrize(
    ("text", "value", "written"),
    [
        ("{} steps", 20.0, "20 steps"),
        ("guidance {}", 7.5, "guidance 7.5"),
        ("{}{}", -0.25, "-0.25-0.25"),
        ("{}", 0.1 + 0.2, "0.3"),
        ("{0} {value.__class__} {{}}", 1.0, "{0} {value.__class__} {1}"),
        ("{}", 1e300, "1e+300"),
        ("{}", float(2**53), str(2**53)),
        ("plain", 3.0, "plain"),
    ],
)
def test_a_label_has_the_number_in_it(text: str, value: float, written: str) -> None:
    assert listed(Label(text=text, value=value)) == written
