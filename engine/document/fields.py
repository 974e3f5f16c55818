"""Reads the fields of parsed JSON, checks their types, and collects problems."""

from __future__ import annotations

import re
from collections.abc import Mapping
from typing import Any

from engine.document.format import ID
from engine.errors import Problem, short
from engine.problem_list import Problems


class FieldReader:
    """Reads fields of JSON objects, and records a problem for each field that has the wrong type."""

    def __init__(self) -> None:
        self.problems = Problems()

    def bad(
        self, code: str, message: str, node: str | None = None, input: str | None = None, hint: str = ""
    ) -> None:
        """Record a problem."""
        self.problems.append(Problem(code, message, node, input, hint or None))

    def object(self, value: Any, place: str) -> dict[str, Any] | None:
        """Return a value that must be an object; record a problem and return None if it is not."""
        if isinstance(value, dict):
            return value
        self.bad("bad_document", f"{place} is {short(value)}, not an object")
        return None

    def text(self, value: Any, place: str) -> str:
        """Return a value that must be a text; record a problem and return an empty text if it is not."""
        if isinstance(value, str):
            return value
        self.bad("bad_document", f"{place} is {short(value)}, not text")
        return ""

    def is_id(self, name: str, place: str) -> bool:
        """Return True if a name is a valid id; record a problem if it is not."""
        if re.fullmatch(ID, name):
            return True
        hint = "use letters, digits, - and _, at most 64"
        if name == "__proto__":
            hint = "use another name: this one has a special meaning in web browsers"
        self.bad("bad_id", f"{place} {short(name)} is not a valid id", hint=hint)
        return False

    def reject_unknown_keys(self, tree: Mapping[str, Any], known: set[str], place: str) -> None:
        """Record a problem for each unknown key of an object."""
        for key in sorted(tree.keys() - known):
            hint = f"the keys are {', '.join(sorted(known))}"
            self.bad("unknown_key", f"{place} has the unknown key {short(key)}", hint=hint)
