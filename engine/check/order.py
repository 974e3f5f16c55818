"""Sorts the nodes of a graph topologically, and finds cycles."""

from __future__ import annotations

from collections.abc import Mapping

from engine.document.graph import Entry, From
from engine.errors import Problem

SHOWN = 12
"""The most nodes of a cycle that a message names."""


def sort_nodes(nodes: Mapping[str, Entry]) -> tuple[list[str], list[Problem]]:
    """Sort the nodes topologically, branch by branch. Returns their ids, and a problem for each cycle."""

    parents = {
        node: [link.node for link in entry.inputs.values() if isinstance(link, From) and link.node in nodes]
        for node, entry in nodes.items()
    }
    order: list[str] = []
    placed: set[str] = set()
    open_: set[str] = set()
    looped = False
    for root in nodes:
        stack = [root]
        while stack:
            node = stack[-1]
            if node in placed:
                stack.pop()
                continue
            open_.add(node)
            ahead = [parent for parent in parents[node] if parent not in placed]
            if any(parent in open_ for parent in ahead):
                looped = True
                ahead = [parent for parent in ahead if parent not in open_]
            if ahead:
                stack.extend(reversed(ahead))
                continue
            stack.pop()
            placed.add(node)
            open_.discard(node)
            order.append(node)
    return order, _cycles(parents) if looped else []


def _cycles(parents: Mapping[str, list[str]]) -> list[Problem]:
    import networkx  # only a graph with a cycle pays for the import

    wires = networkx.DiGraph((parent, node) for node, ahead in parents.items() for parent in ahead)
    problems: list[Problem] = []
    for loop in networkx.strongly_connected_components(wires):
        part = wires.subgraph(loop)
        if len(loop) == 1 and not part.number_of_edges():
            continue
        first = min(loop)
        path = [edge[0] for edge in networkx.find_cycle(part, first)]
        path.append(path[0])
        if len(path) > SHOWN:
            path[SHOWN // 2 : -SHOWN // 2] = ["…"]
        message = f"the wires form a cycle: {' → '.join(path)}"
        problems.append(Problem("cycle", message, path[0], hint="remove one of these wires"))
    return problems
