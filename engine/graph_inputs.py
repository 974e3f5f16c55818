"""The values that a graph's own inputs take: from a command line, a form, or the node that uses the graph."""

from __future__ import annotations

from engine.errors import Problem, short
from engine.graph import GraphInput
from engine.values import Json, Value, canonical

_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "file": (str,),
    "seed": (int,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}

LISTED = 12
"""How many choices or names a hint lists at most."""


def wrong_kind(place: str, item: GraphInput, value: Json) -> Problem | None:
    """What is wrong with a value for an input of a graph; None if nothing is.

    A list is taken where its elements are, since the nodes behind go through it.

    Args:
        place: how a sentence begins that speaks of the input.
        item: the input.
        value: what was given.
    """
    plain = spelling(value)
    if plain is None:
        hint = "use a finite number" if isinstance(value, float) else "use what JSON can hold"
        return Problem("not_finite", f"{place} is {short(value)}, which is not finite JSON", hint=hint)
    if item.type in Value.types:
        hint = "use this graph inside another one, and wire it there"
        return Problem("needs_wire", f"{place} takes {item.type}, which only a wire can bring", hint=hint)
    if isinstance(value, list) and item.type in ("choice", *_KINDS):
        return next((found for one in value if (found := wrong_kind(place, item, one))), None)
    if item.type == "choice":
        if plain in map(spelling, item.choices):
            return None
        choices = ", ".join(map(short, item.choices[:LISTED]))
        return Problem("invalid_value", f"{place} is {short(value)}", hint=f"choose one of {choices}")
    kinds = _KINDS.get(item.type)
    if kinds is None or (isinstance(value, kinds) and (item.type == "bool" or not isinstance(value, bool))):
        return None
    return Problem("invalid_value", f"{place} is {short(value)}, not of type {item.type}")


def spelling(value: Json) -> bytes | None:
    """The canonical spelling of a value; None if it is not finite JSON."""
    try:
        return canonical(value)
    except (TypeError, ValueError):
        return None
