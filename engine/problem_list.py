"""A list of problems of limited length: beyond the limit, problems are only counted."""

from __future__ import annotations

from collections.abc import Iterable

from engine.errors import Problem

MAX_PROBLEMS = 100
"""The maximum number of problems in a list; one more entry counts the rest."""


class Problems(list[Problem]):
    """A list of the first `MAX_PROBLEMS` problems; one more entry counts the rest."""

    def __init__(self) -> None:
        super().__init__()
        self._left_out = 0

    def append(self, problem: Problem) -> None:
        """Add a problem, or count it if the list is full."""
        if len(self) < MAX_PROBLEMS:
            super().append(problem)
        else:
            self._left_out += 1
            hint = "fix the problems above first"
            words = "1 more problem" if self._left_out == 1 else f"{self._left_out:,} more problems"
            more = Problem("more_problems", f"and {words}", hint=hint)
            self[MAX_PROBLEMS:] = [more]

    def extend(self, problems: Iterable[Problem]) -> None:
        """Add several problems."""
        for problem in problems:
            self.append(problem)

    def __iadd__(self, problems: Iterable[Problem]) -> Problems:  # type: ignore[override,misc]
        self.extend(problems)
        return self
