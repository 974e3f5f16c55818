"""Finds nodes that convert one wire type to another, for hints where the types of a wire do not match."""

from __future__ import annotations

from collections.abc import Iterable, Sequence

from engine.errors import with_article
from engine.node import NodeType
from engine.types.wires import Wire


def find(types: Iterable[NodeType], offered: Wire, wanted: Wire) -> list[NodeType]:
    """Find the shortest chain of at most two nodes that convert one wire type to another.

    Args:
        types: the installed node types; only those with the class keyword `converts` are used.
        offered: the type of the output at the beginning of the wire.
        wanted: the type of the input at the end of the wire.

    Returns:
        the node types to insert, from the output to the input; empty if there is no such chain.
    """
    known = sorted(
        (kind for kind in types if kind.converts and not kind.deprecated), key=lambda kind: kind.name
    )
    for lifted in range(offered.lists + 1):  # a conversion goes through lists element by element
        element = Wire(offered.name, offered.lists - lifted)
        if chain := _chain(known, element, Wire(wanted.name, max(wanted.lists - lifted, 0))):
            return chain
    return []


def _chain(known: Sequence[NodeType], offered: Wire, wanted: Wire) -> list[NodeType]:
    first = [kind for kind in known if offered.fits(_input(kind))]
    for kind in first:
        if _output(kind).fits(wanted):
            return [kind]
    for kind in first:
        for second in known:
            if _output(kind).fits(_input(second)) and _output(second).fits(wanted):
                return [kind, second]
    return []


def hint(chain: Sequence[NodeType]) -> str | None:
    """Make a hint that suggests to insert a chain of conversion nodes; None if the chain is empty."""
    if not chain:
        return None
    details = []
    for kind in chain:
        others = [name for name, item in kind.inputs.items() if item.required and name != kind.converts]
        needs = f" and also needs {' and '.join(others)}" if others else ""
        subject = "it" if len(chain) == 1 else kind.name
        details.append(f"{subject} converts {_input(kind)} to {_output(kind)}{needs}")
    names = " and then ".join(with_article(kind.name) for kind in chain)
    return f"put {names} between them: {'; '.join(details)}"


def _input(kind: NodeType) -> Wire:
    assert kind.converts is not None
    return kind.inputs[kind.converts].wire


def _output(kind: NodeType) -> Wire:
    return next(iter(kind.outputs.values()))
