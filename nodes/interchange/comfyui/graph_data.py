"""A ComfyUI graph as data: nodes with named values, and wires. The readers of both formats produce it."""

from __future__ import annotations

from dataclasses import dataclass, field
from typing import NamedTuple

from engine.errors import GraphError, Problem
from engine.values import Json

MAX_NODES = 10_000
"""The most nodes of one graph, counting a subgraph's nodes for each use of the subgraph."""
MUTED, BYPASSED = 2, 4
"""Values of a node's `mode`."""


class Slot(NamedTuple):
    """An output of a node: one end of a wire."""

    node: str
    slot: int


class Given(NamedTuple):
    """A value that a wire brings from a primitive node or from the card of a subgraph."""

    value: Json
    from_server: bool = False
    """True if a node on ComfyUI's server produces it; the editor then does not resolve the text."""


Source = Slot | Given | None
"""The source of a wire into an input; None for a wire without a source."""


@dataclass
class ComfyNode:
    """A node of ComfyUI."""

    id: str
    type: str
    title: str = ""
    values: dict[str, Json] = field(default_factory=dict)
    wires: dict[str, Source] = field(default_factory=dict)
    input_types: dict[str, str] = field(default_factory=dict)
    """The wire type of each input that the file lists."""
    outputs: list[tuple[str, str]] = field(default_factory=list)
    """Name and wire type of each output that the file lists."""
    mode: int = 0
    position: list[int] | None = None
    level: tuple[str, ...] = ()
    """The ids of the subgraph cards around the node, outermost first."""
    from_api: bool = False
    """Whether its values come from the API format, in which the editor has resolved comments and choices."""


@dataclass
class ComfyGraph:
    """All nodes of a graph; subgraphs are expanded."""

    nodes: dict[str, ComfyNode] = field(default_factory=dict)
    stand_ins: dict[Slot, Source] = field(default_factory=dict)
    """For each output of a subgraph card, its source inside the subgraph."""


def check_node_count(count: int) -> None:
    """Reject a graph that is too large.

    Raises:
        GraphError: there are more than `MAX_NODES` nodes.
    """
    if count > MAX_NODES:
        raise GraphError([Problem("too_large", f"the workflow has more than {MAX_NODES:,} nodes")])
