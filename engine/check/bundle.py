"""Copies the graph files that a graph uses into the graph itself, so that it needs no other files."""

from __future__ import annotations

import re
from dataclasses import replace
from pathlib import Path

from engine.check.inline import MAX_DEPTH
from engine.document.graph import Graph, ReadGraph
from engine.errors import GraphError, Problem


def bundled(graph: Graph, read: ReadGraph) -> Graph:
    """Return a copy of a graph in which every subgraph from a file is defined in the graph itself.

    Raises:
        GraphError: a graph file cannot be read.
    """
    return _bundled(graph, read, 0)


def _bundled(graph: Graph, read: ReadGraph, depth: int) -> Graph:
    files = {entry.type for entry in graph.nodes.values() if entry.type[:1] == "."}
    if depth > MAX_DEPTH:
        raise GraphError([Problem("too_deep", f"subgraphs are nested more than {MAX_DEPTH} levels deep")])
    graphs = {
        name: _bundled(replace(inner, folder=graph.folder), read, depth + 1)
        for name, inner in graph.graphs.items()
    }
    names: dict[str, str] = {}
    for kind in sorted(files):
        stem = name = re.sub(r"[^A-Za-z0-9_]+", "-", Path(kind).stem)[:40].strip("-") or "graph"
        count = 1
        while name in graphs:
            count += 1
            name = f"{stem}-{count}"
        graphs[name] = _bundled(read(kind, graph.folder), read, depth + 1)
        names[kind] = f"#{name}"
    nodes = {
        node: replace(entry, type=names[entry.type]) if entry.type in names else entry
        for node, entry in graph.nodes.items()
    }
    return replace(graph, nodes=nodes, graphs=graphs, folder=None)
