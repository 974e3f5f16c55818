"""Values typed into inputs: checked against the input's type, and explained when they do not fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine.errors import Problem, short
from engine.lift import depth
from engine.node import Input
from engine.registry import near
from engine.values import Json, canonical
from engine.wires import ANY, Wire, bare


@dataclass(frozen=True, slots=True)
class Checked:
    """A literal in its one spelling: where floats are taken, 7 becomes 7.0."""

    value: Json
    levels: int = 0
    """How many levels of list it has above what the input takes, for the node to go through."""


def checked(node: str, item: Input, value: Json) -> Checked | Problem:
    """Check one literal for an input, or a list of literals for an input that takes one."""
    levels = 0
    if type(value) is list and item.wire.name != ANY and not item.wire.is_open:
        levels = max(depth(value) - item.wire.lists, 0)
    if item.wire.is_value and (value is not None or item.required or item.default is not None):
        message = f"takes {item.wire}, which only a wire can bring, not {short(value)}"
        return Problem("type_mismatch", message, node, item.name, f"wire {one(item.wire)} into it")
    if not levels:
        return _one(node, item, value, value)
    found = _each(node, item, value, levels, value)
    return found if isinstance(found, Problem) else Checked(found, levels)


def _each(node: str, item: Input, value: Json, levels: int, whole: Json) -> Json | Problem:
    if not levels:
        found = _one(node, item, value, whole)
        return found if isinstance(found, Problem) else found.value
    if not isinstance(value, list):
        message = f"{short(whole)} is a list of lists in one place and of single values in another"
        return Problem("type_mismatch", message, node, item.name, "nest all of it equally deep")
    items: list[Json] = []
    for inner in value:
        got = _each(node, item, inner, levels - 1, whole)
        if isinstance(got, Problem):
            return got
        items.append(got)
    return items


def _one(node: str, item: Input, value: Json, whole: Json) -> Checked | Problem:
    if value is None and item.default is None and not item.required:
        return Checked(None)
    try:
        item.adapter.validate_python(value)
        value = item.wire.spelled(value)
        canonical(value)
    except ValidationError as error:
        return _invalid(node, item, value, error.errors(include_url=False)[0])
    except Exception:  # not finite deep inside, or too large for a float
        message = f"takes {item.wire}, not {short(whole)}"
        return Problem("not_finite", message, node, item.name, "use finite numbers of usual size")
    return Checked(value)


def _invalid(node: str, item: Input, value: Json, error: ErrorDetails) -> Problem:
    wrong = short(error["input"])
    kind, ctx = error["type"], error.get("ctx", {})
    if kind in _SIDES:
        side, limit = _SIDES[kind][0], ctx[_SIDES[kind][1]]
        ends = _ends(item.info.metadata)
        hint = f"use {_number(ends[0])} to {_number(ends[1])}" if len(ends) == 2 else None
        return Problem("out_of_range", f"{wrong} is {side} {_number(limit)}", node, item.name, hint)
    if kind == "literal_error":
        choices = [str(choice) for choice in get_args(bare(item.info.annotation))]
        nearest = near(str(error["input"]), choices) or f"use {ctx['expected']}"
        return Problem("invalid_value", f"{wrong} is not a choice", node, item.name, nearest)
    if kind == "finite_number":
        message = f"{wrong} is not a finite number"
        return Problem("not_finite", message, node, item.name, "use a finite number")
    if kind == "multiple_of":
        step = int(ctx["multiple_of"])
        below = int(error["input"]) // step * step
        message = f"{wrong} is not a multiple of {step}"
        return Problem("out_of_range", message, node, item.name, f"use {below} or {below + step}")
    if kind == "value_error":
        message = str(ctx["error"]) or f"takes other {item.wire} than {short(value)}"
        return Problem("invalid_value", message, node, item.name)
    code = "type_mismatch" if kind.endswith("_type") else "invalid_value"
    hint = _WANTED.get(str(item.wire), error["msg"])
    return Problem(code, f"takes {item.wire}, not {short(value)}", node, item.name, hint)


_WANTED = {
    "int": "use a whole number",
    "float": "use a number",
    "bool": "use true or false",
    "text": "use text",
}


def one(wire: Wire) -> str:
    """A wire type with its article."""
    return f"{'an' if str(wire)[0] in 'AEIOaeio' else 'a'} {wire}"


_SIDES = {
    "greater_than_equal": ("below", "ge"),
    "less_than_equal": ("above", "le"),
    "greater_than": ("not above", "gt"),
    "less_than": ("not below", "lt"),
}


def _ends(metadata: Iterable[Any]) -> list[float]:
    """The least and the greatest number that is taken, as far as both are."""
    found: dict[str, float] = {}
    for extra in metadata:
        for name, end in (("min", "min"), ("max", "max"), ("ge", "min"), ("le", "max")):
            if (limit := getattr(extra, name, None)) is not None:
                found[end] = limit
    return sorted(found.values())


def _number(limit: float) -> str:
    return str(int(limit)) if float(limit).is_integer() else str(limit)
