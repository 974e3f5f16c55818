"""Switches nodes off: each output of a node that is off is replaced by one of the node's inputs."""

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
    """Maps outputs of nodes that are off, and of inlined subgraphs, to the wires or values that replace them.

    Args:
        off: a set to which the ids of nodes that are off are added.
        problems: a list to which problems are added.
    """

    def __init__(self, off: set[str], problems: Problems) -> None:
        self._off, self._problems = off, problems
        self._bindings: dict[From, Binding] = {}

    def add(self, output: From, binding: Binding) -> None:
        """Record that an output is replaced by a wire, value or graph input."""
        self._bindings[output] = binding

    def switch_off(self, node: str, entry: Entry, node_type: NodeType | None) -> None:
        """Record a node that is off, and the inputs that replace its outputs.

        Args:
            node: the node's id.
            entry: the node.
            node_type: the type of the node; if it is unknown (None), no output is replaced.
        """
        if node_type is None:
            self._off.add(node)
            return
        defaults = {name: item.default for name, item in node_type.inputs.items() if not item.required}
        self._pass_through(node, entry, node_type.passes, defaults)

    def switch_off_graph(self, node: str, entry: Entry, graph: Graph) -> None:
        """Record a subgraph that is off, and the inputs that replace its outputs.

        Args:
            node: the id of the node that stands for the subgraph.
            entry: the node.
            graph: the subgraph.
        """
        defaults = {name: item.default for name, item in graph.inputs.items()}
        self._pass_through(node, entry, graph.passes, defaults)

    def source(self, name: str, link: From) -> From | None:
        """Find the node output that provides an output of the graph.

        If the output comes from a node that is off, and no other node's output replaces it, record a problem
        and return None.

        Args:
            name: the output of the graph.
            link: the node output that the document names.
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
        """Record that outputs are replaced by inputs: `passes` has the input for each output, and `defaults`
        has the values of inputs that are not set on the node."""
        self._off.add(node)
        for output, input in passes.items():
            if input in entry.inputs:
                self.add(From(node, output), entry.inputs[input])
            elif input in defaults:
                self.add(From(node, output), Literal(defaults[input]))

    def resolve(self, link: From) -> Binding:
        """Follow replacements from a wire to what finally replaces it; the wire itself if nothing does."""
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
