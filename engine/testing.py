"""A test kit for node authors: run one node as a graph would, without writing the graph."""

from __future__ import annotations

from collections.abc import Mapping

from engine.context import Cancel, Context
from engine.events import Emit
from engine.node import Node, outputs_of
from engine.session import Session


def run_node(session: Session, node: Node, *, emit: Emit | None = None) -> Mapping[str, object]:
    """Run one node and return its outputs by name; whatever it raises comes through.

    Args:
        session: its home, device and loaded models.
        node: a node with all its inputs.
        emit: is told the events, such as warnings and progress.
    """
    ctx = Context(
        type(node).__name__,
        emit or (lambda event: None),
        Cancel(),
        session.files,
        session.residency,
        session.device,
    )
    return outputs_of(node.node_type, node.run(ctx))
