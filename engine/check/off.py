"""Applies "off": replaces each output of a node that is off by the input that its type passes through."""

from __future__ import annotations

from collections.abc import Mapping

from engine.document.graph import Binding, Entry, From, Graph, Literal, Param
from engine.errors import Problem
from engine.node import NodeType
from engine.problem_list import Problems
from engine.values import Json

REPORTED = Param("")
"""Stands for a missing value whose problem is already recorded."""


class Replacements:
    """Maps outputs of nodes that are off, and of inlined subgraphs, to the bindings that replace them.

    Args:
        off: receives the nodes that are off.
        problems: receives the problems.
    """

    def __init__(self, off: set[str], problems: Problems) -> None:
        self._off, self._problems = off, problems
        self._bindings: dict[From, Binding] = {}

    def add(self, output: From, binding: Binding) -> None:
        """Replace an output by a binding."""
        self._bindings[output] = binding

    def switch_off(self, node: str, entry: Entry, node_type: NodeType | None) -> None:
        """Replace the outputs of a node that is off.

        Args:
            node: the node's id.
            entry: the node.
            node_type: the type of the node; None if it is unknown: then no output is replaced.
        """
        if node_type is None:
            self._off.add(node)
            return
        defaults = {name: item.default for name, item in node_type.inputs.items() if not item.required}
        self._pass_through(node, entry, node_type.passes, defaults)

    def switch_off_graph(self, node: str, entry: Entry, graph: Graph) -> None:
        """Replace the outputs of a subgraph that is off.

        Args:
            node: the id of the node that stands for the subgraph.
            entry: the node.
            graph: the subgraph.
        """
        defaults = {name: item.default for name, item in graph.inputs.items()}
        self._pass_through(node, entry, graph.passes, defaults)

    def source(self, name: str, link: From) -> From | None:
        """The source of an output of the graph; None, with a problem, if it comes from a node that is off.

        Args:
            name: the output of the graph.
            link: the output of a node that it names.
        """
        source = self.resolve(link)
        if isinstance(source, From):
            return source
        message = f"the graph output {name!r} comes from {link.node}, which is off"
        hint = "no input replaces this output; switch the node on, or remove the graph output"
        self._problems.append(Problem("is_off", message, hint=hint))
        return None

    def _pass_through(
        self, node: str, entry: Entry, passes: Mapping[str, str], defaults: Mapping[str, Json]
    ) -> None:
        """Replace each output by an input: `passes` has the input of each output that has one, and `defaults`
        the values of inputs that the node does not set."""
        self._off.add(node)
        for output, input in passes.items():
            if input in entry.inputs:
                self.add(From(node, output), entry.inputs[input])
            elif input in defaults:
                self.add(From(node, output), Literal(defaults[input]))

    def resolve(self, link: From) -> Binding:
        """Follow replacements from a wire to the final binding; the wire itself if its source still
        exists."""
        if link not in self._bindings:
            return link
        passed = {link}
        binding: Binding = link
        while isinstance(binding, From) and binding in self._bindings:
            binding = self._bindings[binding]
            if isinstance(binding, From):
                if binding in passed:
                    message = "the wires form a cycle through nodes that are off"
                    hint = "remove one of the wires"
                    self._problems.append(Problem("cycle", message, binding.node, hint=hint))
                    binding = REPORTED
                    break
                passed.add(binding)
        # Cached, so that a long chain of nodes that are off is followed once.
        self._bindings.update({end: binding for end in passed if end != binding})
        return binding
