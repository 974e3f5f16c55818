"""Graph and registry in, problems out: all that is wrong, at once, each with its place and a way out."""

from __future__ import annotations

import hashlib
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field, replace

from engine import conversions
from engine.deprecation import deprecation
from engine.errors import GraphError, Problem, explained, said, short
from engine.files import Files
from engine.fingerprints import Wired, fingerprint
from engine.graph import Binding, Entry, From, Graph, Literal, Param
from engine.graph_inputs import LISTED, wrong_kind
from engine.inline import REPORTED, Around, Inlined, Read, inline, no_files
from engine.lift import Axis, Lift, Uneven, axes_of, lifted
from engine.literals import checked as checked_literal
from engine.literals import one
from engine.node import Input, NodeType
from engine.order import in_order
from engine.problems import Problems
from engine.registry import Registry, near
from engine.sweep import Sweep
from engine.values import Json, canonical
from engine.wires import Wire, of_value

KEY_SCHEMA = 1
"""Part of every key; a new number abandons all cached results."""
MAX_AXES = 16
"""How many levels of list one node may go through."""


@dataclass(frozen=True, slots=True)
class Bound:
    """A node of the graph with everything resolved: its type, its literals (defaults included), its wires."""

    id: str
    type: NodeType
    literals: dict[str, Json]
    links: dict[str, From]
    signature: bytes
    """Digest of the type and the literals: the part of the key that no other node decides."""
    outputs: Mapping[str, Wire]
    """What it brings in this graph: lists where it goes through lists, and nothing left open."""
    lift: Lift | None = None
    """How it goes through the lists among its inputs, if there are any."""
    wraps: Mapping[str, int] = field(default_factory=dict)
    """The inputs that take a list and are wired to less: how many lists are put around what comes."""


@dataclass(slots=True)
class Checked:
    """What `check` found: the problems, and the nodes that are sound, parents before children."""

    graph: Graph
    values: dict[str, Json] = field(default_factory=dict)
    """The graph's inputs as this run has them; of one that is swept, all values."""
    steps: dict[str, Bound] = field(default_factory=dict)
    """With subgraphs written out (`upscale/denoise`) and without what is off."""
    outputs: dict[str, From] = field(default_factory=dict)
    """What the graph's outputs come from, in terms of `steps`."""
    ends: Mapping[str, Sequence[str]] = field(default_factory=dict)
    """For each subgraph, the steps that its outputs come from."""
    registry: Registry = field(default_factory=lambda: Registry([]), repr=False)
    read: Read = field(default=no_files, repr=False)
    """With the registry, what graphs are checked with that nodes return while they run."""
    problems: list[Problem] = field(default_factory=Problems)
    """What is wrong, in full up to `problems.MOST`."""

    @property
    def ok(self) -> bool:
        """True if nothing forbids a run; warnings do not."""
        return all(problem.severity != "error" for problem in self.problems)


def check(
    graph: Graph,
    registry: Registry,
    values: Mapping[str, Json | Sweep] | None = None,
    read: Read = no_files,
) -> Checked:
    """Find every problem of a graph, given values for its inputs, and bind what is sound.

    Args:
        graph: the document.
        registry: the node types at hand.
        values: values for the graph's inputs; missing ones take their defaults, a `Sweep` stands for many.
        read: reads the graphs that this one names by file.
    """
    return _Checker(graph, registry, read).check(values or {})


OUTSIDE = "^"
"""Stands for the node, in a graph that is run in its place: its outputs are what the node is given."""


def check_within(
    graph: Graph, around: Around, wires: Mapping[str, Wire], registry: Registry, read: Read
) -> Checked:
    """The same for a graph that stands in place of a node and takes what that is given.

    Args:
        graph: the document.
        around: the node; a wire that it is given is bound as `From(OUTSIDE, input)`.
        wires: what each of those wires brings.
        registry: the node types at hand.
        read: reads the graphs that this one names by file.
    """
    return _Checker(graph, registry, read, around, wires).check({})


def signature(node_type: NodeType, literals: Mapping[str, Json]) -> bytes:
    """What the type and the literals of a step add to its key; lazy literals count only once asked for."""
    if node_type.lazy:
        literals = {name: value for name, value in literals.items() if name not in node_type.lazy}
    return hashlib.sha256(canonical([KEY_SCHEMA, node_type.id, node_type.code, literals])).digest()


def unreadable(checked: Checked, files: Files) -> list[Problem]:
    """What is wrong with the files that the sound nodes name themselves; nothing is planned or run.

    Args:
        checked: what `check` found, whatever that was.
        files: where to look for them.
    """
    problems = Problems()
    for node, bound in checked.steps.items():
        if bound.type.reads_world and bound.lift is None:
            try:
                fingerprint(bound.type, bound.literals, bound.links, files)
            except Wired:  # told when it is known
                continue
            except Exception as error:  # the code of a node pack may raise anything
                problems.append(explained(error, node, bound.type.name)[0])
    return problems


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
    return replace(entry, type=node_type.id, inputs=inputs)


class _Checker:
    """One check, node by node, parents first."""

    def __init__(
        self,
        graph: Graph,
        registry: Registry,
        read: Read,
        around: Around | None = None,
        outside: Mapping[str, Wire] | None = None,
    ) -> None:
        self._registry, self._types, self._graph = registry, registry.types, graph
        self._around, self._outside = around, outside or {}
        self._done = Checked(graph, registry=registry, read=read)
        self._problems = self._done.problems
        self._sweeps: dict[str, Axis] = {}
        try:
            self._flat = inline(graph, registry.types, read, around)
        except GraphError as error:  # too large, or too deep, to be written out
            self._flat = Inlined({}, {})
            self._problems.extend(error.problems)
        self._problems.extend(self._flat.problems)

    def check(self, values: Mapping[str, Json | Sweep]) -> Checked:
        done, flat = self._done, self._flat
        if self._around is None:
            self._graph_inputs(values)
            self._unused()
        order, circles = in_order(flat.nodes)
        self._problems.extend(circles)
        for node in order:
            self._bind(node, flat.nodes[node])
        for name, link in flat.outputs.items():
            self._output(name, link)
        done.outputs, done.ends = flat.outputs, flat.ends
        return done

    def _bad(
        self,
        code: str,
        message: str,
        node: str | None = None,
        input: str | None = None,
        hint: str | None = None,
    ) -> None:
        self._problems.append(Problem(code, message, node, input, hint))

    def _unused(self) -> None:
        """Warn of inputs of the graph that no node takes, as when `--set` put a value in their place."""
        nodes = self._graph.nodes.values()
        used = {item.name for entry in nodes for item in entry.inputs.values() if isinstance(item, Param)}
        for name in self._graph.inputs.keys() - used:
            message = f"nothing takes the graph input {name!r}, so giving it a value has no effect"
            self._problems.append(Problem("unused_input", message, severity="warning"))

    def _graph_inputs(self, given: Mapping[str, Json | Sweep]) -> None:
        declared = self._graph.inputs
        for name in given:
            if name not in declared:
                hint = self._near(name, declared) or _listed("the graph has", declared)
                self._bad("unknown_param", f"the graph has no input {name!r}", hint=hint)
        for name, item in declared.items():
            if name in given:
                value = given[name]
            elif item.required:
                hint = f"give one, such as --{name} VALUE"
                self._bad("missing_value", f"the graph input {name!r} has no value", hint=hint)
                continue
            elif item.sweep and isinstance(item.default, list):
                value = Sweep(tuple(item.default))
            else:
                value = item.default
            swept = isinstance(value, Sweep)
            plain: list[Json] = [*value.values] if isinstance(value, Sweep) else [value]
            problem = next(
                (found for one in plain if (found := wrong_kind(f"the graph input {name!r}", item, one))),
                None,
            )
            if problem:
                self._problems.append(problem)
                continue
            self._done.values[name] = plain if swept else plain[0]
            if swept:
                place = [*given].index(name) if name in given else len(given) + item.sweep
                self._sweeps[name] = Axis(f"${name}", True, place, len(plain))

    def _bind(self, node: str, entry: Entry) -> None:
        node_type = self._type(node, entry)
        if node_type is None:
            return
        literals: dict[str, Json] = {}
        links: dict[str, From] = {}
        levels: dict[str, tuple[Axis, ...]] = {}
        try:
            inputs = upgraded(node, entry, node_type).inputs
        except GraphError as error:
            self._problems.extend(error.problems)
            return
        sound = True
        if not inputs.keys() <= node_type.inputs.keys():
            sound = False
            for name in inputs:
                if name not in node_type.inputs:
                    hint = self._near(name, node_type.inputs) or _listed("it has", node_type.inputs)
                    self._bad("unknown_input", f"{node_type.name} has no such input", node, name, hint)
        meant: dict[str, Wire] = {}
        wraps: dict[str, int] = {}
        for name, item in node_type.inputs.items():
            binding = inputs.get(name)
            if binding is None:
                if item.required:
                    sound = False
                    self._missing(node, item)
                else:
                    literals[name] = item.default
                continue
            if isinstance(binding, From):
                links[name] = binding
                sound &= self._link(node, item, binding, levels, meant, wraps)
            else:
                sound &= self._literal(node, item, binding, literals, levels)
        if node_type.is_open:
            for name, value in literals.items():
                for one_value in value if name in levels and isinstance(value, list) else [value]:
                    sound &= self._means(node, node_type.inputs[name], one_value, meant)
        if not sound:
            return
        outputs = node_type.outputs
        if node_type.is_open:
            outputs = {name: kind.closed(meant) for name, kind in outputs.items()}
        if not levels:
            sign = signature(node_type, literals)
            self._done.steps[node] = Bound(node, node_type, literals, links, sign, outputs, None, wraps)
            return
        try:
            lift = lifted(levels, entry.lift == "cross")
        except Uneven as error:
            message, hint = error.args
            self._bad("uneven_lists", message, node, hint=hint)
            return
        if len(lift.axes) > MAX_AXES:
            hint = "gather some of them first"
            self._bad("too_deep", f"goes through lists nested more than {MAX_AXES} deep", node, hint=hint)
            return
        outputs = {name: Wire(kind.name, kind.lists + len(lift.axes)) for name, kind in outputs.items()}
        self._done.steps[node] = Bound(node, node_type, literals, links, b"", outputs, lift, wraps)

    def _type(self, node: str, entry: Entry) -> NodeType | None:
        node_type = self._types.get(entry.name)
        if node_type is None:
            hint = self._registry.near(entry.name) if self._few(self._types) else None
            hint = hint or "install the pack that brings it, or put its file in the nodes folder"
            self._bad("unknown_type", f"there is no node type {entry.name!r}", node, hint=hint)
            return None
        if entry.version is not None and entry.version > node_type.version:
            message = f"saved by {entry.type}, but here {node_type.name} is at version {node_type.version}"
            self._bad("newer_type", message, node, hint="update the pack")
            return None
        if node_type.deprecated and (warning := deprecation(node_type, self._types, node)) is not None:
            self._problems.append(warning)
        return node_type

    def _missing(self, node: str, item: Input) -> None:
        hint = f"wire {one(item.wire)} into it" if item.wire.is_value else f"give it a {item.wire}"
        self._bad("missing_input", "has no value", node, item.name, hint)

    def _literal(
        self,
        node: str,
        item: Input,
        binding: Literal | Param,
        literals: dict[str, Json],
        levels: dict[str, tuple[Axis, ...]],
    ) -> bool:
        """Check what is typed into an input, or given to the graph for it."""
        name = f"{node}.{item.name}"
        sweep: Axis | None = None
        if isinstance(binding, Param):
            if binding.name not in self._graph.inputs and binding is not REPORTED:
                hint = self._near(binding.name, self._graph.inputs) or "declare it under the graph's inputs"
                self._bad(
                    "unknown_param", f"the graph has no input {short(binding.name)}", node, item.name, hint
                )
            if binding.name not in self._done.values:
                return False  # reported just now, or at the graph's own input
            name = binding.name
            sweep = self._sweeps.get(name)
            value = self._done.values[name]
        else:
            value = binding.value
        values = value if sweep is not None and isinstance(value, list) else [value]
        spelled: list[Json] = []
        deep = set()
        for one_value in values:
            found = checked_literal(node, item, one_value)
            if isinstance(found, Problem):
                self._problems.append(found)
                return False
            spelled.append(found.value)
            deep.add(found.levels)
        if len(deep) > 1:
            message = f"the sweep of {name!r} has single values beside lists"
            self._bad("type_mismatch", message, node, item.name, "give either, not both")
            return False
        inner = deep.pop() if deep else 0
        if sweep is not None:
            literals[item.name] = spelled
            levels[item.name] = (sweep, *axes_of(name, spelled[0], inner)) if inner else (sweep,)
        else:
            literals[item.name] = spelled[0]
            if inner:
                levels[item.name] = axes_of(name, spelled[0], inner)
        return True

    def _link(
        self,
        node: str,
        item: Input,
        link: From,
        levels: dict[str, tuple[Axis, ...]],
        meant: dict[str, Wire],
        wraps: dict[str, int],
    ) -> bool:
        """Check one wire; False if it is no good, or if its other end is not."""
        if link.node == OUTSIDE:
            return self._fits(node, item, link, self._outside[link.output], (), levels, meant, wraps)
        source = self._flat.nodes.get(link.node)
        if source is None:
            self._dangling(link, node, item.name)
            return False
        source_type = self._types.get(source.name)
        if source_type is None:
            return False  # the unknown type is reported already
        if link.output not in source_type.outputs:
            outputs = source_type.outputs
            hint = self._near(link.output, outputs) or _listed("it has", outputs)
            message = f"comes from {link.node}, but {source_type.name} has no output {short(link.output)}"
            self._bad("dangling_link", message, node, item.name, hint)
            return False
        bound = self._done.steps.get(link.node)
        if bound is None:  # it is not sound itself; only what is wrong for certain is told of the wire
            kind = source_type.outputs[link.output]
            if kind.is_open or Wire(kind.name, item.wire.lists).fits(item.wire):
                return True
            self._mismatch(node, item, link, kind, item.wire)
            return False
        axes = bound.lift.axes if bound.lift is not None else ()
        return self._fits(node, item, link, bound.outputs[link.output], axes, levels, meant, wraps)

    def _fits(
        self,
        node: str,
        item: Input,
        link: From,
        offered: Wire,
        axes: tuple[Axis, ...],
        levels: dict[str, tuple[Axis, ...]],
        meant: dict[str, Wire],
        wraps: dict[str, int],
    ) -> bool:
        """Check what a wire brings, a list along `axes` first, against what the input takes."""
        wanted = item.wire
        if wanted.is_open:
            known = meant.get(wanted.name)
            if known is None:
                inner = offered.lists - wanted.lists
                if inner < 0:
                    self._mismatch(node, item, link, offered, wanted)
                    return False
                swept = tuple([axis for axis in axes if axis.sweep])[:inner]  # they are the outermost
                if swept:
                    levels[item.name] = swept
                meant[wanted.name] = Wire(offered.name, inner - len(swept))
                return True
            wanted = wanted.closed(meant)
        if offered.fits(wanted):
            return True
        extra = offered.lists - wanted.lists
        if extra > 0 and Wire(offered.name, wanted.lists).fits(wanted):
            own = range(offered.lists - len(axes))
            along = (*axes, *(Axis(f"{link}#{level}" if level else str(link)) for level in own))
            levels[item.name] = along[:extra]
            return True
        if extra < 0 and Wire(offered.name, wanted.lists).fits(wanted):
            wraps[item.name] = -extra
            return True
        self._mismatch(node, item, link, offered, wanted)
        return False

    def _means(self, node: str, item: Input, value: Json, meant: dict[str, Wire]) -> bool:
        """Let a literal say what an open type is, if no wire has; False if a wire says otherwise."""
        if not item.wire.is_open or (value is None and not item.required):
            return True
        known = meant.get(item.wire.name)
        if known is None:
            kind = of_value(value)
            meant[item.wire.name] = Wire(kind.name, max(kind.lists - item.wire.lists, 0))
            return True
        if Wire(known.name, known.lists + item.wire.lists).holds(value):
            return True
        message = f"takes {known} here, as the wires say, not {short(value)}"
        self._bad("type_mismatch", message, node, item.name, "give all of these inputs the same type")
        return False

    def _dangling(self, link: From, node: str | None, input: str | None, lead: str = "comes from") -> None:
        place = f"{lead} {short(str(link))}"
        if link.node in self._flat.ends:
            entry = f"{link.node} has no output {short(link.output)}"
            self._bad("dangling_link", f"{place}, but {entry}", node, input)
        elif link.node in self._flat.off:
            if node is None or not any(problem.node == link.node for problem in self._problems):
                message = f"{place}, which is off and hands nothing on as {link.output}"
                self._bad("is_off", message, node, input, "switch it on, or wire something else")
        else:
            nearest = self._near(link.node, self._flat.nodes)
            message = f"{place}, but there is no node {short(link.node)}"
            self._bad("dangling_link", message, node, input, nearest)

    def _mismatch(self, node: str, item: Input, link: From, offered: Wire, wanted: Wire) -> None:
        message = f"takes {wanted}, but {link} brings {offered}"
        between = conversions.hint(self._registry.conversion(offered, wanted))
        self._bad(
            "type_mismatch", message, node, item.name, between or f"wire something that brings {wanted}"
        )

    def _output(self, name: str, link: From) -> None:
        lead = f"the graph output {name!r} comes from"
        source = self._flat.nodes.get(link.node)
        if source is None:
            self._dangling(link, None, None, lead)
            return
        node_type = self._types.get(source.name)
        if node_type is not None and link.output not in node_type.outputs:
            hint = self._near(link.output, node_type.outputs) or _listed("it has", node_type.outputs)
            message = f"{lead} {short(str(link))}, but {node_type.name} has no output {short(link.output)}"
            self._bad("dangling_link", message, hint=hint)

    def _near(self, name: str, known: Mapping[str, object]) -> str | None:
        """Near names, while looking costs little."""
        return near(name, known) if self._few(known) else None

    def _few(self, known: Mapping[str, object]) -> bool:
        """True while looking for near names costs little: not among thousands, nor for the hundredth time."""
        return len(known) <= 2000 and len(self._problems) < 100


def _listed(lead: str, names: Mapping[str, object]) -> str:
    some = [*names][:LISTED] + ["…"] * (len(names) > LISTED)
    return f"{lead} {', '.join(some) or 'none'}"
