"""Applies "off": replaces each output of a node that is off by the input that its type passes through."""

from __future__ import annotations

from collections.abc import Mapping

from engine.document.graph import Binding, Entry, From, Literal, Param
from engine.errors import Problem
from engine.problem_list import Problems
from engine.values import Json

REPORTED = Param("")
"""Stands for a missing value whose problem is already recorded."""


class Replacements:
    """Maps outputs of nodes that are off, and of inlined subgraphs, to the bindings that replace them."""

    def __init__(self, problems: Problems) -> None:
        self._problems = problems
        self._bindings: dict[From, Binding] = {}

    def add(self, output: From, binding: Binding) -> None:
        """Replace an output by a binding."""
        self._bindings[output] = binding

    def switch_off(
        self, node: str, entry: Entry, passes: Mapping[str, str], defaults: Mapping[str, Json]
    ) -> None:
        """Replace the outputs of a node that is off.

        Args:
            node: the node's id.
            entry: the node.
            passes: for each output that has a replacement, the input to take instead.
            defaults: values of inputs that the node does not set.
        """
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
