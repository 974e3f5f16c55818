"""Conversions between wire types: nodes that say of themselves that they turn one thing into another."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.node import NodeType
from engine.wires import Wire


def find(types: Iterable[NodeType], offered: Wire, wanted: Wire) -> list[NodeType]:
    """The shortest chain of at most two conversions that makes one wire type of another.

    Args:
        types: the node types at hand; those with the class keyword `converts` are looked at, by name.
        offered: what a wire brings.
        wanted: what an input takes.

    Returns:
        the node types to put between them, first to last; none if there is no such chain.
    """
    known = sorted(
        (kind for kind in types if kind.converts and not kind.deprecated), key=lambda kind: kind.name
    )
    for lifted in range(offered.lists + 1):  # lists go through a conversion element by element
        one = Wire(offered.name, offered.lists - lifted)
        if chain := _chain(known, one, Wire(wanted.name, max(wanted.lists - lifted, 0))):
            return chain
    return []


def _chain(known: Sequence[NodeType], offered: Wire, wanted: Wire) -> list[NodeType]:
    first = [kind for kind in known if offered.fits(_takes(kind))]
    for kind in first:
        if _makes(kind).fits(wanted):
            return [kind]
    for kind in first:
        for second in known:
            if _makes(kind).fits(_takes(second)) and _makes(second).fits(wanted):
                return [kind, second]
    return []


def hint(chain: Sequence[NodeType]) -> str | None:
    """A chain of conversions as advice: what to put between two ends, and what that needs besides."""
    if not chain:
        return None
    told = []
    for kind in chain:
        others = [name for name, item in kind.inputs.items() if item.required and name != kind.converts]
        besides = f", and takes {' and '.join(others)} besides" if others else ""
        who = "it" if len(chain) == 1 else kind.name
        told.append(f"{who} makes {_makes(kind)} of {_takes(kind)}{besides}")
    return f"put {' and then '.join(_a(kind.name) for kind in chain)} between them: {'; '.join(told)}"


def _takes(kind: NodeType) -> Wire:
    assert kind.converts is not None
    return kind.inputs[kind.converts].wire


def _makes(kind: NodeType) -> Wire:
    return next(iter(kind.outputs.values()))


def _a(name: str) -> str:
    return f"{'an' if name[0] in 'AEIOU' else 'a'} {name}"
