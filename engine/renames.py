"""Finds the nodes of an older graph that go by another id in a newer one."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Hashable, Iterable


class Gone:
    """The nodes whose ids are gone, by what they are told by.

    Args:
        nodes: for each of them its marks: values that nodes which are the same have in common, such as the
            type together with the inputs.
    """

    def __init__(self, nodes: dict[str, Iterable[Hashable]]) -> None:
        self._left = set(nodes)
        self._marked: dict[Hashable, list[str]] = defaultdict(list)
        for node in reversed(nodes):
            for mark in nodes[node]:
                self._marked[mark].append(node)

    def take(self, marks: Iterable[Hashable]) -> str | None:
        """The first node with one of these marks; each is taken once."""
        for mark in marks:
            nodes = self._marked.get(mark, [])
            while nodes:
                if (node := nodes.pop()) in self._left:
                    self._left.remove(node)
                    return node
        return None
