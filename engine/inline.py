"""A graph written out: subgraphs replaced by their nodes, and what is off stepped around.

Everything after this knows nodes and wires only, so a node inside a subgraph has the key, the plan and the
events that it would have outside; its id is `upscale/denoise`.
"""

from __future__ import annotations

import re
from collections.abc import Callable, Iterator, Mapping
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.errors import GraphError, Problem, short
from engine.graph import LIFTS, MAX_NODES, Binding, Entry, From, Graph, Literal, Param, within
from engine.graph_inputs import wrong_kind
from engine.node import NodeType
from engine.problems import Problems
from engine.registry import near

Read = Callable[[str, Path | None], Graph]
"""Reads a graph that another one names, such as `./upscale.json`, given the folder of that one.

Raises GraphError if it cannot.
"""

MAX_DEPTH = 32
"""How deep subgraphs may use subgraphs."""

REPORTED = Param("")
"""Stands for a value whose absence was reported already."""


def no_files(name: str, folder: Path | None) -> Graph:
    """A `Read` for places where graphs have no folder."""
    raise GraphError([Problem("no_graph", f"{name} cannot be read from here")])


@dataclass(slots=True)
class Inlined:
    """The nodes that are left, the outputs in their terms, and what was wrong on the way."""

    nodes: dict[str, Entry]
    outputs: dict[str, From]
    ends: dict[str, list[str]] = field(default_factory=dict)
    """For each subgraph that was written out, the nodes that its outputs come from."""
    off: set[str] = field(default_factory=set)
    problems: Problems = field(default_factory=Problems)


@dataclass(frozen=True, slots=True)
class Around:
    """What is around a graph that stands in place of a node."""

    node: str
    """The node; the ids of the graph's nodes begin with it."""
    inputs: Mapping[str, Binding]
    """What the node's inputs are bound to, which the graph takes as its own inputs."""


def inline(
    graph: Graph, types: Mapping[str, NodeType], read: Read = no_files, around: Around | None = None
) -> Inlined:
    """Write a graph out. One without subgraphs and with nothing off is handed back as it is."""
    if around is None and not any(entry.off or entry.is_graph for entry in graph.nodes.values()):
        return Inlined(graph.nodes, graph.outputs)
    return _Inliner(types, read).inlined(graph, around)


def bundled(graph: Graph, read: Read) -> Graph:
    """A graph that needs no other file: the graphs that it names are defined in it.

    Raises:
        GraphError: one of them cannot be read.
    """
    return _bundled(graph, read, 0)


@dataclass(frozen=True, slots=True)
class _Scope:
    """A graph that is being written out, and where."""

    graph: Graph
    prefix: str
    params: Mapping[str, Binding] | None
    """What its inputs are bound to, outside; None for the graph as a whole, whose inputs a run fills."""
    outer: _Scope | None
    """The graph that it is defined in, where `#name` is looked up further."""
    trail: tuple[tuple[object, str], ...]
    """The graphs around it: what each is, and what it is called."""


class _Inliner:
    def __init__(self, types: Mapping[str, NodeType], read: Read) -> None:
        self._types, self._read = types, read
        self._done = Inlined({}, {})
        self._stands: dict[From, Binding] = {}
        self._files: dict[Path, Graph] = {}

    def inlined(self, graph: Graph, around: Around | None) -> Inlined:
        done = self._done
        prefix, params = ("", None) if around is None else (f"{around.node}/", around.inputs)
        self._place(_Scope(graph, prefix, params, None, ((id(graph), "this graph"),)))
        for entry in done.nodes.values():
            for name, binding in entry.inputs.items():
                if isinstance(binding, From) and binding in self._stands:
                    entry.inputs[name] = self._behind(binding)
        for name, link in graph.outputs.items():
            behind = self._behind(From(prefix + link.node, link.output))
            if isinstance(behind, From):
                done.outputs[name] = behind
            else:
                message = (
                    f"the graph output {name!r} comes from {link.node}, which is off and hands on no wire"
                )
                done.problems.append(Problem("is_off", message, hint="switch it on, or remove the output"))
        for node, ends in done.ends.items():
            found = [self._behind(From(*end.split("."))) for end in ends]
            done.ends[node] = list(dict.fromkeys(end.node for end in found if isinstance(end, From)))
        return done

    def _place(self, scope: _Scope) -> None:
        for name, entry in scope.graph.nodes.items():
            node = scope.prefix + name
            inputs = {input: self._bound(scope, node, input, item) for input, item in entry.inputs.items()}
            placed = Entry(entry.type, inputs, entry.title, lift=entry.lift)
            if entry.is_graph:
                self._open(scope, node, placed, entry.off)
            elif entry.off:
                self._step_around(node, placed)
            else:
                self._done.nodes[node] = placed
        if len(self._done.nodes) > MAX_NODES:
            message = f"with its subgraphs written out it has more than {MAX_NODES:,} nodes"
            raise GraphError([Problem("too_many", message)])

    def _bound(self, scope: _Scope, node: str, input: str, binding: Binding) -> Binding:
        if isinstance(binding, From):
            if binding.node in scope.graph.nodes:
                return From(scope.prefix + binding.node, binding.output)
            return From(scope.prefix + short(binding.node), binding.output) if scope.prefix else binding
        if isinstance(binding, Param) and scope.params is not None:
            if binding.name in scope.params:
                return scope.params[binding.name]
            hint = near(binding.name, scope.params) or "declare it under the inputs of that graph"
            message = f"its graph has no input {short(binding.name)}"
            self._done.problems.append(Problem("unknown_param", message, node, input, hint))
            return REPORTED
        return binding

    def _open(self, scope: _Scope, node: str, entry: Entry, off: bool) -> None:
        try:
            inner, outer, identity = self._graph(scope, entry.type)
        except GraphError as error:
            self._done.problems += [within(node, problem) for problem in error.problems]
            self._done.off.add(node)
            return
        if identity in [known for known, _ in scope.trail]:
            path = " → ".join([name for _, name in scope.trail] + [entry.type])
            hint = "a graph cannot contain itself; a node that returns a graph can repeat one"
            self._done.problems.append(Problem("recursion", f"contains itself: {path}", node, hint=hint))
            self._done.off.add(node)
            return
        if len(scope.trail) > MAX_DEPTH:
            message = f"subgraphs use subgraphs more than {MAX_DEPTH} deep"
            raise GraphError([Problem("too_deep", message, node)])
        if off:
            self._hand_on(
                node, entry, inner.passes, {name: item.default for name, item in inner.inputs.items()}
            )
            return
        if entry.lift != LIFTS[0]:
            message = f'its "lift" has no effect, since the nodes in {entry.type} go through lists themselves'
            hint = 'set "lift" on a node in that graph'
            self._done.problems.append(Problem("no_lift", message, node, hint=hint, severity="warning"))
        params = dict(self._params(node, entry, inner))
        trail = (*scope.trail, (identity, entry.type))
        self._place(_Scope(inner, f"{node}/", params, outer, trail))
        for name, link in inner.outputs.items():
            self._stands[From(node, name)] = From(f"{node}/{link.node}", link.output)
        self._done.ends[node] = [f"{node}.{name}" for name in inner.outputs]

    def _graph(self, scope: _Scope, kind: str) -> tuple[Graph, _Scope | None, object]:
        """The graph that a type names, where `#name`s in it are looked up, and what tells it from others."""
        if kind[0] == "#":
            known: list[str] = []
            at: _Scope | None = scope
            while at is not None:
                if (found := at.graph.graphs.get(kind[1:])) is not None:
                    return found, at, id(found)
                known += at.graph.graphs
                at = at.outer
            hint = near(kind[1:], known) or "define it under the graph's `graphs`"
            raise GraphError([Problem("unknown_type", f"there is no graph {kind}", hint=hint)])
        home: _Scope = scope
        while home.graph.folder is None and home.outer is not None:
            home = home.outer
        folder = home.graph.folder
        path = (folder or Path()) / kind
        if path not in self._files:
            self._files[path] = self._read(kind, folder)
        found = self._files[path]
        return found, None, (found.folder or path.parent) / path.name

    def _params(self, node: str, entry: Entry, inner: Graph) -> Iterator[tuple[str, Binding]]:
        for name in entry.inputs:
            if name not in inner.inputs:
                hint = near(name, inner.inputs) or f"it has {', '.join(inner.inputs) or 'none'}"
                message = f"{entry.type} has no such input"
                self._done.problems.append(Problem("unknown_input", message, node, name, hint))
        for name, item in inner.inputs.items():
            binding = entry.inputs.get(name)
            if binding is None and item.required:
                hint = f"give it a value or a wire of type {item.type}"
                self._done.problems.append(Problem("missing_input", "has no value", node, name, hint))
                yield name, REPORTED
            elif binding is None:
                yield name, Literal(item.default)
            elif isinstance(binding, Literal) and (problem := wrong_kind("it", item, binding.value)):
                self._done.problems.append(replace(problem, node=node, input=name))
                yield name, REPORTED
            else:
                yield name, binding

    def _step_around(self, node: str, entry: Entry) -> None:
        node_type = self._types.get(entry.name)
        if node_type is None:
            self._hand_on(node, entry, {}, {})
            return
        defaults = {name: item.default for name, item in node_type.inputs.items() if not item.required}
        self._hand_on(node, entry, node_type.passes, defaults)

    def _hand_on(
        self, node: str, entry: Entry, passes: Mapping[str, str], defaults: Mapping[str, object]
    ) -> None:
        """Let whoever takes an output of a node that is off take what the node would be given."""
        self._done.off.add(node)
        for output, input in passes.items():
            if input in entry.inputs:
                self._stands[From(node, output)] = entry.inputs[input]
            elif input in defaults:
                self._stands[From(node, output)] = Literal(defaults[input])  # type: ignore[arg-type]

    def _behind(self, link: From) -> Binding:
        """What really comes out there, once subgraphs are written out and what is off is stepped around."""
        seen = {link}
        binding: Binding = link
        while isinstance(binding, From) and binding in self._stands:
            binding = self._stands[binding]
            if isinstance(binding, From):
                if binding in seen:
                    message = "runs in a circle of nodes that are off, so nothing ever comes out of it"
                    problem = Problem("cycle", message, binding.node, hint="remove one of the wires")
                    self._done.problems.append(problem)
                    binding = REPORTED
                    break
                seen.add(binding)
        self._stands.update({end: binding for end in seen if end != binding})  # a long row is walked once
        return binding


def _bundled(graph: Graph, read: Read, depth: int) -> Graph:
    files = {entry.type for entry in graph.nodes.values() if entry.type[:1] == "."}
    if depth > MAX_DEPTH:
        raise GraphError([Problem("too_deep", f"subgraphs use subgraphs more than {MAX_DEPTH} deep")])
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
