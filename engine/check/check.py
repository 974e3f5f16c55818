"""Checks a graph: finds all problems, each with its place and a hint, and binds the nodes without any."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.check.binding import Binder, Values
from engine.check.bound import Bound
from engine.check.inline import Inlined, ReplacedNode, inline
from engine.check.lift import Axis
from engine.check.order import sort_nodes
from engine.document.fixing import without_stale_fix
from engine.document.graph import From, Graph, Param, ReadGraph, no_files
from engine.document.graph_inputs import wrong_kind
from engine.document.sweep import Sweep
from engine.errors import GraphError, Problem
from engine.near_names import NameHints, listed
from engine.packs.registry import Registry
from engine.problem_list import Problems
from engine.types.wires import Wire
from engine.values import Json, Value


@dataclass(slots=True)
class Checked:
    """The result of checking a graph: its problems, and the bound nodes."""

    graph: Graph
    values: dict[str, Json] = field(default_factory=dict)
    """The values of the graph's inputs in this run; for a swept input, the list of its values."""
    steps: dict[str, Bound] = field(default_factory=dict)
    """The nodes without problems by id, each after the nodes from which its wires come. Subgraphs are inlined
    (`upscale/denoise`), and nodes that are off are removed."""
    outputs: dict[str, From] = field(default_factory=dict)
    """For each output of the graph, the node's output that provides it."""
    subgraph_outputs: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each subgraph, the ids of the nodes that produce its outputs."""
    registry: Registry = field(default_factory=lambda: Registry([]), repr=False)
    read: ReadGraph = field(default=no_files, repr=False)
    """Reads graph files. It is kept, like the registry, to check graphs that nodes return during the run."""
    problems: list[Problem] = field(default_factory=Problems)
    """The problems; beyond `problem_list.MAX_PROBLEMS` they are only counted."""

    @property
    def ok(self) -> bool:
        """True if the graph has no errors, so that it can run; it may have warnings."""
        return all(problem.severity != "error" for problem in self.problems)


def check(
    graph: Graph,
    registry: Registry,
    values: Mapping[str, Json | Sweep] | None = None,
    read: ReadGraph = no_files,
) -> Checked:
    """Check a graph with values for its inputs: find all problems, and bind the nodes without any.

    Args:
        graph: the document.
        registry: the installed node types.
        values: values for the graph's inputs; an input without a value takes its default.
        read: reads the graph files that the graph uses.
    """
    checked, flat = _inlined(graph, registry, read, None)
    given = Values(graph.inputs)
    _graph_inputs(given, values or {}, checked.problems)
    _unused(graph, values or {}, checked.problems)
    return _bound(checked, flat, given, {})


def check_within(
    graph: Graph, replaced: ReplacedNode, wires: Mapping[str, Wire], registry: Registry, read: ReadGraph
) -> Checked:
    """Check a graph that a node returned during a run, and which replaces the node.

    Args:
        graph: the returned graph, whose inputs are those of the node.
        replaced: the node. Its wired inputs are bound as `From(OUTSIDE, input)`.
        wires: the types of these wires, keyed by input.
        registry: the installed node types.
        read: reads the graph files that the graph uses.
    """
    checked, flat = _inlined(graph, registry, read, replaced)
    return _bound(checked, flat, Values(graph.inputs, random=False), wires)


def _inlined(
    graph: Graph, registry: Registry, read: ReadGraph, replaced: ReplacedNode | None
) -> tuple[Checked, Inlined]:
    checked = Checked(graph, registry=registry, read=read)
    try:
        flat = inline(graph, registry.types, read, replaced)
    except GraphError as error:  # too large or too deep to be inlined
        flat = Inlined({}, {})
        checked.problems.extend(error.problems)
    checked.problems.extend(flat.problems)
    return checked, flat


def _bound(checked: Checked, flat: Inlined, values: Values, wires: Mapping[str, Wire]) -> Checked:
    problems = checked.problems
    assert isinstance(problems, Problems)
    binder = Binder(checked.registry, flat, values, wires, problems)
    order, cycles = sort_nodes(flat.nodes)
    problems.extend(cycles)
    for node in order:
        binder.bind(node, flat.nodes[node])
    for name, link in flat.outputs.items():
        binder.links.output(name, link)
    problems[:] = [without_stale_fix(problem, checked.graph) for problem in problems]
    checked.values, checked.steps = values.given, binder.steps
    checked.outputs, checked.subgraph_outputs = flat.outputs, flat.subgraph_outputs
    return checked


def _graph_inputs(values: Values, given: Mapping[str, Json | Sweep], problems: list[Problem]) -> None:
    """Check the given or default value of each graph input, and store the valid ones in `values`."""
    hints = NameHints(problems)
    for name in given:
        if name not in values.declared:
            hint = hints.near(name, values.declared) or listed("the inputs are", values.declared)
            problems.append(Problem("unknown_param", f"the graph has no input {name!r}", hint=hint))
    for name, item in values.declared.items():
        value: Json | Sweep
        if name in given:
            value = given[name]
        elif item.required:
            label = f"the graph input {name!r}"
            problem = wrong_kind(label, item, None) if item.type in Value.types else None  # needs a wire
            hint = f"set a value, for example with --{name} VALUE"
            problems.append(problem or Problem("missing_value", f"{label} has no value", hint=hint))
            continue
        elif item.sweep and isinstance(item.default, list):
            value = Sweep(tuple(item.default))
        else:
            value = item.default
        plain: list[Json] = [*value.values] if isinstance(value, Sweep) else [value]
        wrong = (wrong_kind(f"the graph input {name!r}", item, one) for one in plain)
        if (problem := next(filter(None, wrong), None)) is not None:
            problems.append(problem)
            continue
        if isinstance(value, Sweep):
            values.given[name] = plain
            place = [*given].index(name) if name in given else len(given) + item.sweep
            values.sweeps[name] = Axis(f"${name}", True, place, len(plain))
        else:
            values.given[name] = value


def _unused(graph: Graph, given: Mapping[str, object], problems: list[Problem]) -> None:
    """Add a warning for each given value of a graph input that no node uses."""
    nodes = graph.nodes.values()
    used = {item.name for entry in nodes for item in entry.inputs.values() if isinstance(item, Param)}
    for name in graph.inputs:
        if name in given and name not in used:
            message = f"the value of the graph input {name!r} has no effect, because no node uses it"
            problems.append(Problem("unused_input", message, severity="warning"))
