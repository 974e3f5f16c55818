"""Renames the files in a graph, so that the copy of it in a picture can run from any folder."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

from engine.check.upgrade import upgraded
from engine.document.graph import Binding, Entry, Graph, Literal, Param
from engine.document.sweep import Sweep
from engine.errors import GraphError, NodeError
from engine.files import Files
from engine.node import Input
from engine.packs.registry import Registry
from engine.values import Json
from engine.widgets import FileIn

KEPT_KINDS = frozenset({"inputs"})
"""Kinds of files that are small enough to copy, such as input pictures."""

Kinds = frozenset[str | None]
"""The kinds of file that nodes read through an input; None stands for a use that is not a file."""


def make_portable(
    graph: Graph, values: Mapping[str, Json | Sweep], registry: Registry, files: Files
) -> tuple[Graph, dict[str, Json | Sweep]]:
    """Rename the files in a graph and its values, so that they are found from any folder on this machine.

    A picture contains its graph, and running it from another folder must give the same bytes again. Names
    relative to the folder of the graph's file would not be found then. So a file outside the home folder gets
    a name with its digest (`Files.stage`), which does not reveal the user's folders, and a run that writes
    pictures keeps a copy under that name (`Files.keep`). A model is too large to copy: its path becomes
    absolute, but in a server it stays relative to the graph. Other names, and names of files that do not
    exist, are unchanged. Names in lists, in sweeps and in subgraphs are renamed, too.

    Args:
        graph: the document.
        values: values for the graph's inputs; an input without a value takes its default.
        registry: the installed node types, which declare the inputs that are files.
        files: finds the files, and records which of them to copy.
    """
    namer = _Namer(registry, files)
    given = dict(values)
    for name, kinds in namer.inputs((graph,)).items():
        if name in graph.inputs:
            value = values.get(name, graph.inputs[name].default)
            if (found := namer.found(kinds, value)) != value:
                given[name] = found
    return namer.renamed((graph,)), given


def kinds(registry: Registry) -> set[str]:
    """Return the kinds of file that the installed node types read, such as `checkpoints`."""
    found = {_kind(item) for node_type in registry.types.values() for item in node_type.inputs.values()}
    return {kind for kind in found if kind is not None}


class _Namer:
    """Renames the files in graphs. `scopes` is a graph, followed by the graphs in which it is defined."""

    def __init__(self, registry: Registry, files: Files) -> None:
        self._registry, self._files = registry, files
        self._types: dict[str, dict[str, Kinds]] = {}
        self._graphs: dict[int, dict[str, Kinds]] = {}

    def inputs(self, scopes: tuple[Graph, ...]) -> dict[str, Kinds]:
        """For each input of a graph, return the kinds of file for which its nodes use the value."""
        graph = scopes[0]
        if id(graph) not in self._graphs:
            readers = self._graphs[id(graph)] = {}  # a graph that contains itself ends here
            for node, saved in graph.nodes.items():
                entry, kinds = self._entry(node, saved, scopes)
                for name, binding in entry.inputs.items():
                    if isinstance(binding, Param):
                        known = readers.get(binding.name, frozenset())
                        readers[binding.name] = known | kinds.get(name, frozenset({None}))
        return self._graphs[id(graph)]

    def renamed(self, scopes: tuple[Graph, ...]) -> Graph:
        """Return a copy of a graph with new names for the files in its nodes and subgraphs."""
        graph = scopes[0]
        nodes = dict(graph.nodes)
        for node, saved in graph.nodes.items():
            entry, kinds = self._entry(node, saved, scopes)
            inputs: dict[str, Binding] = {}
            for name, binding in entry.inputs.items():
                if isinstance(binding, Literal):
                    found = self.found(kinds.get(name, frozenset()), binding.value)
                    if found != binding.value and not isinstance(found, Sweep):
                        inputs[name] = Literal(found)
            if inputs:
                nodes[node] = replace(entry, inputs={**entry.inputs, **inputs})
        graphs = {}
        for name, inner in graph.graphs.items():
            kinds = self.inputs((inner, *scopes))
            defaults = {
                name: found
                for name, item in inner.inputs.items()
                if (found := self.found(kinds.get(name, frozenset()), item.default)) != item.default
            }
            graphs[name] = self.renamed((inner, *scopes))
            if defaults:
                graphs[name] = graphs[name].with_defaults(defaults)  # type: ignore[arg-type]
        return replace(graph, nodes=nodes, graphs=graphs)

    def found(self, kinds: Kinds, value: Json | Sweep) -> Json | Sweep:
        """Return a value with new file names; a value that is used for several kinds of file is unchanged."""
        if len(kinds) != 1 or (kind := next(iter(kinds))) is None:
            return value
        if isinstance(value, Sweep):
            return Sweep(tuple(self._found(kind, one) for one in value.values))
        return self._found(kind, value)

    def _found(self, kind: str, value: Json) -> Json:
        if isinstance(value, list):
            return [self._found(kind, one) for one in value]
        if not isinstance(value, str) or self._files.inside(kind, value):
            return value
        try:
            path = self._files.find(kind, value)
            if kind in KEPT_KINDS and path.is_file():
                return self._files.stage(kind, path)
        except NodeError:
            return value  # the node that reads the file reports it
        # A server reads no absolute paths. A name without a folder may be a built-in name of a node.
        is_path = self._files.local and ("/" in value or "\\" in value)
        return str(path) if is_path else value

    def _entry(self, node: str, saved: Entry, scopes: tuple[Graph, ...]) -> tuple[Entry, dict[str, Kinds]]:
        """Upgrade a node to the installed version of its type. Returns the node, and the kinds of file of its
        inputs."""
        if saved.type.startswith("#"):
            for n, graph in enumerate(scopes):
                if (inner := graph.graphs.get(saved.type[1:])) is not None:
                    return saved, self.inputs((inner, *scopes[n:]))
        node_type = self._registry.types.get(saved.name)
        if node_type is None:
            return saved, {}
        if node_type.name not in self._types:
            self._types[node_type.name] = {
                name: frozenset({_kind(item)}) for name, item in node_type.inputs.items()
            }
        try:
            return upgraded(node, saved, node_type), self._types[node_type.name]
        except GraphError:
            return saved, {}  # the check reports it


def _kind(item: Input) -> str | None:
    """Return the kind of file that an input names; None if it names no file."""
    return next((extra.kind for extra in item.info.metadata if isinstance(extra, FileIn)), None)
