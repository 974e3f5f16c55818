"""The page of formats is held against the rows that tests tell of, in both directions."""

from __future__ import annotations

import pytest

from tests import matrix


def test_a_row_of_the_page_that_no_test_tells_of_is_found() -> None:
    rows = matrix.uncovered(())
    assert len(rows) > 100
    told = {row.rpartition(" | ")[0] + " | " for row in rows}  # without the error
    assert matrix.uncovered(told) == []
    left_out = rows[7].rpartition(" | ")[0] + " | "
    assert matrix.uncovered(told - {left_out}) == [rows[7]]


def test_a_row_that_the_page_lacks_fails_the_test_that_tells_of_it(monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(matrix, "ROWS", [])
    monkeypatch.delenv(matrix.WRITING, raising=False)
    with pytest.raises(AssertionError, match=r"lacks '\| a file that nobody reads"):
        matrix.record("Embeddings", "a file that nobody reads", "a rule")
