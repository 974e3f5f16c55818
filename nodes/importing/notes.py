"""What is noted while a foreign file is read: what was left out, and numbers that mean nothing here."""

from __future__ import annotations

import math
import re
from collections.abc import Mapping
from typing import Any, TypeVar

from engine.errors import Problem, short
from engine.problems import Problems

T = TypeVar("T")

_WHOLE = re.compile(r"[+-]?[0-9]{1,20}(\.0{0,9})?")
_NUMBER = re.compile(r"[+-]?([0-9]{1,20}(\.[0-9]{0,20})?|\.[0-9]{1,20})([eE][+-]?[0-9]{1,2})?")
LONGEST = 80
"""Characters of a stranger's value that a message repeats."""


class Notes:
    """The problems of one file; of too many only the number is told."""

    def __init__(self) -> None:
        self.problems = Problems()

    def say(self, code: str, message: str, hint: str | None = None) -> None:
        """Note something that a person should know."""
        self.problems.append(Problem(code, message, hint=hint, severity="warning"))

    def left_out(self, field: str, value: Any = None, why: str = "there is no counterpart here") -> None:
        """Note a field that nothing was made of."""
        said = "" if value is None else f" {told(value)}"
        self.say("left_out", f"{told(field)}:{said} is left out: {why}")

    def whole(self, field: str, value: Any, low: int, high: int) -> int | None:
        """A whole number within two ends; None, noted, for anything else, and None for None."""
        if isinstance(value, str) and _WHOLE.fullmatch(value.strip()):
            value = int(value.strip().partition(".")[0])
        if isinstance(value, float) and value.is_integer():
            value = int(value)
        if value is None or (type(value) is int and low <= value <= high):
            return value
        self.left_out(field, value, f"it takes a whole number from {low} to {high}")
        return None

    def number(self, field: str, value: Any, low: float, high: float) -> float | None:
        """A number within two ends; None, noted, for anything else, and None for None."""
        if isinstance(value, str) and _NUMBER.fullmatch(value.strip()):
            value = float(value)
        if value is None or (type(value) in (int, float) and math.isfinite(value) and low <= value <= high):
            return None if value is None else float(value)
        self.left_out(field, value, f"it takes a number from {low:g} to {high:g}")
        return None

    def known(self, field: str, value: Any, names: Mapping[str, T], usual: str) -> T | None:
        """What another tool's name is here; None, noted, for one that is not known, and None for None."""
        found = names.get(value) if isinstance(value, str) else None
        if found is None and value is not None:
            self.left_out(field, value, f"there is none such here; {usual} is used")
        return found


def told(value: Any) -> str:
    """A stranger's value in one short line, without what a terminal would obey."""
    text = value if isinstance(value, str) else short(value)
    line = "".join(letter if letter.isprintable() else " " for letter in text[: LONGEST + 1].strip())
    return line if len(line) <= LONGEST else line[: LONGEST - 1] + "…"


def label(value: Any) -> str:
    """Text to be kept as a title or a name; empty for anything else."""
    return told(value) if isinstance(value, str) else ""
