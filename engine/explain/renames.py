"""Finds nodes whose id differs between an older and a newer graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable


class Renames:
    """The nodes of the older graph whose ids are missing in the newer one.

    Args:
        nodes: for each id, the marks by which the node is recognised, such as its type with its inputs.
    """

    def __init__(self, nodes: dict[str, Iterable[Hashable]]) -> None:
        self._left = set(nodes)
        self._marked: dict[Hashable, list[str]] = defaultdict(list)
        for node in reversed(nodes):
            for mark in nodes[node]:
                self._marked[mark].append(node)

    def take(self, marks: Iterable[Hashable]) -> str | None:
        """The id of the first node with one of these marks; each node is returned once only."""
        for mark in marks:
            nodes = self._marked.get(mark, [])
            while nodes:
                if (node := nodes.pop()) in self._left:
                    self._left.remove(node)
                    return node
        return None
