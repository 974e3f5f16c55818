"""Makes warnings for nodes of deprecated types, with instructions for replacing them."""

from __future__ import annotations

from collections.abc import Mapping

from engine.errors import Problem
from engine.node import NodeType


def deprecation(
    node_type: NodeType, types: Mapping[str, NodeType], node: str | None = None
) -> Problem | None:
    """Make the warning for a node of a deprecated type; None if the type is not deprecated.

    Args:
        node_type: the node's type.
        types: the installed node types by name, among which its replacement is looked up.
        node: the node's id.
    """
    if not node_type.deprecated:
        return None
    message = f"{node_type.name} is deprecated: {node_type.deprecated}"
    return Problem("deprecated", message, node, hint=_how(node_type, types), severity="warning")


def _how(old: NodeType, types: Mapping[str, NodeType]) -> str | None:
    """Describe how to replace a node by one of the new type; None if the old type names no replacement."""
    if not old.replaced_by:
        return None
    new = types.get(old.replaced_by)
    if new is None:
        return f"install the pack that contains {old.replaced_by}"
    steps = [f"change the type to {new.id}"]
    removed = [name for name in old.inputs if name not in new.inputs]
    required = [name for name, item in new.inputs.items() if item.required and name not in old.inputs]
    lost = [name for name in old.outputs if name not in new.outputs]
    if removed:
        steps.append(f"remove {', '.join(removed)}")
    if required:
        steps.append(f"set {', '.join(required)}")
    if lost:
        steps.append(f"connect {', '.join(new.outputs)} instead of {', '.join(lost)}")
    if len(steps) == 1:
        steps.append("the inputs and outputs stay the same")
    return "; ".join(steps)
