"""Upgrades a saved node to the installed version of its type."""

from __future__ import annotations

from dataclasses import replace

from engine.document.graph import Binding, Entry, From, Literal, Param
from engine.errors import AuthorError, GraphError, Problem, error_text, short
from engine.node import NodeType
from engine.pack_errors import author_place


def upgraded(node: str, entry: Entry, node_type: NodeType) -> Entry:
    """Convert a saved node to the installed version of its type, with the type's `Node.upgrade`.

    `Node.upgrade` receives plain values for literals, and objects of `From` and `Param` for connected inputs.

    Args:
        node: the node's id.
        entry: the node as it was saved; returned unchanged unless an older version of the type saved it.
        node_type: the installed type.

    Raises:
        GraphError: `Node.upgrade` failed, or returned something other than inputs.
    """
    version = entry.version
    if version is None or version >= node_type.version:
        return entry
    upgrade = node_type.cls.upgrade
    saved = {name: item.value if isinstance(item, Literal) else item for name, item in entry.inputs.items()}
    try:
        returned = upgrade(saved, version)
        if not isinstance(returned, dict) or not all(isinstance(name, str) for name in returned):
            message = f"upgrade() returned {short(returned)}, which is not a dict of inputs"
            raise AuthorError(message, upgrade, "return the inputs")
    except Exception as error:  # the code of a node pack may raise anything
        message = f"the inputs of {entry.type} cannot be upgraded to {node_type.id}: {error_text(error)}"
        place = author_place(error)
        hint = f"set the inputs again, or correct upgrade(){f' in {place}' if place else ''}"
        raise GraphError([Problem("bad_upgrade", message, node, hint=hint)]) from None
    inputs: dict[str, Binding] = {
        name: item if isinstance(item, From | Param) else Literal(item) for name, item in returned.items()
    }
    return replace(entry, type=node_type.id, inputs=inputs)
