"""What can go wrong, as data: a problem has a place, a code, a sentence and a way out."""

from __future__ import annotations

import os
import traceback
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
        self.message = str(message)  # node authors pass exceptions and paths, too
        self.hint = None if hint is None else str(hint)
        self.input, self.code = input, code

    def problem(self, node: str) -> Problem:
        """This failure as a problem of the node `node`."""
        return Problem(self.code, self.message, node, self.input, self.hint)


class Cancelled(BaseException):
    """The run was asked to stop.

    Not an `Exception`, so that a node's own `except Exception` cannot swallow it.
    """


def explained(error: BaseException, node: str, node_type: str) -> tuple[Problem, str]:
    """Whatever the code of a node raised, as a problem of that node, and its traceback as text."""
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, NodeError):
        return error.problem(node), trace
    from pydantic import ValidationError

    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = str(first["loc"][0]) if first["loc"] else None
        return Problem("invalid_value", f"{node_type} cannot take it: {first['msg']}", node, place), trace
    if out_of_memory(error):
        smaller = "make the picture or batch smaller"
        return Problem("out_of_memory", "memory ran out", node, hint=smaller), trace
    frames = traceback.extract_tb(error.__traceback__)
    own = [frame for frame in frames if not frame.filename.startswith(_ENGINE)]
    hint = f"{own[-1].filename}, line {own[-1].lineno}" if own else None
    return Problem("node_failed", said(error), node, hint=hint), trace


def out_of_memory(error: BaseException) -> bool:
    """True if memory ran out, the host's or, as torch says it without being imported here, the device's."""
    return isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"


def said(error: BaseException) -> str:
    """An exception in a line or two, even one that cannot say what it is."""
    name = error.__class__.__name__
    try:
        text = str(error).strip()
    except Exception:
        text = ""
    text = text if len(text) <= 500 else text[:499] + "…"
    return f"{name}: {text}" if text else name


def short(value: object) -> str:
    """A value as Python writes it, cut to fit in a sentence."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:59] + "…"


_ENGINE = os.path.dirname(os.path.abspath(__file__)) + os.sep
