"""Inlines subgraphs: a node whose type is a graph is replaced by the nodes of that graph.

The rest of the engine knows no subgraphs, so a node has the same cache key, plan and events inside a subgraph
as outside. Its id begins with the id of the subgraph's node: `upscale/denoise`. Nodes that are off are
removed at the same time; see `off`.
"""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.check.off import REPORTED, Replacements
from engine.document.format import LIFTS, MAX_NODES
from engine.document.graph import Binding, Entry, From, Graph, Literal, Param, ReadGraph, no_files
from engine.document.graph_inputs import wrong_kind
from engine.errors import GraphError, Problem, short
from engine.near_names import listed, near
from engine.node import NodeType
from engine.problem_list import Problems

MAX_DEPTH = 32
"""The most levels of nested subgraphs."""


@dataclass(slots=True)
class Inlined:
    """A graph after inlining, without subgraphs and without nodes that are off."""

    nodes: dict[str, Entry]
    outputs: dict[str, From]
    subgraph_outputs: dict[str, list[str]] = field(default_factory=dict)
    """For each inlined subgraph, the ids of the nodes that produce its outputs."""
    off: set[str] = field(default_factory=set)
    """The ids of the nodes that were removed because they are off, or because their subgraph has an error."""
    problems: Problems = field(default_factory=Problems)


@dataclass(frozen=True, slots=True)
class ReplacedNode:
    """A node that returned a graph during a run, by which it is replaced."""

    node: str
    """The id of the node; the ids of the graph's nodes begin with it."""
    inputs: Mapping[str, Binding]
    """The content of the node's inputs, which become the inputs of the graph."""


def inline(
    graph: Graph,
    types: Mapping[str, NodeType],
    read: ReadGraph = no_files,
    replaced: ReplacedNode | None = None,
) -> Inlined:
    """Inline the subgraphs of a graph and remove the nodes that are off."""
    if replaced is None and not any(entry.off or entry.is_graph for entry in graph.nodes.values()):
        return Inlined(graph.nodes, graph.outputs)
    return _Inliner(types, read).inlined(graph, replaced)


@dataclass(frozen=True, slots=True)
class _Scope:
    """A graph while it is inlined, with the graph in which it is used."""

    graph: Graph
    prefix: str
    params: Mapping[str, Binding] | None
    """The content of its inputs, from the node that uses it; None for the outermost graph, whose inputs have
    their values from the run."""
    outer: _Scope | None
    """The graph that defines this one; the next in which `#name` is looked up."""
    trail: tuple[tuple[object, str], ...]
    """The identity and name of each graph in which it is nested, to detect graphs that contain themselves."""


class _Inliner:
    def __init__(self, types: Mapping[str, NodeType], read: ReadGraph) -> None:
        self._types, self._read = types, read
        self._done = Inlined({}, {})
        self._replaced = Replacements(self._done.off, self._done.problems)
        self._files: dict[Path, Graph] = {}

    def inlined(self, graph: Graph, replaced: ReplacedNode | None) -> Inlined:
        done = self._done
        prefix, params = ("", None) if replaced is None else (f"{replaced.node}/", replaced.inputs)
        self._place(_Scope(graph, prefix, params, None, ((id(graph), "this graph"),)))
        for entry in done.nodes.values():
            for name, binding in entry.inputs.items():
                if isinstance(binding, From):
                    entry.inputs[name] = self._replaced.resolve(binding)
        for name, link in graph.outputs.items():
            source = self._replaced.source(name, From(prefix + link.node, link.output))
            if source is not None:
                done.outputs[name] = source
        for node, ends in done.subgraph_outputs.items():
            sources = [self._replaced.resolve(From(*end.split("."))) for end in ends]
            done.subgraph_outputs[node] = list(
                dict.fromkeys(end.node for end in sources if isinstance(end, From))
            )
        return done

    def _place(self, scope: _Scope) -> None:
        for name, entry in scope.graph.nodes.items():
            node = scope.prefix + name
            inputs = {input: self._bound(scope, node, input, item) for input, item in entry.inputs.items()}
            placed = Entry(entry.type, inputs, entry.title, lift=entry.lift)
            if entry.is_graph:
                self._open(scope, node, placed, entry.off)
            elif entry.off:
                self._replaced.switch_off(node, placed, self._types.get(placed.name))
            else:
                self._done.nodes[node] = placed
        if len(self._done.nodes) > MAX_NODES:
            message = f"with its subgraphs the graph has more than {MAX_NODES:,} nodes"
            raise GraphError([Problem("too_many", message)])

    def _bound(self, scope: _Scope, node: str, input: str, binding: Binding) -> Binding:
        if isinstance(binding, From):
            if binding.node in scope.graph.nodes:
                return From(scope.prefix + binding.node, binding.output)
            return From(scope.prefix + short(binding.node), binding.output) if scope.prefix else binding
        if isinstance(binding, Param) and scope.params is not None:
            if binding.name in scope.params:
                return scope.params[binding.name]
            hint = near(binding.name, scope.params) or "declare it under the inputs of the subgraph"
            message = f"the subgraph has no input {short(binding.name)}"
            self._done.problems.append(Problem("unknown_param", message, node, input, hint))
            return REPORTED
        return binding

    def _open(self, scope: _Scope, node: str, entry: Entry, off: bool) -> None:
        try:
            inner, outer, identity = self._graph(scope, entry.type)
        except GraphError as error:
            self._done.problems += [problem.within(node) for problem in error.problems]
            self._done.off.add(node)
            return
        if identity in [known for known, _ in scope.trail]:
            path = " → ".join([name for _, name in scope.trail] + [entry.type])
            hint = "remove the inner node; to repeat a graph, use a node that returns a graph"
            message = f"the graph contains itself: {path}"
            self._done.problems.append(Problem("recursion", message, node, hint=hint))
            self._done.off.add(node)
            return
        if len(scope.trail) > MAX_DEPTH:
            message = f"subgraphs are nested more than {MAX_DEPTH} levels deep"
            raise GraphError([Problem("too_deep", message, node)])
        if off:
            self._replaced.switch_off_graph(node, entry, inner)
            return
        if entry.lift != LIFTS[0]:
            message = f'"lift" has no effect, because the nodes in {entry.type} go through lists on their own'
            hint = 'set "lift" on a node in that graph'
            self._done.problems.append(Problem("no_lift", message, node, hint=hint, severity="warning"))
        params = dict(self._params(node, entry, inner))
        trail = (*scope.trail, (identity, entry.type))
        self._place(_Scope(inner, f"{node}/", params, outer, trail))
        for name, link in inner.outputs.items():
            self._replaced.add(From(node, name), From(f"{node}/{link.node}", link.output))
        self._done.subgraph_outputs[node] = [f"{node}.{name}" for name in inner.outputs]

    def _graph(self, scope: _Scope, kind: str) -> tuple[Graph, _Scope | None, object]:
        """Find the graph of a node type. Returns the graph, the scope that defines it, and its identity."""
        if kind[0] == "#":
            known: list[str] = []
            at: _Scope | None = scope
            while at is not None:
                if (inner := at.graph.graphs.get(kind[1:])) is not None:
                    return inner, at, id(inner)
                known += at.graph.graphs
                at = at.outer
            hint = near(kind[1:], known) or "define it under the graph's `graphs`"
            raise GraphError([Problem("unknown_type", f"the graph {kind} does not exist", hint=hint)])
        home: _Scope = scope
        while home.graph.folder is None and home.outer is not None:
            home = home.outer
        folder = home.graph.folder
        path = (folder or Path()) / kind
        if path not in self._files:
            self._files[path] = self._read(kind, folder)
        graph = self._files[path]
        return graph, None, (graph.folder or path.parent) / path.name

    def _params(self, node: str, entry: Entry, inner: Graph) -> Iterator[tuple[str, Binding]]:
        for name in entry.inputs:
            if name not in inner.inputs:
                hint = near(name, inner.inputs) or listed("the inputs are", inner.inputs)
                message = f"{entry.type} has no input {name!r}"
                self._done.problems.append(Problem("unknown_input", message, node, name, hint))
        for name, item in inner.inputs.items():
            binding = entry.inputs.get(name)
            if binding is None and item.required:
                hint = f"give it a value or a wire of type {item.type}"
                self._done.problems.append(Problem("missing_input", "has no value", node, name, hint))
                yield name, REPORTED
            elif binding is None:
                yield name, Literal(item.default)
            elif isinstance(binding, Literal) and (problem := wrong_kind("the input", item, binding.value)):
                self._done.problems.append(replace(problem, node=node, input=name))
                yield name, REPORTED
            else:
                yield name, binding
