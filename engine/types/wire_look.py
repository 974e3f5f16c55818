"""Describes how a canvas draws the sockets of a wire type, and which types an output of it connects to."""

from __future__ import annotations

from typing import Any

from engine.types.wires import ANY, Wire
from engine.values import Value

_PLAIN_FAMILIES = {"text": "text"}
_NUMBERS = ("int", "float")
_WIDER = {"int": ["float"]}
"""The plain types that a plain type converts to automatically."""


def look(wire: Wire) -> dict[str, Any]:
    """Describe a wire type for a canvas, as JSON.

    Returns:
        `family` (one of `values.FAMILIES`, which decides the colour), `shape` (`triangle` for numbers,
        `square` for models, `circle` otherwise), `lists` (the number of lists around it, drawn as stacked
        shapes), `fits` (the types of inputs that an output of this type connects to without a conversion),
        and `variable` for a type variable.
    """
    if wire.is_open:
        return {"family": "values", "shape": "circle", "lists": wire.lists, "fits": [], "variable": True}
    cls = Value.types.get(wire.name)
    family = cls.family if cls is not None else _PLAIN_FAMILIES.get(wire.name, "values")
    shape = "triangle" if wire.name in _NUMBERS else "square" if family == "models" else "circle"
    wider = sorted(cls.kinds - {wire.name, "Value"}) if cls is not None else _WIDER.get(wire.name, [])
    fits = [str(Wire(name, wire.lists)) for name in (wire.name, *wider)]
    return {"family": family, "shape": shape, "lists": wire.lists, "fits": [*fits, ANY]}
