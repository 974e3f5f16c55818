"""Graph and registry in, problems out: all that is wrong, at once, each with its place and a way out."""

from __future__ import annotations

import hashlib
from collections.abc import Iterable, Mapping
from dataclasses import dataclass, field
from typing import Any, get_args

from pydantic import ValidationError
from pydantic_core import ErrorDetails

from engine.errors import GraphError, Problem, explained, said, short
from engine.files import Files
from engine.graph import Binding, Entry, From, Graph, GraphInput, Literal, Param
from engine.node import Input, NodeType
from engine.order import in_order
from engine.problems import Problems
from engine.registry import Registry, near
from engine.values import Json, canonical
from engine.wires import Wire, bare

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
    problems: list[Problem] = field(default_factory=Problems)
    """What is wrong, in full up to `problems.MOST`."""

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
    order, circles = in_order(graph)
    checked.problems.extend(circles)
    for node in order:
        _bind(checked, registry, node, graph.nodes[node])
    for name, link in graph.outputs.items():
        _output(checked, registry, name, link)
    _unused(checked)
    return checked


def _unused(checked: Checked) -> None:
    """Warn of inputs of the graph that no node takes, as when `--set` put a value in their place."""
    nodes = checked.graph.nodes.values()
    used = {item.name for entry in nodes for item in entry.inputs.values() if isinstance(item, Param)}
    for name in checked.graph.inputs.keys() - used:
        message = f"nothing takes the graph input {name!r}, so giving it a value has no effect"
        checked.problems.append(Problem("unused_input", message, severity="warning"))


def unreadable(checked: Checked, files: Files) -> list[Problem]:
    """What is wrong with the files that the sound nodes name themselves; nothing is planned or run.

    Args:
        checked: what `check` found, whatever that was.
        files: where to look for them.
    """
    problems = Problems()
    for node, bound in checked.steps.items():
        if bound.type.reads_world and not bound.links:
            try:
                canonical(bound.type.cls(**bound.literals).fingerprint(files))
            except Exception as error:  # the code of a node pack may raise anything
                problems.append(explained(error, node, bound.type.name)[0])
    return problems


def _graph_inputs(checked: Checked, given: Mapping[str, Json]) -> None:
    declared = checked.graph.inputs
    for name in given:
        if name not in declared:
            hint = _near(checked, name, declared) or _listed("the graph has", declared)
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
    plain = _spelling(value)
    if plain is None:
        hint = "use a finite number" if isinstance(value, float) else "use what JSON can hold"
        return Problem("not_finite", f"{place} is {short(value)}, which is not finite JSON", hint=hint)
    if item.type == "choice":
        if plain in map(_spelling, item.choices):
            return None
        choices = ", ".join(map(short, item.choices[:_LISTED]))
        return Problem("invalid_value", f"{place} is {short(value)}", hint=f"choose one of {choices}")
    kinds = _KINDS.get(item.type)
    if kinds is None or (isinstance(value, kinds) and (item.type == "bool" or not isinstance(value, bool))):
        return None
    return Problem("invalid_value", f"{place} is {short(value)}, not of type {item.type}")


def _spelling(value: Json) -> bytes | None:
    """The canonical spelling of a value; None if it is not finite JSON."""
    try:
        return canonical(value)
    except (TypeError, ValueError):
        return None


def _bind(checked: Checked, registry: Registry, node: str, entry: Entry) -> None:
    node_type = _type(checked, registry, node, entry)
    if node_type is None:
        return
    literals: dict[str, Json] = {}
    links: dict[str, From] = {}
    try:
        inputs = upgraded(node, entry, node_type).inputs
    except GraphError as error:
        checked.problems += error.problems
        return
    sound = True
    if not inputs.keys() <= node_type.inputs.keys():
        sound = False
        for name in inputs:
            if name not in node_type.inputs:
                hint = _near(checked, name, node_type.inputs) or _listed("it has", node_type.inputs)
                checked.problems.append(
                    Problem("unknown_input", f"{node_type.name} has no such input", node, name, hint)
                )
    for name, item in node_type.inputs.items():
        binding = inputs.get(name)
        if binding is None:
            if item.required:
                sound = False
                _missing(checked, node, item)
            else:
                literals[name] = item.default
            continue
        if isinstance(binding, Param):
            if binding.name not in checked.graph.inputs:
                nearest = _near(checked, binding.name, checked.graph.inputs)
                hint = nearest or "declare it under the graph's inputs"
                message = f"the graph has no input {short(binding.name)}"
                checked.problems.append(Problem("unknown_param", message, node, name, hint))
            if binding.name not in checked.values:
                sound = False  # reported just now, or at the graph's own input
                continue
            binding = Literal(checked.values[binding.name])
        if isinstance(binding, From):
            links[name] = binding
            sound &= _link(checked, registry, node, item, binding)
        else:
            literals[name] = binding.value
            sound &= _literal(checked, node, item, literals)
    if sound:
        signature = hashlib.sha256(canonical([KEY_SCHEMA, node_type.id, node_type.code, literals])).digest()
        checked.steps[node] = Bound(node, node_type, literals, links, signature)


def _type(checked: Checked, registry: Registry, node: str, entry: Entry) -> NodeType | None:
    node_type = registry.types.get(entry.name)
    if node_type is None:
        hint = _near(checked, entry.name, registry.types)
        hint = hint or "install the pack that brings it, or put its file in the nodes folder"
        checked.problems.append(
            Problem("unknown_type", f"there is no node type {entry.name!r}", node, hint=hint)
        )
        return None
    if entry.version is not None and entry.version > node_type.version:
        message = f"saved by {entry.type}, but here {node_type.name} is at version {node_type.version}"
        checked.problems.append(Problem("newer_type", message, node, hint="update the pack"))
        return None
    return node_type


def upgraded(node: str, entry: Entry, node_type: NodeType) -> Entry:
    """A node of the graph as the version of its type that is at hand would have saved it.

    `Node.upgrade` receives the inputs by name, as the document binds them (`Literal`, `From` or `Param`), in
    a dict of its own, and the version that saved them. What it returns may hold plain JSON values besides.

    Args:
        node: its id.
        entry: what the document says of it; returned as it is unless an older version saved it.
        node_type: its type.

    Raises:
        GraphError: the upgrade failed, or returned something else.
    """
    version = entry.version
    if version is None or version >= node_type.version:
        return entry
    inputs: dict[str, Binding] = {}
    try:
        for name, item in node_type.cls.upgrade(dict(entry.inputs), version).items():
            if not isinstance(name, str):
                raise TypeError(f"an input is called {short(name)}")
            inputs[name] = item if isinstance(item, Literal | From | Param) else Literal(item)
    except Exception as error:  # the code of a node pack may raise anything
        message = f"its inputs, saved by {entry.type}, cannot be brought to {node_type.id}: {said(error)}"
        hint = "enter its inputs anew"
        raise GraphError([Problem("bad_upgrade", message, node, hint=hint)]) from None
    return Entry(node_type.id, inputs, entry.title)


def _missing(checked: Checked, node: str, item: Input) -> None:
    hint = f"wire {_one(item.wire)} into it" if item.wire.is_value else f"give it a {item.wire}"
    checked.problems.append(Problem("missing_input", "has no value", node, item.name, hint))


def _link(checked: Checked, registry: Registry, node: str, item: Input, link: From) -> bool:
    """Check one wire; False if it is no good, or if its other end is not."""
    source = checked.graph.nodes.get(link.node)
    if source is None:
        hint = _near(checked, link.node, checked.graph.nodes)
        message = f"comes from {short(str(link))}, but there is no node {short(link.node)}"
        checked.problems.append(Problem("dangling_link", message, node, item.name, hint))
        return False
    source_type = registry.types.get(source.name)
    if source_type is None:
        return False  # the unknown type is reported already
    offered = source_type.outputs.get(link.output)
    if offered is None:
        hint = _near(checked, link.output, source_type.outputs) or _listed("it has", source_type.outputs)
        message = f"comes from {link.node}, but {source_type.name} has no output {short(link.output)}"
        checked.problems.append(Problem("dangling_link", message, node, item.name, hint))
        return False
    if not offered.fits(item.wire):
        message = f"takes {item.wire}, but {link} brings {offered}"
        hint = f"wire something that brings {item.wire}"
        checked.problems.append(Problem("type_mismatch", message, node, item.name, hint))
        return False
    return True


def _literal(checked: Checked, node: str, item: Input, literals: dict[str, Json]) -> bool:
    """Check one literal and bring it to its one spelling: where floats are taken, 7 becomes 7.0."""
    value = literals[item.name]
    if value is None and item.default is None and not item.required:
        return True
    if item.wire.is_value:
        message = f"takes {item.wire}, which only a wire can bring, not {short(value)}"
        hint = f"wire {_one(item.wire)} into it"
        checked.problems.append(Problem("type_mismatch", message, node, item.name, hint))
        return False
    try:
        item.adapter.validate_python(value)
        literals[item.name] = item.wire.spelled(value)
        canonical(value)
    except ValidationError as error:
        first = error.errors(include_url=False)[0]
        checked.problems.append(_invalid(node, item, value, first))
        return False
    except Exception:  # not finite deep inside, or too large for a float
        message = f"takes {item.wire}, not {short(value)}"
        hint = "use finite numbers of usual size"
        checked.problems.append(Problem("not_finite", message, node, item.name, hint))
        return False
    return True


def _invalid(node: str, item: Input, value: Json, error: ErrorDetails) -> Problem:
    wrong = short(error["input"])
    kind, ctx = error["type"], error.get("ctx", {})
    if kind in _SIDES:
        side, limit = _SIDES[kind][0], ctx[_SIDES[kind][1]]
        ends = _ends(item.info.metadata)
        hint = f"use {_number(ends[0])} to {_number(ends[1])}" if len(ends) == 2 else None
        return Problem("out_of_range", f"{wrong} is {side} {_number(limit)}", node, item.name, hint)
    if kind == "literal_error":
        choices = [str(choice) for choice in get_args(bare(item.info.annotation))]
        nearest = near(str(error["input"]), choices) or f"use {ctx['expected']}"
        return Problem("invalid_value", f"{wrong} is not a choice", node, item.name, nearest)
    if kind == "finite_number":
        message = f"{wrong} is not a finite number"
        return Problem("not_finite", message, node, item.name, "use a finite number")
    if kind == "multiple_of":
        step = int(ctx["multiple_of"])
        below = int(error["input"]) // step * step
        message = f"{wrong} is not a multiple of {step}"
        return Problem("out_of_range", message, node, item.name, f"use {below} or {below + step}")
    code = "type_mismatch" if kind.endswith("_type") else "invalid_value"
    hint = _WANTED.get(str(item.wire), error["msg"])
    return Problem(code, f"takes {item.wire}, not {short(value)}", node, item.name, hint)


_WANTED = {
    "int": "use a whole number",
    "float": "use a number",
    "bool": "use true or false",
    "text": "use text",
}


def _one(wire: Wire) -> str:
    """A wire type with its article."""
    return f"{'an' if str(wire)[0] in 'AEIOaeio' else 'a'} {wire}"


_SIDES = {
    "greater_than_equal": ("below", "ge"),
    "less_than_equal": ("above", "le"),
    "greater_than": ("not above", "gt"),
    "less_than": ("not below", "lt"),
}


def _ends(metadata: Iterable[Any]) -> list[float]:
    """The least and the greatest number that is taken, as far as both are."""
    found: dict[str, float] = {}
    for extra in metadata:
        for name, end in (("min", "min"), ("max", "max"), ("ge", "min"), ("le", "max")):
            if (limit := getattr(extra, name, None)) is not None:
                found[end] = limit
    return sorted(found.values())


def _number(limit: float) -> str:
    return str(int(limit)) if float(limit).is_integer() else str(limit)


def _output(checked: Checked, registry: Registry, name: str, link: From) -> None:
    graph = checked.graph
    place = f"the graph output {name!r} comes from {short(str(link))}"
    source = graph.nodes.get(link.node)
    if source is None:
        message = f"{place}, but there is no node {short(link.node)}"
        hint = _near(checked, link.node, graph.nodes)
        checked.problems.append(Problem("dangling_link", message, hint=hint))
        return
    node_type = registry.types.get(source.name)
    if node_type is not None and link.output not in node_type.outputs:
        hint = _near(checked, link.output, node_type.outputs) or _listed("it has", node_type.outputs)
        message = f"{place}, but {node_type.name} has no output {short(link.output)}"
        checked.problems.append(Problem("dangling_link", message, hint=hint))


def _near(checked: Checked, name: str, known: Mapping[str, object]) -> str | None:
    """Near names, while looking for them costs little: not among thousands, nor for the hundredth time."""
    return near(name, known) if len(known) <= 2000 and len(checked.problems) < 100 else None


def _listed(lead: str, names: Mapping[str, object]) -> str:
    some = [*names][:_LISTED] + ["…"] * (len(names) > _LISTED)
    return f"{lead} {', '.join(some) or 'none'}"


_LISTED = 12
