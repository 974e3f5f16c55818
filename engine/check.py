"""Graph and registry in, problems out: all that is wrong, at once, each with its place and a way out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine.errors import Problem
from engine.graph import Binding, Entry, From, Graph, GraphInput, Literal, Param
from engine.node import Input, NodeType
from engine.registry import Registry, near
from engine.values import Json, canonical
from engine.wires import Wire

KEY_SCHEMA = 1
"""Part of every key; a new number abandons all cached results."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A node of the graph with everything resolved: its type, its literals (defaults included), its wires."""

    id: str
    type: NodeType
    literals: dict[str, Json]
    links: dict[str, From]
    signature: bytes
    """Digest of the type and the literals: the part of the key that no other node decides."""


@dataclass(slots=True)
class Checked:
    """What `check` found: the problems, and the nodes that are sound, parents before children."""

    graph: Graph
    values: dict[str, Json] = field(default_factory=dict)
    """The graph's inputs as this run has them."""
    steps: dict[str, Bound] = field(default_factory=dict)
    problems: list[Problem] = field(default_factory=list)

    @property
    def ok(self) -> bool:
        """True if nothing forbids a run; warnings do not."""
        return all(problem.severity != "error" for problem in self.problems)


def check(graph: Graph, registry: Registry, values: Mapping[str, Json] | None = None) -> Checked:
    """Find every problem of a graph, given values for its inputs, and bind what is sound.

    Args:
        graph: the document.
        registry: the node types at hand.
        values: values for the graph's inputs; missing ones take their defaults.
    """
    checked = Checked(graph)
    _graph_inputs(checked, values or {})
    for node in _order(checked):
        _bind(checked, registry, node, graph.nodes[node])
    for name, link in graph.outputs.items():
        _output(checked, registry, name, link)
    return checked


def _graph_inputs(checked: Checked, given: Mapping[str, Json]) -> None:
    declared = checked.graph.inputs
    for name in given:
        if name not in declared:
            hint = near(name, declared) or _listed("the graph has", declared)
            checked.problems.append(Problem("unknown_param", f"the graph has no input {name!r}", hint=hint))
    for name, item in declared.items():
        if name in given:
            value = given[name]
        elif item.required:
            hint = f"give one, such as --{name} VALUE"
            checked.problems.append(
                Problem("missing_value", f"the graph input {name!r} has no value", hint=hint)
            )
            continue
        else:
            value = item.default
        if problem := _wrong_kind(name, item, value):
            checked.problems.append(problem)
        else:
            checked.values[name] = value


_KINDS: dict[str, tuple[type, ...]] = {
    "text": (str,),
    "file": (str,),
    "seed": (int,),
    "int": (int,),
    "float": (int, float),
    "bool": (bool,),
}


def _wrong_kind(name: str, item: GraphInput, value: Json) -> Problem | None:
    place = f"the graph input {name!r}"
    if item.type == "choice":
        if value in item.choices:
            return None
        choices = ", ".join(map(str, item.choices))
        return Problem("invalid_value", f"{place} is {value!r}", hint=f"choose one of {choices}")
    kinds = _KINDS.get(item.type)
    if kinds is None or (isinstance(value, kinds) and (item.type == "bool" or not isinstance(value, bool))):
        return None
    return Problem("invalid_value", f"{place} is {value!r}, not of type {item.type}")


def _order(checked: Checked) -> list[str]:
    """The nodes, parents before children and branch by branch; those on a cycle are reported and left out."""
    nodes = checked.graph.nodes
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
    if not looped:
        return order
    on_cycle = _report_cycles(checked, parents)
    return [node for node in order if node not in on_cycle]


def _report_cycles(checked: Checked, parents: Mapping[str, list[str]]) -> set[str]:
    import networkx  # only a graph with a cycle pays for the import

    wires = networkx.DiGraph((parent, node) for node, ahead in parents.items() for parent in ahead)
    on_cycle: set[str] = set()
    for loop in networkx.strongly_connected_components(wires):
        part = wires.subgraph(loop)
        if len(loop) == 1 and not part.number_of_edges():
            continue
        first = min(loop)
        path = [edge[0] for edge in networkx.find_cycle(part, first)]
        path.append(path[0])
        hint = "remove one of these wires"
        checked.problems.append(Problem("cycle", f"runs in a circle: {' → '.join(path)}", path[0], hint=hint))
        on_cycle |= loop
    return on_cycle


def _bind(checked: Checked, registry: Registry, node: str, entry: Entry) -> None:
    node_type = _type(checked, registry, node, entry)
    if node_type is None:
        return
    before = len(checked.problems)
    literals: dict[str, Json] = {}
    links: dict[str, From] = {}
    inputs = _upgraded(entry, node_type)
    if len(inputs.keys() - node_type.inputs.keys()):
        for name in inputs.keys() - node_type.inputs.keys():
            hint = near(name, node_type.inputs) or _listed("it has", node_type.inputs)
            checked.problems.append(
                Problem("unknown_input", f"{node_type.name} has no such input", node, name, hint)
            )
    for name, item in node_type.inputs.items():
        binding = inputs.get(name)
        if binding is None:
            if item.required:
                _missing(checked, node, item)
            else:
                literals[name] = item.default
            continue
        if isinstance(binding, Param):
            if binding.name not in checked.graph.inputs:
                hint = near(binding.name, checked.graph.inputs) or "declare it under the graph's inputs"
                message = f"the graph has no input {binding.name!r}"
                checked.problems.append(Problem("unknown_param", message, node, name, hint))
                continue
            if binding.name not in checked.values:
                continue  # reported already, at the graph's own input
            binding = Literal(checked.values[binding.name])
        if isinstance(binding, From):
            if _link(checked, registry, node, item, binding):
                links[name] = binding
        elif _literal(checked, node, item, binding.value):
            value = binding.value
            literals[name] = float(value) if item.wire == _FLOAT and isinstance(value, int) else value
    if len(checked.problems) == before:
        signature = hashlib.sha256(canonical([KEY_SCHEMA, node_type.id, node_type.code, literals])).digest()
        checked.steps[node] = Bound(node, node_type, literals, links, signature)


_FLOAT = Wire("float")


def _type(checked: Checked, registry: Registry, node: str, entry: Entry) -> NodeType | None:
    node_type = registry.types.get(entry.name)
    if node_type is None:
        hint = (
            registry.near(entry.name)
            or "install the pack that brings it, or put its file in the nodes folder"
        )
        checked.problems.append(
            Problem("unknown_type", f"there is no node type {entry.name!r}", node, hint=hint)
        )
        return None
    if entry.version is not None and entry.version > node_type.version:
        message = f"saved by {entry.type}, but here {node_type.name} is at version {node_type.version}"
        checked.problems.append(Problem("newer_type", message, node, hint="update the pack"))
        return None
    return node_type


def _upgraded(entry: Entry, node_type: NodeType) -> Mapping[str, Binding]:
    if entry.version is None or entry.version == node_type.version:
        return entry.inputs
    return node_type.cls.upgrade(dict(entry.inputs), entry.version)


def _missing(checked: Checked, node: str, item: Input) -> None:
    hint = f"wire a {item.wire} into it" if item.wire.is_value else f"give it a {item.wire}"
    checked.problems.append(Problem("missing_input", "has no value", node, item.name, hint))


def _link(checked: Checked, registry: Registry, node: str, item: Input, link: From) -> bool:
    """Check one wire; False if it is no good, or if its other end is not."""
    source = checked.graph.nodes.get(link.node)
    if source is None:
        hint = near(link.node, checked.graph.nodes)
        message = f"comes from {link}, but there is no node {link.node!r}"
        checked.problems.append(Problem("dangling_link", message, node, item.name, hint))
        return False
    source_type = registry.types.get(source.name)
    if source_type is None:
        return False  # the unknown type is reported already
    offered = source_type.outputs.get(link.output)
    if offered is None:
        hint = near(link.output, source_type.outputs) or _listed("it has", source_type.outputs)
        message = f"comes from {link}, but {source_type.name} has no output {link.output!r}"
        checked.problems.append(Problem("dangling_link", message, node, item.name, hint))
        return False
    if not offered.fits(item.wire):
        message = f"takes {item.wire}, but {link} brings {offered}"
        hint = f"wire something that brings {item.wire}"
        checked.problems.append(Problem("type_mismatch", message, node, item.name, hint))
        return False
    return True


def _literal(checked: Checked, node: str, item: Input, value: Json) -> bool:
    if item.wire.is_value:
        message = f"takes {item.wire}, which only a wire can bring, not {value!r}"
        hint = f"wire a {item.wire} into it"
        checked.problems.append(Problem("type_mismatch", message, node, item.name, hint))
        return False
    try:
        item.adapter.validate_python(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        checked.problems.append(_invalid(node, item, value, first))
        return False
    return True


def _invalid(node: str, item: Input, value: Json, error: ErrorDetails) -> Problem:
    wrong: Any = error["input"]
    limits = {key: limit for extra in item.info.metadata for key, limit in _limits(extra).items()}
    match error["type"]:
        case "greater_than_equal" | "less_than_equal":
            side = "below" if error["type"].startswith("greater") else "above"
            limit = error["ctx"]["ge" if side == "below" else "le"]
            hint = f"use {_number(limits['min'])} to {_number(limits['max'])}" if len(limits) == 2 else None
            return Problem("out_of_range", f"{wrong} is {side} {_number(limit)}", node, item.name, hint)
        case "literal_error":
            hint = (
                near(wrong, _choices(error)) if isinstance(wrong, str) else None
            ) or f"use {error['ctx']['expected']}"
            return Problem("invalid_value", f"{wrong!r} is not a choice", node, item.name, hint)
        case "finite_number":
            return Problem(
                "not_finite", f"{wrong} is not a finite number", node, item.name, "use a finite number"
            )
    shown = repr(value)
    shown = shown if len(shown) <= 60 else shown[:57] + "…"
    return Problem("type_mismatch", f"takes {item.wire}, not {shown}", node, item.name, error["msg"])


def _limits(extra: Any) -> dict[str, float]:
    limits = {"min": getattr(extra, "ge", None), "max": getattr(extra, "le", None)}
    limits |= {key: getattr(extra, key) for key in limits if hasattr(extra, key)}
    return {key: limit for key, limit in limits.items() if limit is not None}


def _choices(error: ErrorDetails) -> list[str]:
    return [word.strip("'") for word in error["ctx"]["expected"].replace(" or ", ", ").split(", ")]


def _number(limit: float) -> str:
    return str(int(limit)) if float(limit).is_integer() else str(limit)


def _output(checked: Checked, registry: Registry, name: str, link: From) -> None:
    graph = checked.graph
    place = f"the graph output {name!r} comes from {link}"
    source = graph.nodes.get(link.node)
    if source is None:
        message = f"{place}, but there is no node {link.node!r}"
        checked.problems.append(Problem("dangling_link", message, hint=near(link.node, graph.nodes)))
        return
    node_type = registry.types.get(source.name)
    if node_type is not None and link.output not in node_type.outputs:
        hint = near(link.output, node_type.outputs) or _listed("it has", node_type.outputs)
        message = f"{place}, but {node_type.name} has no output {link.output!r}"
        checked.problems.append(Problem("dangling_link", message, hint=hint))


def _listed(lead: str, names: Mapping[str, object]) -> str:
    return f"{lead} {', '.join(names)}" if names else f"{lead} none"
