"""Bound nodes: nodes whose type, values and wires have been checked."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.check.lift import Lift
from engine.document.graph import From
from engine.node import NodeType
from engine.types.wires import Wire
from engine.values import Json


@dataclass(slots=True, eq=False)
class Bound:
    """A node without problems, ready to be planned: its type, the values of its inputs, and its wires."""

    id: str
    type: NodeType
    literals: dict[str, Json]
    """The values of the inputs without a wire, including defaults."""
    links: dict[str, From]
    outputs: Mapping[str, Wire]
    """The types of its outputs in this graph: type variables are resolved, and lists from a lift included."""
    lift: Lift | None = None
    """How the node goes through lists at its inputs; None if it runs only once."""
    list_levels_added: Mapping[str, int] = field(default_factory=dict)
    """For each input whose wire has fewer list levels than its type, the number of levels to add."""
    signature: bytes = b""
    """A cache for `engine.plan.keys.signature`; empty until a plan computes it."""
