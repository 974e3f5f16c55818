"""Reads a graph document strictly, and migrates documents of older versions."""

from __future__ import annotations

import re
from collections.abc import Callable
from typing import Any

from engine import strict_json
from engine.document.fields import FieldReader
from engine.document.format import FORMAT, INPUT_TYPES, LIFTS, LINK, MAX_NESTED, MAX_NODES, TYPE, WIRE
from engine.document.graph import Binding, Entry, From, Graph, GraphInput, Literal, Param
from engine.document.view_reader import read_view
from engine.errors import GraphError, error_text, short

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each older format version, the function that converts a document to the next version."""


def parse(data: bytes | str) -> Graph:
    """Read a graph from JSON text.

    Raises:
        GraphError: the text is not a graph document.
    """
    return from_json(strict_json.parse(data))


def from_json(tree: Any) -> Graph:
    """Read a graph from parsed JSON; `json_schema.json_schema` describes its shape.

    Raises:
        GraphError: the JSON is not a graph document.
    """
    reader = _DocumentReader()
    graph = reader.whole(tree)
    if reader.problems:
        raise GraphError(reader.problems)
    return graph


class _DocumentReader(FieldReader):
    """Converts parsed JSON to a graph, and collects the problems."""

    def whole(self, tree: Any) -> Graph:
        tree = self.object(tree, "the graph")
        if tree is not None:
            tree = self._migrated(tree)
        if tree is None:
            return Graph()
        graph = self._document(tree, "the graph", 0, {"safelight", "made_with"})
        for name, version in (self.object(tree.get("made_with", {}), "made_with") or {}).items():
            graph.made_with[name] = self.text(version, f"made_with {short(name)}")
        return graph

    def _migrated(self, tree: dict[str, Any]) -> dict[str, Any] | None:
        version = tree.get("safelight")
        if type(version) is not int or version < 1:
            self.bad("not_a_graph", 'this is not a Safelight graph: it has no `"safelight": 1`')
            return None
        if version > FORMAT:
            message = f"a newer Safelight saved this graph (format {version})"
            self.bad("newer_format", message, hint="update Safelight")
            return None
        try:
            for step in range(version, FORMAT):
                tree = MIGRATIONS[step](tree)
        except Exception as error:  # the old document violates its own format
            message = f"its format {version} cannot be converted to format {FORMAT}: {error_text(error)}"
            self.bad("not_a_graph", message)
            return None
        return tree

    def _document(self, tree: dict[str, Any], place: str, depth: int, head: set[str]) -> Graph:
        graph = Graph()
        keys = {"title", "doc", "inputs", "outputs", "passes", "nodes", "graphs", "layout", "view"}
        self.reject_unknown_keys(tree, keys | head, place)
        graph.title = self.text(tree.get("title", ""), "title")
        graph.doc = self.text(tree.get("doc", ""), "doc")
        for name, item in (self.object(tree.get("inputs", {}), "inputs") or {}).items():
            if self.is_id(name, "the graph input"):
                graph.inputs[name] = self._graph_input(name, item)
        nodes = self.object(tree.get("nodes", {}), "nodes") or {}
        if len(nodes) > MAX_NODES:
            self.bad("too_many", f"the graph has {len(nodes):,} nodes; the limit is {MAX_NODES:,}")
            return graph
        for name, item in nodes.items():
            if self.is_id(name, "the node id"):
                graph.nodes[name] = self._entry(name, item)
        for name, item in (self.object(tree.get("outputs", {}), "outputs") or {}).items():
            if self.is_id(name, "the graph output"):
                self._graph_output(graph, name, item)
        self._passes(graph, tree.get("passes", {}))
        self._graphs(graph, tree.get("graphs", {}), depth)
        self._layout(graph, tree.get("layout", {}))
        graph.view = read_view(self, tree.get("view", {}))
        return graph

    def _graphs(self, graph: Graph, tree: Any, depth: int) -> None:
        for name, item in (self.object(tree, "graphs") or {}).items():
            inner = self.object(item, f"the graph {short(name)}")
            if depth >= MAX_NESTED:
                self.bad("too_deep", f"graphs are nested more than {MAX_NESTED} levels deep")
                break
            if self.is_id(name, "the graph name") and inner is not None:
                first = len(self.problems)
                graph.graphs[name] = self._document(inner, f"the graph {name}", depth + 1, set())
                self.problems[first:] = [problem.within(name) for problem in self.problems[first:]]

    def _layout(self, graph: Graph, tree: Any) -> None:
        for name, item in (self.object(tree, "layout") or {}).items():
            if isinstance(item, list) and len(item) == 2 and all(type(number) is int for number in item):
                graph.layout[name] = item
            else:
                message = f"the layout of {short(name)} is {short(item)}"
                self.bad("bad_layout", message, hint="write two whole numbers: [x, y]")

    def _graph_input(self, name: str, item: Any) -> GraphInput:
        place = f"the graph input {name!r}"
        item = self.object(item, place)
        if item is None:
            return GraphInput("json")
        self.reject_unknown_keys(item, {"type", "default", "doc", "choices", "sweep"}, place)
        kind = item.get("type")
        if not isinstance(kind, str) or not re.fullmatch(WIRE, kind):
            hint = f"use one of {', '.join(INPUT_TYPES)}, or the name of a wire type, such as Image"
            self.bad("bad_input_type", f"the type of {place} is {short(kind)}", hint=hint)
            kind = "json"
        choices = item.get("choices", [])
        if (kind == "choice") != ("choices" in item) or not isinstance(choices, list):
            hint = 'write a list of choices if the type is "choice", and none otherwise'
            self.bad("bad_input_type", f"{place} has choices that do not match its type", hint=hint)
            choices = []
        elif kind == "choice" and not choices:
            self.bad("bad_input_type", f"{place} has no choices", hint="list at least one")
        doc = self.text(item.get("doc", ""), f"the doc of {place}")
        default, sweep = item.get("default"), item.get("sweep", 0)
        if "sweep" in item and (type(sweep) is not int or sweep < 1 or not isinstance(default, list)):
            hint = "write a list of values as the default, and as sweep its number among the sweeps: 1, 2, …"
            self.bad("bad_sweep", f"the sweep of {place} is {short(sweep)}", hint=hint)
            sweep = 0
        return GraphInput(kind, default, "default" not in item, doc, tuple(choices), sweep)

    def _graph_output(self, graph: Graph, name: str, item: Any) -> None:
        held = binding(item)
        if isinstance(held, From):
            graph.outputs[name] = held
        else:
            message = f"the graph output {name!r} is {short(item)}"
            self.bad("bad_output", message, hint='write {"from": "node.output"}')

    def _passes(self, graph: Graph, tree: Any) -> None:
        for output, input in (self.object(tree, "passes") or {}).items():
            if isinstance(input, str):
                graph.passes[output] = input
            else:
                message = f"passes names {short(input)} for the output {short(output)}"
                self.bad("bad_passes", message, hint="write the name of an input of the graph")

    def _entry(self, node: str, item: Any) -> Entry:
        if not isinstance(item, dict):
            self.bad("bad_node", f"the node is {short(item)}, not an object", node)
            return Entry("")
        kind = item.get("type")
        if not isinstance(kind, str) or not re.fullmatch(TYPE, kind):
            hint = 'write a node type such as "Denoise@1"'
            self.bad("bad_type", f"the node's type is {short(kind)}", node, hint=hint)
            kind = ""
        for key in sorted(item.keys() - {"type", "title", "off", "lift", "inputs"}):
            hint = "the keys of a node are type, title, off, lift and inputs"
            self.bad("unknown_key", f"the node has the unknown key {short(key)}", node, hint=hint)
        entry = Entry(kind, title=self.text(item.get("title", ""), f"the title of {node}"))
        entry.off, entry.lift = item.get("off", False), item.get("lift", LIFTS[0])
        if type(entry.off) is not bool:
            self.bad("bad_node", f'"off" is {short(entry.off)}', node, hint="write true or false")
            entry.off = False
        if entry.lift not in LIFTS:
            self.bad("bad_node", f'"lift" is {short(entry.lift)}', node, hint="write zip or cross")
            entry.lift = LIFTS[0]
        inputs = item.get("inputs", {})
        if not isinstance(inputs, dict):
            self.bad("bad_node", f'"inputs" is {short(inputs)}, not an object', node)
            return entry
        for name, value in inputs.items():
            held = binding(value)
            if held is None:
                hint = (
                    'write a value, {"from": "node.output"} or {"param": "name"}; an object as {"value": {…}}'
                )
                self.bad("bad_binding", f"the input is {short(value)}", node, name, hint)
            else:
                entry.inputs[name] = held
        return entry


def binding(value: Any) -> Binding | None:
    """Read the content of a node's input; None for an object that has none of the three forms."""
    if not isinstance(value, dict):
        return Literal(value)
    match value:
        case {"from": str(link)} if len(value) == 1 and re.fullmatch(LINK, link):
            return From(*link.split("."))
        case {"param": str(name)} if len(value) == 1:
            return Param(name)
        case {"value": inner} if len(value) == 1:
            return Literal(inner)
    return None
