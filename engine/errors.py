"""What can go wrong, as data: a problem has a place, a code, a sentence and a way out."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Literal

Severity = Literal["error", "warning"]


@dataclass(frozen=True, slots=True)
class Problem:
    """One thing wrong in one place; the same object in the terminal, over HTTP and on the canvas."""

    code: str
    message: str
    node: str | None = None
    input: str | None = None
    hint: str | None = None
    severity: Severity = "error"

    @property
    def place(self) -> str:
        """Where it is: `node.input`, `node`, or nothing for the graph as a whole."""
        return ".".join(part for part in (self.node, self.input) if part)

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        hint = f" · hint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{hint}"

    def as_json(self) -> dict[str, str | None]:
        """The six fields of the contract, in their fixed order."""
        return {
            "code": self.code,
            "severity": self.severity,
            "node": self.node,
            "input": self.input,
            "message": self.message,
            "hint": self.hint,
        }


class SafelightError(Exception):
    """Anything that Safelight reports to a person as a sentence instead of a traceback."""


class GraphError(SafelightError):
    """A graph that cannot be read or run; carries every problem found, not only the first."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NodeError(SafelightError):
    """A failure that a node explains itself.

    Raise it from `run` or `fingerprint` when you know what is wrong and what helps.

    Args:
        message: one sentence for an artist.
        hint: what to do about it.
        input: the input that it is about.
        code: a stable word for programs.
    """

    def __init__(
        self, message: str, *, hint: str | None = None, input: str | None = None, code: str = "node_failed"
    ) -> None:
        super().__init__(message)
        self.message, self.hint, self.input, self.code = message, hint, input, code

    def problem(self, node: str) -> Problem:
        """This failure as a problem of the node `node`."""
        return Problem(self.code, self.message, node, self.input, self.hint)


class Cancelled(BaseException):
    """The run was asked to stop.

    Not an `Exception`, so that a node's own `except Exception` cannot swallow it.
    """
