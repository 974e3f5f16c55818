"""A node whose type, literals and wires have been checked and resolved."""

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
    """A node that is ready to be planned."""

    id: str
    type: NodeType
    literals: dict[str, Json]
    """The values of the inputs that are not wired, defaults included."""
    links: dict[str, From]
    outputs: Mapping[str, Wire]
    """The types of its outputs in this graph, without type variables and with the lists of a lift."""
    lift: Lift | None = None
    """How the node goes through the lists among its inputs; None if it runs once."""
    list_levels_added: Mapping[str, int] = field(default_factory=dict)
    """For each input that takes a list but is wired to fewer list levels: how many levels are added."""
    signature: bytes = b""
    """The cached value of `engine.plan.keys.signature`; empty until a plan computes it."""
