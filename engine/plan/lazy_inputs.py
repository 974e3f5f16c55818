"""Determines which lazy inputs a node will read."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.errors import AuthorError, short
from engine.lazy import Lazy
from engine.node import NodeType


def asked(node_type: NodeType, inputs: Mapping[str, object]) -> frozenset[str]:
    """Ask a node which of its lazy inputs it will read, given the values of its other inputs.

    Raises:
        AuthorError: `asks` returned something other than names of the node's lazy inputs.
    """
    given = {name: Lazy() if name in node_type.lazy else value for name, value in inputs.items()}
    given |= {name: Lazy() for name in node_type.lazy}
    names = node_type.cls(**given).asks()
    if (
        isinstance(names, str)
        or not isinstance(names, Iterable)
        or not node_type.lazy.issuperset(named := list(names))
    ):
        hint = f"return names of its lazy inputs: {', '.join(sorted(node_type.lazy))}"
        raise AuthorError(f"asks() returned {short(names)}", node_type.cls.asks, hint)
    return frozenset(named)
