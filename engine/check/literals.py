"""Checks literal values of inputs, and makes the problem for one that does not fit."""

from __future__ import annotations

from collections.abc import Iterable
from dataclasses import dataclass
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine.check.lift import depth
from engine.document.random_seeds import RANDOM
from engine.errors import Problem, short, with_article
from engine.fixes import SetInput
from engine.near_names import meant, near
from engine.node import Input
from engine.types.wires import ANY, Wire, bare
from engine.values import Json, canonical
from engine.wrong_value import reason

_MANY = 100
"""A list with more elements than this is first validated as a whole, which is faster."""


@dataclass(frozen=True, slots=True)
class Checked:
    """A valid literal, converted to the type of its input: for a float input, 7 becomes 7.0."""

    value: Json
    levels: int = 0
    """The number of list levels beyond those of the input's type, which the node goes through."""


def checked(node: str, item: Input, value: Json, *, random: bool = False) -> Checked | Problem:
    """Check a literal for an input. For an input without lists, it may be a list that the node goes through.

    Args:
        node: the node's id, for the problem.
        item: the input.
        value: the literal.
        random: True if the literal may be "random", because the input is a seed.
    """
    levels = 0
    if type(value) is list and item.wire.name != ANY and not item.wire.is_open:
        levels = max(depth(value) - item.wire.lists, 0)
    if item.wire.is_value and (value is not None or item.required or item.default is not None):
        message, hint = must_be_connected(item.wire)
        return Problem("type_mismatch", f"{message}, not set to {short(value)}", node, item.name, hint)
    if not levels:
        return _single(node, item, value, value, random)
    elements = _each(node, item, value, levels, value, random)
    return elements if isinstance(elements, Problem) else Checked(elements, levels)


def must_be_connected(wire: Wire) -> tuple[str, str]:
    """Make the message and the hint for an input that must be connected to an output."""
    output = (
        f"{with_article(Wire(wire.name))} output"
        if not wire.lists
        else f"an output that is {with_article(wire)}"
    )
    return f"must be connected to {output}", f"add a node with {output}, and connect it"


def _each(node: str, item: Input, value: Json, levels: int, whole: Json, random: bool) -> Json | Problem:
    if not levels:
        single = _single(node, item, value, whole, random)
        return single if isinstance(single, Problem) else single.value
    if not isinstance(value, list):
        message = f"{short(whole)} mixes lists and single values"
        return Problem("type_mismatch", message, node, item.name, "nest all elements equally deep")
    if levels == 1 and len(value) > _MANY and (valid := _all_valid(item, value)) is not None:
        return valid
    items: list[Json] = []
    for inner in value:
        element = _each(node, item, inner, levels - 1, whole, random)
        if isinstance(element, Problem):
            return element
        items.append(element)
    return items


def _all_valid(item: Input, value: list[Json]) -> list[Json] | None:
    """Return a list of literals, converted to the input's type; None if one may be invalid."""
    try:
        item.list_adapter.validate_python(value)
        spelled: list[Json] = item.wire.spelled(value)
        canonical(spelled)
    except Exception:  # the check of each element finds out which, and why
        return None
    return spelled


def _single(node: str, item: Input, value: Json, whole: Json, random: bool) -> Checked | Problem:
    if random and value == RANDOM:
        return Checked(value)
    if value is None and item.default is None and not item.required:
        return Checked(None)
    try:
        item.adapter.validate_python(value)
        value = item.wire.spelled(value)
        canonical(value)
    except ValidationError as error:
        return _invalid(node, item, value, error.errors(include_url=False)[0])
    except Exception:  # not finite deep inside, or too large for a float
        message = f"needs {with_article(item.wire)}, not {short(whole)}"
        return Problem("not_finite", message, node, item.name, "use finite numbers that fit a 64-bit float")
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
        known = meant(value, choices) if isinstance(value, str) else None
        fix = None if known is None else SetInput(node, item.name, str(value), known)
        message = f"{wrong} is not one of the choices"
        return Problem("invalid_value", message, node, item.name, nearest, fix=fix)
    if kind == "finite_number":
        message = f"{wrong} is not a finite number"
        return Problem("not_finite", message, node, item.name, "use a finite number")
    if kind == "multiple_of":
        step = int(ctx["multiple_of"])
        below = int(error["input"]) // step * step
        message = f"{wrong} is not a multiple of {step}"
        return Problem("out_of_range", message, node, item.name, f"use {below} or {below + step}")
    if kind == "value_error":
        message = str(ctx["error"]) or f"{short(value)} is not a valid {item.wire} here"
        return Problem("invalid_value", message, node, item.name)
    code = "type_mismatch" if kind.endswith("_type") else "invalid_value"
    hint = _WANTED.get(str(item.wire)) or reason(error)
    return Problem(code, f"needs {with_article(item.wire)}, not {short(value)}", node, item.name, hint)


_WANTED = {
    "int": "use a whole number",
    "float": "use a number",
    "bool": "use true or false",
    "text": "use text",
}

_SIDES = {
    "greater_than_equal": ("below", "ge"),
    "less_than_equal": ("above", "le"),
    "greater_than": ("not above", "gt"),
    "less_than": ("not below", "lt"),
}


def _ends(metadata: Iterable[Any]) -> list[float]:
    """Return the limits of a number input in ascending order: none, one or both of minimum and maximum."""
    ends: dict[str, float] = {}
    for extra in metadata:
        for name, end in (("min", "min"), ("max", "max"), ("ge", "min"), ("le", "max")):
            if (limit := getattr(extra, name, None)) is not None:
                ends[end] = limit
    return sorted(ends.values())


def _number(limit: float) -> str:
    return str(int(limit)) if float(limit).is_integer() else str(limit)
