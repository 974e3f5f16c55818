"""A list of problems that stays short, however much is wrong."""

from __future__ import annotations

from collections.abc import Iterable

from engine.errors import Problem

MOST = 100
"""Of more problems than this only the number is told."""


class Problems(list[Problem]):
    """The first problems that were found, and one that says how many more there are."""

    def __init__(self) -> None:
        super().__init__()
        self._left_out = 0

    def append(self, problem: Problem) -> None:
        """Take in one more, or count it."""
        if len(self) < MOST:
            super().append(problem)
        else:
            self._left_out += 1
            hint = "mend these first"
            self[MOST:] = [Problem("more_problems", f"… and {self._left_out:,} more problems", hint=hint)]

    def extend(self, problems: Iterable[Problem]) -> None:
        """Take in several."""
        for problem in problems:
            self.append(problem)

    def __iadd__(self, problems: Iterable[Problem]) -> Problems:  # type: ignore[override,misc]
        self.extend(problems)
        return self
