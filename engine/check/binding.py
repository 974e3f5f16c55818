"""Binds the nodes of a graph: finds the type of each, checks its inputs, and lifts it over lists."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass, field

from engine.check.bound import Bound
from engine.check.deprecation import deprecation
from engine.check.fitting import Fitting
from engine.check.inline import Inlined
from engine.check.lift import Axis, Uneven, axes_of, lifted
from engine.check.links import Links
from engine.check.literals import checked as checked_literal
from engine.check.literals import must_be_connected
from engine.check.off import REPORTED
from engine.check.upgrade import upgraded
from engine.document.graph import Entry, From, GraphInput, Literal, Param
from engine.errors import GraphError, Problem, short, with_article
from engine.fixes import Connect, Fix, RemoveInput, RenameInput, SetInput, SetType
from engine.near_names import NameHints, listed
from engine.node import Input, NodeType
from engine.packs.registry import Registry
from engine.problem_list import Problems
from engine.types.wires import Wire
from engine.values import Json

MAX_AXES = 16
"""The most levels of nested lists that one node may go through."""


@dataclass(slots=True)
class Values:
    """The values of the graph's inputs in this run."""

    declared: Mapping[str, GraphInput]
    given: dict[str, Json] = field(default_factory=dict)
    """The valid values by input; for a swept input, the list of its values."""
    sweeps: dict[str, Axis] = field(default_factory=dict)
    """For each input that the run sweeps, its axis."""
    random: bool = True
    """True if a seed may be "random", because it will be drawn before the run."""


class Binder:
    """Binds the nodes of a graph. Each must be bound after the nodes from which its wires come."""

    def __init__(
        self,
        registry: Registry,
        flat: Inlined,
        values: Values,
        outside: Mapping[str, Wire],
        problems: Problems,
    ) -> None:
        self._registry, self._types, self._values = registry, registry.types, values
        self._problems, self._hints = problems, NameHints(problems)
        self.steps: dict[str, Bound] = {}
        """The bound nodes by id; nodes with problems are left out."""
        self.links = Links(registry.types, flat, self.steps, outside, problems)

    def bind(self, node: str, entry: Entry) -> None:
        """Check and bind one node. If it has problems, record them and do not bind it."""
        node_type = self._type(node, entry)
        if node_type is None:
            return
        try:
            inputs = upgraded(node, entry, node_type).inputs
        except GraphError as error:
            self._problems.extend(error.problems)
            return
        sound = self._no_unknown_inputs(node, entry.type, node_type, inputs)
        fitting = Fitting()
        literals: dict[str, Json] = {}
        links: dict[str, From] = {}
        for name, item in node_type.inputs.items():
            binding = inputs.get(name)
            if binding is None:
                if item.required:
                    sound = False
                    self._missing(node, item)
                else:
                    literals[name] = item.default
            elif isinstance(binding, From):
                links[name] = binding
                if not item.wire.is_open:
                    sound &= self.links.fit(node, item, binding, fitting)
            else:
                sound &= self._literal(node, item, binding, literals, fitting)
        if node_type.has_open_inputs:
            sound &= self._open_inputs(node, node_type, literals, links, fitting)
        if sound:
            self._lift(node, entry, node_type, literals, links, fitting)

    def _lift(
        self,
        node: str,
        entry: Entry,
        node_type: NodeType,
        literals: dict[str, Json],
        links: dict[str, From],
        fitting: Fitting,
    ) -> None:
        outputs: Mapping[str, Wire] = node_type.outputs
        if node_type.is_open:
            outputs = {name: kind.closed(fitting.variables) for name, kind in outputs.items()}
        if not fitting.levels:
            self.steps[node] = Bound(node, node_type, literals, links, outputs, None, fitting.added)
            return
        levels = {name: fitting.levels[name] for name in node_type.inputs if name in fitting.levels}
        try:
            lift = lifted(levels, entry.lift == "cross")
        except Uneven as error:
            message, hint = error.args
            self._bad("uneven_lists", message, node, hint=hint)
            return
        self._warn_of_idle_cross(node, entry, levels)
        if len(lift.axes) > MAX_AXES:
            message = f"the node goes through lists nested more than {MAX_AXES} levels deep"
            self._bad("too_deep", message, node, hint="join some of the lists before this node")
            return
        outputs = {name: Wire(kind.name, kind.lists + len(lift.axes)) for name, kind in outputs.items()}
        self.steps[node] = Bound(node, node_type, literals, links, outputs, lift, fitting.added)

    def _warn_of_idle_cross(self, node: str, entry: Entry, levels: Mapping[str, tuple[Axis, ...]]) -> None:
        lists = {name: [axis.name for axis in axes if not axis.sweep] for name, axes in levels.items()}
        names = [name for name, axes in lists.items() if axes]
        if entry.lift != "cross" or len(names) < 2 or any(lists[name] != lists[names[0]] for name in names):
            return
        message = f'"lift": "cross" has no effect, because {" and ".join(names)} go through the same list'
        hint = "to combine a list with itself, make it with two nodes"
        self._problems.append(Problem("no_lift", message, node, hint=hint, severity="warning"))

    def _type(self, node: str, entry: Entry) -> NodeType | None:
        node_type = self._types.get(entry.name)
        if node_type is None:
            hint = self._registry.near(entry.name) if self._hints.cheap(self._types) else None
            hint = hint or "install the node pack that contains it, or put its file into the nodes folder"
            known = self._hints.meant(entry.name, self._types)
            # The version stays, because it says how the inputs were saved.
            fix = None if known is None else SetType(node, entry.type, known + entry.type[len(entry.name) :])
            message = f"the node type {entry.name!r} does not exist"
            self._bad("unknown_type", message, node, hint=hint, fix=fix)
            return None
        if entry.version is not None and entry.version > node_type.version:
            message = f"the node was saved by {entry.type}, but version {node_type.version} is installed"
            self._bad("newer_type", message, node, hint="update the pack that contains this node type")
            return None
        if node_type.deprecated and (warning := deprecation(node_type, self._types, node)) is not None:
            self._problems.append(warning)
        return node_type

    def _no_unknown_inputs(
        self, node: str, written: str, node_type: NodeType, inputs: Mapping[str, object]
    ) -> bool:
        unknown = [name for name in inputs if name not in node_type.inputs]
        for name in unknown:
            near = self._hints.near(name, node_type.inputs)
            known = self._hints.meant(name, node_type.inputs)
            fix: Fix | None = None
            if known is not None and known not in inputs:
                fix = RenameInput(node, written, name, known)
            elif known is not None or near is None:
                fix = RemoveInput(node, written, name)
            hint = near or listed("the inputs are", node_type.inputs)
            self._bad("unknown_input", f"{node_type.name} has no input {name!r}", node, name, hint, fix)
        return not unknown

    def _missing(self, node: str, item: Input) -> None:
        if item.wire.is_value:
            message, hint = must_be_connected(item.wire)
        else:
            message, hint = "has no value", f"set it to {with_article(item.wire)}, or connect it"
        source = self.links.only_source(node, item.wire) if item.wire.is_value else None
        fix = None if source is None else Connect(node, item.name, str(source))
        self._bad("missing_input", message, node, item.name, hint, fix)

    def _literal(
        self, node: str, item: Input, binding: Literal | Param, literals: dict[str, Json], fitting: Fitting
    ) -> bool:
        """Check a value that is set on the node, or that it takes from an input of the graph."""
        name = f"{node}.{item.name}"
        sweep: Axis | None = None
        random = item.is_seed and self._values.random
        value: Json
        if isinstance(binding, Param):
            declared = self._values.declared
            if binding.name not in declared and binding is not REPORTED:
                hint = self._hints.near(binding.name, declared) or "declare it under the graph's inputs"
                message = f"the graph has no input {short(binding.name)}"
                known = self._hints.meant(binding.name, declared)
                was, to = {"param": binding.name}, {"param": known or ""}
                fix = None if known is None else SetInput(node, item.name, was, to)
                self._bad("unknown_param", message, node, item.name, hint, fix)
            if binding.name not in self._values.given:
                return False  # the problem is recorded here or at the graph's input
            name = binding.name
            sweep, value = self._values.sweeps.get(name), self._values.given[name]
            random = random or declared[name].type == "seed"
        else:
            value = binding.value
        swept = value if sweep is not None and isinstance(value, list) else [value]
        spelled: list[Json] = []
        depths = set()
        for item_value in swept:
            checked = checked_literal(node, item, item_value, random=random)
            if isinstance(checked, Problem):
                self._problems.append(checked)
                return False
            spelled.append(checked.value)
            depths.add(checked.levels)
        if len(depths) > 1:
            message = f"the sweep of {name!r} mixes single values and lists"
            self._bad("type_mismatch", message, node, item.name, "use single values only, or lists only")
            return False
        levels = depths.pop() if depths else 0
        literals[item.name] = spelled if sweep is not None else spelled[0]
        fitting.names[item.name] = name
        self._set_levels(item, name, spelled, levels, sweep, fitting)
        return True

    def _set_levels(
        self, item: Input, name: str, values: list[Json], levels: int, sweep: Axis | None, fitting: Fitting
    ) -> None:
        axes = axes_of(name, values[0], levels) if levels else ()
        if sweep is not None or axes:
            fitting.levels[item.name] = (*([sweep] if sweep is not None else []), *axes)

    def _open_inputs(
        self,
        node: str,
        node_type: NodeType,
        literals: dict[str, Json],
        links: Mapping[str, From],
        fitting: Fitting,
    ) -> bool:
        """Check the inputs whose type is a type variable: wires first, since they determine the type."""
        fitting.fixed_types_done()
        sound = True
        items = [item for item in node_type.inputs.values() if item.wire.is_open]
        for item in items:
            if item.name in links:
                sound &= self.links.fit(node, item, links[item.name], fitting)
        for item in items:
            if item.name in literals:
                sound &= self._open_literal(node, item, literals[item.name], fitting)
        return sound

    def _open_literal(self, node: str, item: Input, value: Json, fitting: Fitting) -> bool:
        axes = fitting.levels.get(item.name)
        sweep = axes[0] if axes else None
        values = value if sweep is not None and isinstance(value, list) else [value]
        counts = {fitting.open_literal(item, item_value) for item_value in values}
        levels = counts.pop() if counts else 0
        if counts or levels is None:
            wanted = fitting.wanted(item)
            kind = with_article(wanted)
            message = f"the connected inputs make this input {kind}, so it cannot be {short(value)}"
            hint = "give all inputs of this kind the same type"
            self._bad("type_mismatch", message, node, item.name, hint)
            return False
        self._set_levels(item, fitting.names.get(item.name, item.name), values, levels, sweep, fitting)
        return True

    def _bad(
        self,
        code: str,
        message: str,
        node: str | None = None,
        input: str | None = None,
        hint: str | None = None,
        fix: Fix | None = None,
    ) -> None:
        self._problems.append(Problem(code, message, node, input, hint, fix=fix))
