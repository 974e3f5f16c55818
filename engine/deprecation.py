"""What is said of a node whose type has had its day."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import Problem
from engine.node import NodeType


def deprecation(
    node_type: NodeType, types: Mapping[str, NodeType], node: str | None = None
) -> Problem | None:
    """The warning for a node of a deprecated type; None for any other.

    Args:
        node_type: its type.
        types: the node types at hand, by name; the one that takes its place is looked up here.
        node: its id.
    """
    if not node_type.deprecated:
        return None
    message = f"{node_type.name} is deprecated: {node_type.deprecated}"
    return Problem("deprecated", message, node, hint=_how(node_type, types), severity="warning")


def _how(old: NodeType, types: Mapping[str, NodeType]) -> str | None:
    """How to put the new type in the place of the old one: what stays, goes, is new, and changes its name."""
    if not old.replaced_by:
        return None
    new = types.get(old.replaced_by)
    if new is None:
        return f"install the pack that brings {old.replaced_by}"
    told = [f"write {new.id} in its place"]
    gone = [name for name in old.inputs if name not in new.inputs]
    asked = [name for name, item in new.inputs.items() if item.required and name not in old.inputs]
    lost = [name for name in old.outputs if name not in new.outputs]
    if gone:
        told.append(f"without {_all(gone)}")
    if asked:
        told.append(f"give it {_all(asked)}")
    if lost:
        told.append(f"wire {_all(new.outputs)} where {_all(lost)} went")
    if len(told) == 1:
        told.append("its inputs and outputs stay as they are")
    return "; ".join(told)


def _all(names: list[str] | Mapping[str, object]) -> str:
    return ", ".join(names)
