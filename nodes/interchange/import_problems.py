"""Collects the warnings of one import: fields that were left out, numbers out of range, unknown names."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from engine.errors import Problem, short
from engine.problem_list import Problems

T = TypeVar("T")

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}(\.0{0,9})?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")
MAX_QUOTED = 80
"""The most characters of a value from the file that a message quotes."""


class ImportProblems:
    """The warnings of one import. Those beyond a limit are only counted."""

    def __init__(self) -> None:
        self.problems = Problems()

    def warn(self, code: str, message: str, hint: str | None = None) -> None:
        """Add a warning."""
        self.problems.append(Problem(code, message, hint=hint, severity="warning"))

    def left_out(self, field: str, value: Any = None, reason: str = "Safelight does not support it") -> None:
        """Warn that a field of the file is not used."""
        quoted = "" if value is None else f" {one_line(value)}"
        self.warn("left_out", f"{one_line(field)}:{quoted} is left out: {reason}")

    def whole(self, field: str, value: Any, low: int, high: int) -> int | None:
        """Read a whole number from `low` to `high`; None for None, and with a warning for other values."""
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            value = int(value.strip().partition(".")[0])
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or (type(value) is int and low <= value <= high):
            return value
        self.left_out(field, value, f"it must be a whole number from {low} to {high}")
        return None

    def number(self, field: str, value: Any, low: float, high: float) -> float | None:
        """Read a number from `low` to `high`; None for None, and with a warning for other values."""
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        if value is None or (type(value) in (int, float) and math.isfinite(value) and low <= value <= high):
            return None if value is None else float(value)
        self.left_out(field, value, f"it must be a number from {low:g} to {high:g}")
        return None

    def translated(self, field: str, value: Any, names: Mapping[str, T], default: str) -> T | None:
        """Translate another tool's name to ours; None for None, and with a warning for unknown names.

        Args:
            field: the field, for the warning.
            value: the other tool's name.
            names: our names, keyed by the other tool's.
            default: the replacement for an unknown name, for the warning.
        """
        name = names.get(value) if isinstance(value, str) else None
        if name is None and value is not None:
            self.left_out(field, value, f"Safelight does not have it; {default} is used instead")
        return name


def one_line(value: Any) -> str:
    """Format a value from the file as one short line without control characters, for messages."""
    text = value if isinstance(value, str) else short(value)
    line = "".join(letter if letter.isprintable() else " " for letter in text[: MAX_QUOTED + 1].strip())
    return line if len(line) <= MAX_QUOTED else line[: MAX_QUOTED - 1] + "…"


def title_of(value: Any) -> str:
    """Format a value from the file as a title or name; empty if it is not text."""
    return one_line(value) if isinstance(value, str) else ""
