"""Errors and warnings as data (`Problem`), and Safelight's exceptions."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass, field, replace
from typing import Any, Literal

from engine import fixes
from engine.fixes import Fix

Severity = Literal["error", "warning"]

OUT_OF_MEMORY = "out_of_memory"
"""The code of the problem of a step that failed because the memory of the host or the device was full."""


@dataclass(frozen=True, slots=True)
class Problem:
    """One error or warning about a graph, a node or a setting, as the terminal and `--json` show it."""

    code: str
    message: str
    node: str | None = None
    input: str | None = None
    hint: str | None = None
    severity: Severity = "error"
    fix: Fix | None = field(default=None, compare=False)
    """An edit of the graph that solves the problem; None unless it is certain enough."""

    @property
    def place(self) -> str:
        """The place of the problem: `node.input`, `node`, or empty if it concerns no single node."""
        return ".".join(part for part in (self.node, self.input) if part)

    def within(self, node: str) -> Problem:
        """Convert a problem of a subgraph to one of the graph that uses it as `node`, without its fix."""
        return replace(self, node=node if self.node is None else f"{node}/{self.node}", fix=None)

    def __str__(self) -> str:
        place = f"{self.place}: " if self.place else ""
        hint = f" · hint: {self.hint}" if self.hint else ""
        return f"{place}{self.message}{hint}"

    def as_json(self) -> dict[str, Any]:
        """Return the seven fields as a JSON object, in a fixed order."""
        return {
            "code": self.code,
            "severity": self.severity,
            "node": self.node,
            "input": self.input,
            "message": self.message,
            "hint": self.hint,
            "fix": None if self.fix is None else fixes.as_json(self.fix),
        }


class SafelightError(Exception):
    """The base class of errors that are shown to users as a message, without a traceback."""


class GraphError(SafelightError):
    """Raised for a graph that cannot be read or run; `problems` has every problem that was found."""

    def __init__(self, problems: Iterable[Problem]) -> None:
        self.problems = tuple(problems)
        super().__init__("\n".join(str(problem) for problem in self.problems))


class NodeError(SafelightError):
    """An error that a node raises to show the user a message instead of a traceback.

    Raise it from `run` or `fingerprint` if the cause of the failure is known.

    Args:
        message: a short message for the user: what is wrong.
        hint: what the user can do about it.
        input: the name of the input that causes the error.
        code: an identifier of the kind of error, for programs; unlike the message it never changes.
    """

    instead: tuple[str, str] | None = None
    """The text of an input that causes the error, and the text that it should surely be."""

    def __init__(
        self, message: str, *, hint: str | None = None, input: str | None = None, code: str = "node_failed"
    ) -> None:
        super().__init__(message)
        self.message = str(message)  # node authors also pass exceptions and paths
        self.hint = None if hint is None else str(hint)
        self.input, self.code = input, code

    def at(self, input: str) -> NodeError:
        """Return a copy of this error that names an input of the node as its cause."""
        error = NodeError(self.message, hint=self.hint, input=input, code=self.code)
        error.instead = self.instead
        return error

    def problem(self, node: str) -> Problem:
        """Convert this error to a problem of the node with the id `node`."""
        return Problem(self.code, self.message, node, self.input, self.hint)


class AuthorError(TypeError):
    """Raised for a mistake in the code of a node pack, such as a wrong return type.

    Args:
        message: describes the mistake.
        function: the function with the mistake; the error names its file and line.
        hint: the correct code.
    """

    def __init__(self, message: str, function: object = None, hint: str = "") -> None:
        super().__init__(message)
        code = getattr(getattr(function, "__func__", function), "__code__", None)
        self.place = None if code is None else f"{code.co_filename}, line {code.co_firstlineno}"
        self.hint = hint


class Cancelled(BaseException):
    """Raised in a step when its run is cancelled.

    It is not an `Exception`, so a node's own `except Exception` does not catch it.
    """


def out_of_memory(error: BaseException) -> bool:
    """True if an exception means that the memory of the host or the device is full.

    Torch's exceptions are recognised by name and text, because this module does not import torch.
    """
    if isinstance(error, NodeError):
        return error.code == OUT_OF_MEMORY
    if isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError":
        return True
    return isinstance(error, RuntimeError) and "DefaultCPUAllocator" in str(error)


def error_text(error: BaseException) -> str:
    """Format an exception as its class and message, cut to 500 characters; never raises."""
    name = "" if isinstance(error, AuthorError) else error.__class__.__name__
    try:
        text = str(error).strip()
    except Exception:
        text = ""
    text = text if len(text) <= 500 else text[:499] + "…"
    return f"{name}: {text}" if name and text else name or text


def short(value: object) -> str:
    """Return the `repr` of a value, cut to 60 characters; never raises."""
    try:
        text = repr(value)
    except Exception:
        text = f"a {type(value).__name__}"
    return text if len(text) <= 60 else text[:59] + "…"


def with_article(name: object) -> str:
    """Put the indefinite article before a name: `an Image`."""
    return f"{'an' if str(name)[:1] in 'AEIOaeio' else 'a'} {name}"
