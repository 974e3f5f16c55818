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
from engine.fixes import Fix, InsertNode, SetInput
from engine.near_names import NameHints, listed
from engine.node import Input, NodeType
from engine.problem_list import Problems
from engine.types.wires import Wire

OUTSIDE = "^"
"""Stands for the node that a returned graph replaces: `From(OUTSIDE, input)` is one of its inputs."""


class Links:
    """Checks wires one by one. The node from which a wire comes must be bound before the wire is checked."""

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
        """Check one wire, and record its problem. Returns False if it does not fit or has no source."""
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
            known = self._hints.meant(link.output, outputs)
            to = None if known is None else From(link.node, known)
            self._bad("dangling_link", message, node, item.name, hint, _rewire(node, item.name, link, to))
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
        chain = conversions.find(self._types.values(), offered, wanted)
        hint = conversions.hint(chain) or f"connect an output that is {needs}"
        fix = None
        if len(chain) == 1:
            (kind,) = chain
            fix = InsertNode(
                node, item.name, str(link), kind.id, kind.converts or "", next(iter(kind.outputs))
            )
        self._bad("type_mismatch", message, node, item.name, hint, fix)

    def only_source(self, node: str, wire: Wire) -> From | None:
        """Find the only node output of a type in the graph, to suggest it for an input of a node.

        None if there are several, or if the output depends on the node itself.
        """
        nodes = self._flat.nodes
        if not self._hints.cheap(nodes):
            return None
        kinds = ((id, self._types.get(entry.name)) for id, entry in nodes.items() if id != node)
        found = [
            From(id, output)
            for id, kind in kinds
            if kind is not None
            for output, offered in kind.outputs.items()
            if offered == wire
        ]
        return found[0] if len(found) == 1 and not self._depends(found[0].node, node) else None

    def _has(self, node: str, output: str) -> bool:
        node_type = self._types.get(self._flat.nodes[node].name)
        return node_type is not None and output in node_type.outputs

    def _depends(self, node: str, on: str) -> bool:
        """Return True if a node depends on another, directly or through other nodes."""
        seen, left = {node}, [node]
        while left:
            entry = self._flat.nodes.get(left.pop())
            for held in () if entry is None else entry.inputs.values():
                if isinstance(held, From) and held.node not in seen:
                    seen.add(held.node)
                    left.append(held.node)
        return on in seen

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
            known = self._hints.meant(link.node, self._flat.nodes)
            to = From(known, link.output) if known is not None and self._has(known, link.output) else None
            message = f"{place}, but the node {short(link.node)} does not exist"
            self._bad("dangling_link", message, node, input, nearest, _rewire(node, input, link, to))

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


def _rewire(node: str | None, input: str | None, link: From, to: From | None) -> Fix | None:
    """Make the fix that moves a wire to the output `to`; None if there is no `to`, or no input."""
    if node is None or input is None or to is None:
        return None
    return SetInput(node, input, {"from": str(link)}, {"from": str(to)})
