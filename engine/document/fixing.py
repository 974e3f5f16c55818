"""Applies fixes (see `engine.fixes`) to graphs."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from itertools import count

from engine.document.graph import Binding, Entry, From, Graph, Literal
from engine.document.reader import binding
from engine.document.writer import binding_json
from engine.errors import Problem
from engine.fixes import Connect, Fix, InsertNode, RemoveInput, RenameInput, SetInput, SetType


def fixed(graph: Graph, fix: Fix) -> Graph | None:
    """Return a copy of a graph with a fix applied; None if the graph is not as the fix expects.

    Only nodes of the graph itself are changed, not those of subgraphs that are defined in it.
    """
    entry = graph.nodes.get(fix.node)
    if entry is None:
        return None
    inputs = dict(entry.inputs)
    match fix:
        case SetType(was=was, to=to):
            return _with(graph, fix.node, replace(entry, type=to)) if entry.type == was else None
        case SetInput(input=name, was=was, to=to):
            held, new = inputs.get(name), binding(to)
            if held is None or binding_json(held) != was or new is None or not _exists(graph, new):
                return None
            inputs[name] = new
        case Connect(input=name, source=source):
            new = binding({"from": source})
            if name in inputs or new is None or not _exists(graph, new):
                return None
            inputs[name] = new
        case RenameInput(type=kind, input=name, to=to):
            if entry.type != kind or name not in inputs or to in inputs:
                return None
            inputs = {to if key == name else key: held for key, held in inputs.items()}
        case RemoveInput(type=kind, input=name):
            if entry.type != kind or name not in inputs:
                return None
            del inputs[name]
        case InsertNode(input=name, source=source):
            wire = inputs.get(name)
            if not isinstance(wire, From) or str(wire) != source:
                return None
            id = _free_id(fix.type, graph.nodes)
            inputs[name] = From(id, fix.leaves)
            between = Entry(fix.type, {fix.enters: wire})
            return _with(_with(graph, id, between), fix.node, replace(entry, inputs=inputs))
    return _with(graph, fix.node, replace(entry, inputs=inputs))


def without_stale_fix(problem: Problem, graph: Graph) -> Problem:
    """Return a problem, without its fix if the fix cannot be applied to the graph."""
    if problem.fix is None or fixed(graph, problem.fix) is not None:
        return problem
    return replace(problem, fix=None)


def _with(graph: Graph, node: str, entry: Entry) -> Graph:
    return replace(graph, nodes={**graph.nodes, node: entry})


def _exists(graph: Graph, held: Binding) -> bool:
    """Return True if the node or graph input to which a binding refers exists."""
    if isinstance(held, From):
        return held.node in graph.nodes
    return isinstance(held, Literal) or held.name in graph.inputs


def _free_id(type: str, nodes: Mapping[str, Entry]) -> str:
    """Choose an id for a new node: the name of its type in lower case, with a number if that is taken."""
    name = type.partition("@")[0].lower()
    return next(id for n in count(1) if (id := name if n == 1 else f"{name}-{n}") not in nodes)
