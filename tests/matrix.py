"""Comparisons with other tools and formulas that tests record as they run; `nodes/formats.md` lists them."""

from __future__ import annotations

import os
from collections.abc import Collection, Iterable
from dataclasses import dataclass
from functools import cache
from pathlib import Path


@dataclass(frozen=True)
class Row:
    """One comparison."""

    section: str
    case: str
    """The format or algorithm."""
    rule: str
    """The tool, paper or formula that ours is compared with."""
    result: str
    error: float | None = None
    """The largest relative difference; None where there are no numbers to compare."""

    @property
    def line(self) -> str:
        """The row as the page has it, without the error."""
        return _cells(self.case, self.rule, self.result)


WRITING = "SAFELIGHT_WRITING_FORMATS"
"""An environment variable, set while tests run to write the page."""
PAGE = Path(__file__).parents[1] / "nodes" / "formats.md"

_NAMES, _RULE = "| what | rule | ours | largest error |", "| --- | --- | --- | --- |"

ROWS: list[Row] = []
"""The comparisons of the tests that ran in this process."""


def record(section: str, case: str, rule: str, result: str = "the same", error: float | None = None) -> None:
    """Record a comparison that passed. The page must list it, unless it is being written."""
    row = Row(section, case, rule, result, error)
    ROWS.append(row)
    if WRITING not in os.environ:
        lacks = f"{PAGE.name} lacks {row.line!r}; write it anew: python -m tests.nodes.matrix"
        assert row.line in _page(), lacks


def uncovered(recorded: Collection[str]) -> list[str]:
    """The rows of the page that no test recorded; `recorded` has the `Row.line` of each test's comparison."""
    rows = [line for line in _page().splitlines() if line.startswith("| ") and line not in (_NAMES, _RULE)]
    return [row for row in rows if not row.startswith(tuple(recorded))]


@cache
def _page() -> str:
    return PAGE.read_text("utf-8")


def _cells(*texts: str) -> str:
    return "".join(f"| {text.replace('|', chr(92) + '|')} " for text in texts) + "| "


def tables(rows: Iterable[Row]) -> str:
    """The rows as Markdown, a table for each section; of several equal cases the worst counts."""
    worst: dict[tuple[str, str, str, str], float | None] = {}
    for row in rows:
        key = (row.section, row.case, row.rule, row.result)
        errors = [error for error in (row.error, worst.get(key)) if error is not None]
        worst[key] = max(errors, default=None)
    lines: list[str] = []
    for section in dict.fromkeys(key[0] for key in worst):
        lines += [
            "",
            f"## {section}",
            "",
            _NAMES,
            _RULE,
        ]
        for (place, case, rule, result), error in worst.items():
            if place == section:
                number = "" if error is None else "0" if error == 0 else f"{error:.0e}"
                lines.append(f"{_cells(case, rule, result)}{number} |")
    return "\n".join(lines) + "\n"
