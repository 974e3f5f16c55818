"""Checks the values that a command line, a form or another graph gives for a graph's inputs."""

from __future__ import annotations

from engine.document.graph import GraphInput
from engine.document.random_seeds import RANDOM
from engine.errors import Problem, short, with_article
from engine.values import Json, Value, canonical

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "file": (str,),
    "seed": (int,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}

_NAMES = {
    "text": "text",
    "file": "the name of a file",
    "seed": 'a whole number or "random"',
    "int": "a whole number",
    "float": "a number",
    "bool": "true or false",
}

LISTED = 12
"""The most choices that a hint lists."""


def wrong_kind(place: str, item: GraphInput, value: Json) -> Problem | None:
    """Check a value for an input of a graph. Returns the problem; None if the value is valid.

    A list of valid values is valid, because nodes go through lists.

    Args:
        place: names the input in the message, such as `the graph input 'steps'`.
        item: the input.
        value: the value.
    """
    plain = spelling(value)
    if plain is None:
        hint = "use a finite number" if isinstance(value, float) else "use a JSON value"
        return Problem("not_finite", f"{place} is {short(value)}, which is not finite JSON", hint=hint)
    if item.type in Value.types:
        hint = "use this graph inside another one, and connect the input there"
        return Problem(
            "needs_wire", f"{place} must be connected to {with_article(item.type)} output", hint=hint
        )
    if isinstance(value, list) and item.type in ("choice", *_KINDS):
        problems = (wrong_kind(place, item, element) for element in value)
        return next((problem for problem in problems if problem is not None), None)
    if item.type == "choice":
        if plain in map(spelling, item.choices):
            return None
        choices = ", ".join(map(short, item.choices[:LISTED]))
        return Problem("invalid_value", f"{place} is {short(value)}", hint=f"use one of {choices}")
    if item.type == "seed" and value == RANDOM:
        return None
    kinds = _KINDS.get(item.type)
    if kinds is None or (isinstance(value, kinds) and (item.type == "bool" or not isinstance(value, bool))):
        return None
    message = f"{place} is {short(value)}, not of type {item.type}"
    return Problem("invalid_value", message, hint=f"use {_NAMES[item.type]}")


def spelling(value: Json) -> bytes | None:
    """Encode a value as canonical JSON; None if it is not JSON, or contains NaN or infinity."""
    try:
        return canonical(value)
    except (TypeError, ValueError):
        return None
