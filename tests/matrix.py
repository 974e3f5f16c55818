"""What was compared with what, and how far apart they came out: told by tests as they run, for a page."""

from __future__ import annotations

import os
from collections.abc import Iterable
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
    """Whose rule it is held against."""
    result: str
    error: float | None = None
    """The largest relative difference; None where there are no numbers to compare."""


WRITING = "SAFELIGHT_WRITING_FORMATS"
"""Set in the environment of tests that run in order to write the page."""
PAGE = Path(__file__).parents[1] / "nodes" / "formats.md"

ROWS: list[Row] = []
"""Of the tests that ran in this process."""


def told(section: str, case: str, rule: str, result: str = "the same", error: float | None = None) -> None:
    """Tell of a comparison that held; where the page is not being written, it has to say so already."""
    ROWS.append(Row(section, case, rule, result, error))
    if WRITING not in os.environ:
        line = _cells(case, rule, result)
        assert line in _page(), f"{PAGE.name} lacks {line!r}; write it anew: python -m tests.nodes.matrix"


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
            "| what | rule | ours | largest error |",
            "| --- | --- | --- | --- |",
        ]
        for (place, case, rule, result), error in worst.items():
            if place == section:
                number = "" if error is None else "0" if error == 0 else f"{error:.0e}"
                lines.append(f"{_cells(case, rule, result)}{number} |")
    return "\n".join(lines) + "\n"
