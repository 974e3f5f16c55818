"""The saved document: read strictly, written canonically, migrated when it is old.

One graph is one JSON file. Reading and writing again gives the same bytes, and moving a card on the canvas
changes one line, under `layout`, which nothing in the engine ever reads.
"""

from __future__ import annotations

import json
import re
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

from engine import strict_json
from engine.errors import GraphError, Problem, said, short
from engine.problems import Problems
from engine.values import Json

FORMAT = 1
"""The version of the document that this engine writes."""

MIGRATIONS: dict[int, Callable[[dict[str, Any]], dict[str, Any]]] = {}
"""For each older version of the document, what turns it into the next one."""

MAX_NODES = 100_000
ID = r"[A-Za-z0-9_][A-Za-z0-9_-]{0,63}"
"""What an id looks like: of a node, of the graph's inputs and outputs."""
TYPE = (
    r"(?:[A-Za-z_][A-Za-z0-9_./-]{0,120}(?:@[1-9][0-9]{0,5})?"
    rf"|#{ID}"
    r"|\.{1,2}/[^@\\\x00-\x1f\x7f]{1,200}\.json)"
)
"""What a node type looks like: `Denoise@1`, `acme/Upscale@3`, or a graph: `#name`, `./upscale.json`."""
INPUT_TYPES = ("text", "seed", "int", "float", "bool", "choice", "file", "json")
"""The types of graph inputs that a person can type in; any other is a wire type, for use as a subgraph."""
WIRE = r"(list of ){0,4}[A-Za-z_][A-Za-z0-9_./-]{0,63}"
"""What the name of a wire type looks like: `Image`, `list of Image`."""
MAX_NESTED = 16
"""How deep graphs may be defined within graphs."""
LIFTS = ("zip", "cross")
"""How a node goes through several lists: side by side, or every combination."""


@dataclass(frozen=True, slots=True)
class Literal:
    """An input that holds its value itself."""

    value: Json


@dataclass(frozen=True, slots=True)
class From:
    """An input that a wire brings from an output of another node."""

    node: str
    output: str

    def __str__(self) -> str:
        return f"{self.node}.{self.output}"


@dataclass(frozen=True, slots=True)
class Param:
    """An input that the graph's own input of this name fills."""

    name: str


Binding = Literal | From | Param


@dataclass(frozen=True, slots=True)
class GraphInput:
    """A named input of the graph: an option of `safelight run`, a field of the run form."""

    type: str
    default: Json = None
    required: bool = True
    doc: str = ""
    choices: tuple[Json, ...] = ()
    sweep: int = 0
    """If not 0, the default is a list of values to go through; that with the least number is outermost."""


@dataclass(slots=True)
class Entry:
    """One node of the graph: its type as written (`Denoise@1`) and what its inputs are bound to."""

    type: str
    inputs: dict[str, Binding] = field(default_factory=dict)
    title: str = ""
    off: bool = False
    """True for a node that is stepped around: its outputs are what its type `passes` on."""
    lift: str = "zip"
    """How it goes through several lists: `zip` or `cross`."""

    @property
    def is_graph(self) -> bool:
        """True if its type is another graph."""
        return self.type[:1] in ("#", ".")

    @property
    def name(self) -> str:
        """The type's name without its version."""
        return self.type.partition("@")[0]

    @property
    def version(self) -> int | None:
        """The version that wrote this entry; None for whichever is current."""
        number = self.type.partition("@")[2]
        return int(number) if number else None


@dataclass(slots=True)
class Graph:
    """A whole document."""

    nodes: dict[str, Entry] = field(default_factory=dict)
    inputs: dict[str, GraphInput] = field(default_factory=dict)
    outputs: dict[str, From] = field(default_factory=dict)
    title: str = ""
    doc: str = ""
    layout: dict[str, list[int]] = field(default_factory=dict)
    passes: dict[str, str] = field(default_factory=dict)
    """As a node type: for each output that has one, the input that it hands on when it is off."""
    graphs: dict[str, Graph] = field(default_factory=dict)
    """Graphs defined in this one, used as the node types `#name`."""
    folder: Path | None = field(default=None, compare=False)
    """Where the document lies, so that `./other.json` can be found; no part of it."""

    def with_defaults(self, values: Mapping[str, Json], sweeps: Sequence[str] = ()) -> Graph:
        """This graph with other defaults for its inputs, as a picture carries it.

        Args:
            values: the defaults; of an input that is swept, all its values.
            sweeps: the inputs that are swept, the outermost first.
        """
        inputs = {
            name: replace(
                item,
                default=values[name],
                required=False,
                sweep=sweeps.index(name) + 1 if name in sweeps else 0,
            )
            if name in values
            else item
            for name, item in self.inputs.items()
        }
        return replace(self, inputs=inputs)


def parse(data: bytes | str) -> Graph:
    """The graph that some JSON text describes.

    Raises:
        GraphError: it does not; with every problem found.
    """
    return from_json(strict_json.parse(data))


def from_json(tree: Any) -> Graph:
    """The graph that parsed JSON describes; see `json_schema.json_schema` for its shape.

    Raises:
        GraphError: it does not; with every problem found.
    """
    reader = _Reader()
    graph = reader.graph(tree)
    if reader.problems:
        raise GraphError(reader.problems)
    return graph


def dump(graph: Graph) -> str:
    """The canonical text: fixed key order, one input a line, a newline at the end."""
    return _document(graph, f'  "safelight": {FORMAT}') + "\n"


def _document(graph: Graph, *head: str) -> str:
    lines: list[str] = [*head]
    if graph.title:
        lines.append(f'  "title": {_text(graph.title)}')
    if graph.doc:
        lines.append(f'  "doc": {_text(graph.doc)}')
    if graph.inputs:
        lines.append(
            _block("inputs", {name: _text(_input_json(item)) for name, item in graph.inputs.items()})
        )
    if graph.outputs:
        lines.append(
            _block("outputs", {name: _text({"from": str(link)}) for name, link in graph.outputs.items()})
        )
    if graph.passes:
        lines.append(f'  "passes": {_text(graph.passes)}')
    lines.append(_block("nodes", {name: _entry(entry) for name, entry in graph.nodes.items()}))
    if graph.graphs:
        inner = {name: _document(item).replace("\n", "\n    ") for name, item in graph.graphs.items()}
        lines.append(_block("graphs", inner))
    if graph.layout:
        lines.append(_block("layout", {name: _text(place) for name, place in graph.layout.items()}))
    return "{\n" + ",\n".join(lines) + "\n}"


def binding_json(binding: Binding) -> Json:
    """A binding as the document writes it."""
    match binding:
        case From():
            return {"from": str(binding)}
        case Param():
            return {"param": binding.name}
        case Literal(value=dict() as value):
            return {"value": value}
        case Literal():
            return binding.value


def _input_json(item: GraphInput) -> Json:
    tree: dict[str, Json] = {"type": item.type}
    if not item.required:
        tree["default"] = item.default
    if item.choices:
        tree["choices"] = list(item.choices)
    if item.sweep:
        tree["sweep"] = item.sweep
    if item.doc:
        tree["doc"] = item.doc
    return tree


def _entry(entry: Entry) -> str:
    head = f'"type": {_text(entry.type)}'
    if entry.title:
        head += f', "title": {_text(entry.title)}'
    if entry.off:
        head += ', "off": true'
    if entry.lift != LIFTS[0]:
        head += f', "lift": {_text(entry.lift)}'
    if not entry.inputs:
        return f"{{{head}}}"
    inputs = ",\n".join(
        f"      {_text(name)}: {_text(binding_json(item))}" for name, item in entry.inputs.items()
    )
    return f'{{{head}, "inputs": {{\n{inputs}\n    }}}}'


def _block(name: str, lines: Mapping[str, str]) -> str:
    if not lines:
        return f'  "{name}": {{}}'
    inner = ",\n".join(f"    {_text(key)}: {line}" for key, line in lines.items())
    return f'  "{name}": {{\n{inner}\n  }}'


_text = json.JSONEncoder(ensure_ascii=False, allow_nan=False, check_circular=False).encode


def within(place: str, problem: Problem) -> Problem:
    """A problem of a graph that is used or defined in another one, as a problem of that."""
    if problem.node is not None:
        return replace(problem, node=f"{place}/{problem.node}")
    return replace(problem, node=place)


class _Reader:
    """Turns parsed JSON into a graph and collects what is wrong on the way."""

    def __init__(self) -> None:
        self.problems = Problems()

    def bad(
        self, code: str, message: str, node: str | None = None, input: str | None = None, hint: str = ""
    ) -> None:
        self.problems.append(Problem(code, message, node, input, hint or None))

    def graph(self, tree: Any) -> Graph:
        tree = self.object(tree, "the graph")
        if tree is not None:
            tree = self.migrated(tree)
        return Graph() if tree is None else self.document(tree, "the graph", 0, {"safelight"})

    def document(self, tree: dict[str, Any], place: str, depth: int, head: set[str]) -> Graph:
        graph = Graph()
        known = {"title", "doc", "inputs", "outputs", "passes", "nodes", "graphs", "layout"} | head
        self.no_others(tree, known, place)
        graph.title = self.string(tree.get("title", ""), "title")
        graph.doc = self.string(tree.get("doc", ""), "doc")
        for name, item in (self.object(tree.get("inputs", {}), "inputs") or {}).items():
            if self.good_id(name, "the graph input"):
                graph.inputs[name] = self.graph_input(name, item)
        nodes = self.object(tree.get("nodes", {}), "nodes") or {}
        if len(nodes) > MAX_NODES:
            self.bad("too_many", f"{len(nodes):,} nodes; at most {MAX_NODES:,} are read")
            return graph
        for name, item in nodes.items():
            if self.good_id(name, "the node id"):
                graph.nodes[name] = self.entry(name, item)
        for name, item in (self.object(tree.get("outputs", {}), "outputs") or {}).items():
            if self.good_id(name, "the graph output"):
                self.graph_output(graph, name, item)
        self.passes(graph, tree.get("passes", {}))
        for name, item in (self.object(tree.get("graphs", {}), "graphs") or {}).items():
            inner = self.object(item, f"the graph {short(name)}")
            if depth >= MAX_NESTED:
                self.bad("too_deep", f"graphs are defined within graphs more than {MAX_NESTED} deep")
                break
            if self.good_id(name, "the graph name") and inner is not None:
                found = len(self.problems)
                graph.graphs[name] = self.document(inner, f"the graph {name}", depth + 1, set())
                self.problems[found:] = [within(name, problem) for problem in self.problems[found:]]
        for name, item in (self.object(tree.get("layout", {}), "layout") or {}).items():
            if isinstance(item, list) and len(item) == 2 and all(type(number) is int for number in item):
                graph.layout[name] = item
            else:
                self.bad(
                    "bad_layout",
                    f"layout of {short(name)} is {short(item)}",
                    hint="write two whole numbers: [x, y]",
                )
        return graph

    def migrated(self, tree: dict[str, Any]) -> dict[str, Any] | None:
        version = tree.get("safelight")
        if type(version) is not int or version < 1:
            self.bad("not_a_graph", 'this is not a Safelight graph: it has no `"safelight": 1`')
            return None
        if version > FORMAT:
            self.bad(
                "newer_format", f"written by a newer Safelight (format {version})", hint="update Safelight"
            )
            return None
        try:
            for step in range(version, FORMAT):
                tree = MIGRATIONS[step](tree)
        except Exception as error:  # the old document is not what its version promises
            self.bad("not_a_graph", f"its format {version} cannot be brought to {FORMAT}: {said(error)}")
            return None
        return tree

    def graph_input(self, name: str, item: Any) -> GraphInput:
        place = f"the graph input {name!r}"
        item = self.object(item, place)
        if item is None:
            return GraphInput("json")
        self.no_others(item, {"type", "default", "doc", "choices", "sweep"}, place)
        kind = item.get("type")
        if not isinstance(kind, str) or not re.fullmatch(WIRE, kind):
            self.bad(
                "bad_input_type",
                f"{place} is of type {short(kind)}",
                hint=f"use one of {', '.join(INPUT_TYPES)}, or the name of a wire type, such as Image",
            )
            kind = "json"
        choices = item.get("choices", [])
        if (kind == "choice") != ("choices" in item) or not isinstance(choices, list):
            self.bad("bad_input_type", f"{place}: `choices` belong to the type choice, as a list")
            choices = []
        elif kind == "choice" and not choices:
            self.bad("bad_input_type", f"{place} has no choices", hint="list at least one")
        doc = self.string(item.get("doc", ""), f"the doc of {place}")
        default, sweep = item.get("default"), item.get("sweep", 0)
        if "sweep" in item and (type(sweep) is not int or sweep < 1 or not isinstance(default, list)):
            hint = "give it a list of values as default, and sweep its place among the sweeps: 1, 2, …"
            self.bad("bad_sweep", f"{place} is swept by {short(sweep)}", hint=hint)
            sweep = 0
        return GraphInput(kind, default, "default" not in item, doc, tuple(choices), sweep)

    def graph_output(self, graph: Graph, name: str, item: Any) -> None:
        binding = self.binding(item)
        if isinstance(binding, From):
            graph.outputs[name] = binding
        else:
            self.bad(
                "bad_output",
                f"the graph output {name!r} is {short(item)}",
                hint='write {"from": "node.output"}',
            )

    def passes(self, graph: Graph, tree: Any) -> None:
        for output, input in (self.object(tree, "passes") or {}).items():
            if isinstance(input, str):
                graph.passes[output] = input
            else:
                hint = "write the name of an input of the graph"
                self.bad("bad_passes", f"passes hands {short(input)} on as {short(output)}", hint=hint)

    def entry(self, node: str, item: Any) -> Entry:
        if not isinstance(item, dict):
            self.bad("bad_node", f"is {short(item)}, not an object", node)
            return Entry("")
        kind = item.get("type")
        if not isinstance(kind, str) or not re.fullmatch(TYPE, kind):
            self.bad(
                "bad_type", f"its type is {short(kind)}", node, hint='write a node type such as "Denoise@1"'
            )
            kind = ""
        for key in sorted(item.keys() - {"type", "title", "off", "lift", "inputs"}):
            self.bad(
                "unknown_key",
                f"has the unknown key {short(key)}",
                node,
                hint="a node has type, title, off, lift and inputs",
            )
        entry = Entry(kind, title=self.string(item.get("title", ""), f"the title of {node}"))
        entry.off, entry.lift = item.get("off", False), item.get("lift", LIFTS[0])
        if type(entry.off) is not bool:
            self.bad("bad_node", f"its `off` is {short(entry.off)}", node, hint="write true or false")
            entry.off = False
        if entry.lift not in LIFTS:
            self.bad("bad_node", f"its `lift` is {short(entry.lift)}", node, hint="write zip or cross")
            entry.lift = LIFTS[0]
        inputs = item.get("inputs", {})
        if not isinstance(inputs, dict):
            self.bad("bad_node", f"its inputs are {short(inputs)}, not an object", node)
            return entry
        for name, value in inputs.items():
            binding = self.binding(value)
            if binding is None:
                hint = (
                    'write a value, {"from": "node.output"} or {"param": "name"}; an object as {"value": {…}}'
                )
                self.bad("bad_binding", f"is bound to {short(value)}", node, name, hint)
            else:
                entry.inputs[name] = binding
        return entry

    @staticmethod
    def binding(value: Any) -> Binding | None:
        if not isinstance(value, dict):
            return Literal(value)
        match value:
            case {"from": str(link)} if len(value) == 1 and link.count(".") == 1:
                return From(*link.split("."))
            case {"param": str(name)} if len(value) == 1:
                return Param(name)
            case {"value": inner} if len(value) == 1:
                return Literal(inner)
        return None

    def good_id(self, name: str, what: str) -> bool:
        if re.fullmatch(ID, name):
            return True
        self.bad(
            "bad_id", f"{what} {short(name)} is not an id", hint="use letters, digits, - and _, at most 64"
        )
        return False

    def object(self, value: Any, place: str) -> dict[str, Any] | None:
        if isinstance(value, dict):
            return value
        self.bad("bad_document", f"{place} is {short(value)}, not an object")
        return None

    def string(self, value: Any, place: str) -> str:
        if isinstance(value, str):
            return value
        self.bad("bad_document", f"{place} is {short(value)}, not text")
        return ""

    def no_others(self, tree: Mapping[str, Any], known: set[str], place: str) -> None:
        for key in sorted(tree.keys() - known):
            self.bad(
                "unknown_key",
                f"{place} has the unknown key {short(key)}",
                hint=f"it may hold {', '.join(sorted(known))}",
            )
