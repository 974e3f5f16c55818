"""How many values are written in a few words: lists, ranges and files."""

from __future__ import annotations

from fractions import Fraction
from pathlib import Path

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.document.sweep import MOST, words


@pytest.mark.parametrize(
    ("spec", "listed"),
    [
        ("10,20,30", ["10", "20", "30"]),
        ("a", ["a"]),
        ('"a, b", c', ["a, b", "c"]),
        ('"say ""hi""",x', ['say "hi"', "x"]),
        ("a,,b", ["a", "", "b"]),
        ("1:3", ["1:3"]),
        ('"@home"', ["@home"]),
    ],
)
def test_words_stand_between_commas(spec: str, listed: list[str]) -> None:
    assert words(spec) == listed


@pytest.mark.parametrize(
    ("spec", "numbers"),
    [
        ("3:9:2", [3, 5, 7, 9]),
        ("3:10:2", [3, 5, 7, 9]),
        ("1:4", [1, 2, 3, 4]),
        ("9:3:-3", [9, 6, 3]),
        ("5:5", [5]),
        ("1:2,10,4:8:4", [1, 2, 10, 4, 8]),
        ("-1:1:.5", [-1, -0.5, 0, 0.5, 1]),
        ("1e3:2e3:5e2", [1000, 1500, 2000]),
    ],
)
def test_a_range_takes_in_the_stop_that_it_hits(spec: str, numbers: list[float]) -> None:
    assert [float(word) for word in words(spec, numbers=True)] == numbers


@given(st.integers(-1000, 1000), st.integers(1, 40), st.integers(-1000, 1000).filter(bool), st.integers(0, 6))
def test_ranges_have_no_rounding_dust(start: int, count: int, step: int, places: int) -> None:
    def spelled(number: int) -> str:
        sign, digits = "-" * (number < 0), str(abs(number)).rjust(places + 1, "0")
        return f"{sign}{digits[: len(digits) - places]}.{digits[len(digits) - places :]}"

    stop = start + (count - 1) * step
    found = words(f"{spelled(start)}:{spelled(stop)}:{spelled(step)}", numbers=True)
    exact = [Fraction(start + n * step, 10**places) for n in range(count)]
    assert [Fraction(word) for word in found] == exact
    assert [float(word) for word in found] == [float(number) for number in exact]


def test_a_file_has_one_value_a_line(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes('\ufeffa cat, sitting\r\n\n"quoted"\n  é\n'.encode())
    assert words(f"@{file}") == ["a cat, sitting", '"quoted"', "  é"]


@pytest.mark.parametrize(
    ("spec", "says"),
    [
        ("", "no value"),
        ('"a" b', "cannot be read"),
        ("@nowhere.txt", "No such file"),
        ("@~nobody-here/x", "no such user"),
        ("1:2:0", "step is 0"),
        ("9:3", "wrong sign"),
        ("1:x", "'1:x', which is not a range"),
        ("1:inf", "'1:inf', which is not a range"),
        ("1:2:3:4", "'1:2:3:4', which is not a range"),
        ("0:1:1e-9", "more than 10,000"),
        ("1e300:0:-1e-300", "more than 10,000"),
        (",".join("1" * (MOST + 1)), "more than 10,000"),
        ("1:6000,1:6000", "more than 10,000"),
    ],
)
def test_an_unreadable_sweep_is_explained(spec: str, says: str, tmp_path: Path) -> None:
    with pytest.raises(ValueError, match=r".") as refused:
        words(spec, numbers=True)
    assert says in refused.value.args[0]


def test_a_file_that_is_not_text_is_refused(tmp_path: Path) -> None:
    file = tmp_path / "prompts.txt"
    file.write_bytes(b"caf\xe9\n")
    with pytest.raises(ValueError, match="not UTF-8 text at byte 3"):
        words(f"@{file}")
    file.write_bytes(b"\n\n")
    with pytest.raises(ValueError, match="no value"):
        words(f"@{file}")
