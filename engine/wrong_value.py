"""Says in plain words why pydantic refused a value: `must be a whole number, not 'x'`."""

from __future__ import annotations

from typing import TYPE_CHECKING

from engine.errors import short

if TYPE_CHECKING:
    from pydantic_core import ErrorDetails

_WANTED = {
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
    "string": "text",
    "list": "a list",
    "tuple": "a list",
    "dict": "an object of names and values",
    "model": "an object of names and values",
    "path": "a path",
}
_LIMITS = {
    "greater_than_equal": ("at least", "ge"),
    "less_than_equal": ("at most", "le"),
    "greater_than": ("more than", "gt"),
    "less_than": ("less than", "lt"),
    "multiple_of": ("a multiple of", "multiple_of"),
}
_LENGTHS = {
    "string_too_short": ("at least", "min_length", "character"),
    "string_too_long": ("at most", "max_length", "character"),
    "too_short": ("at least", "min_length", "element"),
    "too_long": ("at most", "max_length", "element"),
}


def reason(fault: ErrorDetails) -> str:
    """Put one of the errors of a `ValidationError` in words that follow the name of the value."""
    kind, ctx = fault["type"], fault.get("ctx", {})
    if kind == "missing":
        return "is missing"
    if kind == "extra_forbidden":
        return "is not known"
    if kind == "value_error":
        return str(ctx["error"])
    wrong = short(fault["input"])
    if kind == "string_pattern_mismatch":
        return f"must match {ctx['pattern']}, not be {wrong}"
    if kind in _LENGTHS:
        side, limit, unit = _LENGTHS[kind]
        return f"must have {side} {ctx[limit]} {unit}{'s' if ctx[limit] != 1 else ''}"
    if kind in _LIMITS:
        side, limit = _LIMITS[kind]
        wanted = f"{side} {ctx[limit]}"
    elif kind == "literal_error":
        wanted = str(ctx["expected"])
    elif kind == "finite_number":
        wanted = "a finite number"
    else:
        wanted = _WANTED.get(kind.partition("_")[0], "")
    return f"must be {wanted}, not {wrong}" if wanted else fault["msg"]
