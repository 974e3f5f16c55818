"""The page of samplers says what the code does."""

from __future__ import annotations

import pytest

from nodes.sd.sampling.samplers import SAMPLERS
from nodes.sd.sampling.schedules import SCHEDULES
from tests.nodes.sd.sampling.sampler_table import PAGE, error, names_and_calls, shown


def test_the_page_has_every_sampler_with_its_names_and_calls() -> None:
    assert PAGE.read_text(encoding="utf-8").startswith(names_and_calls())


def test_an_error_of_the_page_is_that_of_the_code() -> None:
    assert error("lms", "linear_quadratic") == pytest.approx(0, abs=1e-10), "levels that lie close together"
    assert (shown(None), shown(1e-11), shown(2e-7), shown(0.01)) == ("-", "0", "1e-6", "1e-2")


def test_the_page_has_the_errors() -> None:
    """One schedule of each sampler, since the whole page takes half a minute."""
    lines = PAGE.read_text(encoding="utf-8").partition("## Error")[2].splitlines()
    rows = [line.strip("| ").split(" | ") for line in lines if line.startswith("| ")]
    names = [name.strip("`") for name in rows[0][1:]]
    assert names == list(SCHEDULES)
    assert [row[0].strip("`") for row in rows[1:]] == list(SAMPLERS)
    for number, (sampler, *cells) in enumerate(rows[1:]):
        place = number % len(names)
        assert cells[place] == shown(error(sampler.strip("`"), names[place])), sampler
