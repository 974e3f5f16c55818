"""Names for the files of a graph under which they are found again, from wherever its picture is run."""

from __future__ import annotations

from collections import defaultdict
from collections.abc import Mapping

from engine.check import upgraded
from engine.errors import GraphError, NodeError
from engine.files import Files
from engine.graph import Entry, Graph, Literal, Param
from engine.node import Input
from engine.registry import Registry
from engine.values import Json
from engine.widgets import FileIn

KEPT_KINDS = frozenset({"inputs"})
"""Kinds of files that are small enough to keep a copy of: the pictures that a graph begins with."""


def findable(
    graph: Graph, values: Mapping[str, Json], registry: Registry, files: Files
) -> tuple[Graph, dict[str, Json]]:
    """The graph and its values, with every file named so that it is found from anywhere on this machine.

    A written picture carries its graph, and shall give the same bytes when it is run from another folder,
    where a name relative to the graph's own folder leads nowhere. So what lies outside of the home's folders
    goes by a name made of its content (`Files.stage`), which says nothing of the user's folders; a run that
    writes pictures then keeps a copy under that name (`Files.keep`). A model is too large for that: its path
    becomes absolute. Everything else, names that lead nowhere included, stays as it is.

    Args:
        graph: the document.
        values: values for its inputs; missing ones take their defaults.
        registry: says which inputs of its nodes are files.
        files: finds them, and remembers what is to be kept.
    """
    nodes = dict(graph.nodes)
    kinds_of: dict[str, dict[str, str | None]] = {}
    readers: dict[str, set[str | None]] = defaultdict(set)
    for node, saved in graph.nodes.items():
        node_type = registry.types.get(saved.name)
        if node_type is None:
            continue
        try:
            entry = upgraded(node, saved, node_type)
        except GraphError:
            continue  # the check says so
        if node_type.name not in kinds_of:
            kinds_of[node_type.name] = {name: _kind(item) for name, item in node_type.inputs.items()}
        kinds = kinds_of[node_type.name]
        renamed = {}
        for name, binding in entry.inputs.items():
            if isinstance(binding, Param):
                readers[binding.name].add(kinds.get(name))
            elif isinstance(binding, Literal) and (found := _found(files, kinds.get(name), binding.value)):
                renamed[name] = Literal(found)
        if renamed:
            nodes[node] = Entry(entry.type, {**entry.inputs, **renamed}, entry.title)
    given = dict(values)
    for name, meant in readers.items():
        if name in graph.inputs:
            kind = meant.pop() if len(meant) == 1 else None  # of several it means more than a file
            if found := _found(files, kind, values.get(name, graph.inputs[name].default)):
                given[name] = found
    return Graph(nodes, graph.inputs, graph.outputs, graph.title, graph.doc, graph.layout), given


def kinds(registry: Registry) -> set[str]:
    """The kinds of file that the node types at hand read, such as `checkpoints`."""
    found = {_kind(item) for node_type in registry.types.values() for item in node_type.inputs.values()}
    return {kind for kind in found if kind is not None}


def _kind(item: Input) -> str | None:
    """The kind of file that an input names, if it does."""
    return next((extra.kind for extra in item.info.metadata if isinstance(extra, FileIn)), None)


def _found(files: Files, kind: str | None, name: Json) -> str | None:
    """The name to put in place of this one; None to leave it."""
    if kind is None or not isinstance(name, str) or files.inside(kind, name):
        return None
    try:
        path = files.find(kind, name)
        if kind in KEPT_KINDS and path.is_file():
            return files.stage(kind, path)
    except NodeError:
        return None  # whoever needs the file says so
    # A bare name may be one that a node knows without any file.
    return str(path) if "/" in name or "\\" in name else None
