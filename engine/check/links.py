"""Checks the wires of a graph: that both ends exist, and that the types at the ends fit."""

from __future__ import annotations

from collections.abc import Mapping

from engine.check import conversions
from engine.check.bound import Bound
from engine.check.fitting import Fitting
from engine.check.inline import Inlined
from engine.check.lift import Axis
from engine.document.graph import From
from engine.errors import Problem, short, with_article
from engine.near_names import NameHints, listed
from engine.node import Input, NodeType
from engine.problem_list import Problems
from engine.types.wires import Wire

OUTSIDE = "^"
"""The id by which a returned graph names the inputs of the node that it replaces: `From(OUTSIDE, input)`."""


class Links:
    """Checks wires one by one. The source of a wire is bound before the wire is checked."""

    def __init__(
        self,
        types: Mapping[str, NodeType],
        flat: Inlined,
        steps: Mapping[str, Bound],
        outside: Mapping[str, Wire],
        problems: Problems,
    ) -> None:
        self._types, self._flat, self._steps, self._outside = types, flat, steps, outside
        self._problems, self._hints = problems, NameHints(problems)

    def fit(self, node: str, item: Input, link: From, fitting: Fitting) -> bool:
        """Check one wire; False if it does not fit, or if the node at its other end has problems."""
        if link.node == OUTSIDE:
            return self._fits(node, item, link, self._outside[link.output], (), fitting)
        source = self._flat.nodes.get(link.node)
        if source is None:
            self._dangling(link, node, item.name)
            return False
        source_type = self._types.get(source.name)
        if source_type is None:
            return False  # the unknown type is recorded at its node
        if link.output not in source_type.outputs:
            outputs = source_type.outputs
            hint = self._hints.near(link.output, outputs) or listed("the outputs are", outputs)
            message = f"comes from {link.node}, but {source_type.name} has no output {short(link.output)}"
            self._bad("dangling_link", message, node, item.name, hint)
            return False
        bound = self._steps.get(link.node)
        if bound is None:  # its list levels are unknown, so record only a certain mismatch
            kind = source_type.outputs[link.output]
            if kind.is_open or Wire(kind.name, item.wire.lists).fits(item.wire):
                return True
            self._mismatch(node, item, link, kind, item.wire)
            return False
        axes = bound.lift.axes if bound.lift is not None else ()
        return self._fits(node, item, link, bound.outputs[link.output], axes, fitting)

    def _fits(
        self, node: str, item: Input, link: From, offered: Wire, axes: tuple[Axis, ...], fitting: Fitting
    ) -> bool:
        if fitting.wire(item, offered, axes, str(link)):
            return True
        self._mismatch(node, item, link, offered, fitting.wanted(item))
        return False

    def _mismatch(self, node: str, item: Input, link: From, offered: Wire, wanted: Wire) -> None:
        needs = "a JSON value" if item.is_json else with_article(wanted)
        message = f"needs {needs}, but {link} is {with_article(offered)}"
        between = conversions.hint(conversions.find(self._types.values(), offered, wanted))
        hint = between or f"connect an output that is {needs}"
        self._bad("type_mismatch", message, node, item.name, hint)

    def output(self, name: str, link: From) -> None:
        """Check that a declared output of the graph exists."""
        lead = f"the graph output {name!r}"
        source = self._flat.nodes.get(link.node)
        if source is None:
            self._dangling(link, None, None, f"{lead} comes from")
            return
        node_type = self._types.get(source.name)
        if node_type is not None and link.output not in node_type.outputs:
            outputs = node_type.outputs
            hint = self._hints.near(link.output, outputs) or listed("the outputs are", outputs)
            message = (
                f"{lead} comes from {link.node}, but {node_type.name} has no output {short(link.output)}"
            )
            self._bad("dangling_link", message, hint=hint)

    def _dangling(self, link: From, node: str | None, input: str | None, lead: str = "comes from") -> None:
        place = f"{lead} {short(str(link))}"
        if link.node in self._flat.subgraph_outputs:
            message = f"{place}, but {link.node} has no output {short(link.output)}"
            self._bad("dangling_link", message, node, input)
        elif link.node in self._flat.off:
            if node is None or not any(problem.node == link.node for problem in self._problems):
                message = f"{place}, but {link.node} is off and has no input that replaces {link.output}"
                self._bad("is_off", message, node, input, "switch it on, or connect another output")
        else:
            nearest = self._hints.near(link.node, self._flat.nodes)
            message = f"{place}, but the node {short(link.node)} does not exist"
            self._bad("dangling_link", message, node, input, nearest)

    def _bad(
        self,
        code: str,
        message: str,
        node: str | None = None,
        input: str | None = None,
        hint: str | None = None,
    ) -> None:
        self._problems.append(Problem(code, message, node, input, hint))
