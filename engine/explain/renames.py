"""Finds renamed nodes: those whose ids differ between an older and a newer graph."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable


class Renames:
    """Recognises nodes of an older graph that have another id in the newer graph.

    Args:
        nodes: the ids that are missing in the newer graph. For each id, the marks by which the node is
            recognised: hashable values, such as its type together with its inputs.
    """

    def __init__(self, nodes: dict[str, Iterable[Hashable]]) -> None:
        self._left = set(nodes)
        self._marked: dict[Hashable, list[str]] = defaultdict(list)
        for node in reversed(nodes):
            for mark in nodes[node]:
                self._marked[mark].append(node)

    def take(self, marks: Iterable[Hashable]) -> str | None:
        """Return the id of the first node with one of these marks; each id is returned only once."""
        for mark in marks:
            nodes = self._marked.get(mark, [])
            while nodes:
                if (node := nodes.pop()) in self._left:
                    self._left.remove(node)
                    return node
        return None
