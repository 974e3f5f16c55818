"""Follows wires to their sources, as ComfyUI's editor does before a run.

Reroutes, Set and Get nodes, primitive nodes, subgraph cards and bypassed nodes do not run: the editor
connects the nodes before them with the nodes after them.
"""

from __future__ import annotations

import itertools
from collections.abc import Callable, Iterator

from nodes.interchange.comfyui.graph_data import BYPASSED, ComfyGraph, ComfyNode, Given, Slot, Source

REROUTES = ("Reroute", "Reroute (rgthree)")
SETTERS = ("SetNode", "easy setNode")
GETTERS = ("GetNode", "easy getNode")
"""The Get nodes of the packs KJNodes and Easy Use, which are wired to Set nodes by name."""
EDITOR_PRIMITIVES = ("PrimitiveNode",)
SERVER_PRIMITIVES = (
    "PrimitiveInt",
    "PrimitiveFloat",
    "PrimitiveString",
    "PrimitiveStringMultiline",
    "PrimitiveBoolean",
)
PRIMITIVES = (*EDITOR_PRIMITIVES, *SERVER_PRIMITIVES)
CLIP_SKIP = "CLIPSetLastLayer"
"""The node for clip skip, which becomes a setting of the prompts after it."""
PASSED = {"InpaintModelConditioning": ("positive", "negative")}
"""Nodes that pass prompts on at their first outputs, from these inputs; other additions go to a latent."""
_MAX_INPUTS = 64


class Wires:
    """Finds where the wires of a ComfyUI graph come from.

    Args:
        graph: the graph.
        is_kept: returns True for a node that becomes a node of our graph; wires from other nodes lead to
            None.
    """

    def __init__(self, graph: ComfyGraph, is_kept: Callable[[ComfyNode], bool]) -> None:
        self._nodes, self._stand_ins = graph.nodes, graph.stand_ins
        self._is_kept = is_kept
        self._origins: dict[Slot, Source] = {}
        self._setters: dict[tuple[tuple[str, ...], str], ComfyNode] = {}
        for node in graph.nodes.values():
            if node.type in SETTERS and isinstance(name := node.values.get("name"), str) and name:
                self._setters.setdefault((node.level, name), node)

    def origin(self, source: Source) -> Source:
        """Find the output of a kept node that a wire comes from, or the value that it brings.

        None for a wire without a source and for a cycle of wires.
        """
        path: list[Slot] = []
        visited: set[Slot] = set()
        while isinstance(source, Slot):
            if source in self._origins:
                source = self._origins[source]
                break
            if source in visited:
                source = None
                break
            path.append(source)
            visited.add(source)
            before = self.before(source)
            if before == source:
                node = self._nodes[source.node]
                source = source if self._is_kept(node) else None
                break
            source = before
        self._origins.update(dict.fromkeys(path, source))
        return source

    def before(self, source: Slot) -> Source:
        """Return the source of a wire, one node further back; `source` itself if its node runs in ComfyUI."""
        if source in self._stand_ins:
            return self._stand_ins[source]
        node = self._nodes.get(source.node)
        if node is None:
            return None
        if node.type in REROUTES or node.type in SETTERS:
            return next(iter(node.wires.values()), None)
        if node.type in GETTERS:
            setter = self._setter(node)
            return None if setter is None else next(iter(setter.wires.values()), None)
        if node.type == CLIP_SKIP:
            return node.wires.get("clip")
        if (passed := PASSED.get(node.type, ())) and 0 <= source.slot < len(passed):
            return node.wires.get(passed[source.slot])
        if node.type in PRIMITIVES:
            if (wired := node.wires.get("value")) is not None:
                return wired
            value = node.values.get("value", next(iter(node.values.values()), None))
            first = value[0] if isinstance(value, list) and value else value
            return Given(first, node.type in SERVER_PRIMITIVES)
        if node.mode == BYPASSED and not self._is_switched_off(node):
            return bypassed_source(node, source.slot)
        return source

    def chain(self, source: Source, input: str) -> Iterator[ComfyNode]:
        """Yield the nodes upstream of a wire, following the same input of each; each node once."""
        visited: set[Slot] = set()
        while isinstance(source, Slot) and source not in visited:
            visited.add(source)
            node = self._nodes.get(source.node)
            if node is not None:
                yield node
            before = self.before(source)
            source = node.wires.get(input) if before == source and node is not None else before

    def _setter(self, getter: ComfyNode) -> ComfyNode | None:
        """Find the Set node of a Get node: the one with its name on the same level, or else an outer one."""
        name = getter.values.get("name")
        if not isinstance(name, str):
            return None
        levels = (getter.level[:depth] for depth in range(len(getter.level), -1, -1))
        return next((self._setters[level, name] for level in levels if (level, name) in self._setters), None)

    def _is_switched_off(self, node: ComfyNode) -> bool:
        """Return whether a bypassed node becomes a node of ours that is off, and so passes its inputs on."""
        return node.type in ("LoraLoader", "LoraLoaderModelOnly")


def bypassed_source(node: ComfyNode, slot: int) -> Source:
    """Return the source of the input that a bypassed node passes on at an output; None if there is none.

    It is the input with the number of the output, if it has the output's type, or the first one of this type.
    """
    if not 0 <= slot < len(node.outputs):
        return None
    wanted = node.outputs[slot][1]
    names = list(itertools.islice(node.input_types, _MAX_INPUTS))
    candidates = [*names[slot : slot + 1], *names]
    return next(
        (node.wires[name] for name in candidates if node.input_types[name] == wanted and name in node.wires),
        None,
    )
