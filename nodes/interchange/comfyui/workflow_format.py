"""Reads the format of ComfyUI's editor (version 0.4, and 1 inside of subgraphs): wires by number.

Subgraphs are expanded: each card of a subgraph is replaced by the nodes of the subgraph. Their ids are the
card's id, `-`, and their own id.
"""

from __future__ import annotations

import json
import math
from collections.abc import Mapping
from typing import Any, NamedTuple, TypeGuard

from engine.errors import GraphError, Problem
from engine.strict_json import MAX_BYTES
from nodes.interchange.comfyui.graph_data import (
    BYPASSED,
    MUTED,
    ComfyGraph,
    ComfyNode,
    Given,
    Slot,
    Source,
    check_node_count,
)
from nodes.interchange.comfyui.group_nodes import group_nodes
from nodes.interchange.comfyui.widget_values import named_values
from nodes.interchange.comfyui.wires import bypassed_source
from nodes.interchange.import_problems import title_of

MAX_DEPTH = 8
"""The most levels of nested subgraphs."""
MAX_OUTPUTS = 64
MAX_DISTANCE = 10_000_000
"""Positions of cards beyond this are not kept."""
_INPUTS_ID, _OUTPUTS_ID = "-10", "-20"
"""The ids of a subgraph's own inputs and outputs in its wires."""


def is_workflow(tree: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether JSON is a graph in the editor's format."""
    return (
        isinstance(tree, dict) and isinstance(tree.get("nodes"), list) and isinstance(tree.get("links"), list)
    )


def read_workflow(tree: Mapping[str, Any]) -> ComfyGraph:
    """Read the nodes of a workflow in the editor's format.

    Raises:
        GraphError: there are too many nodes, or subgraphs contain each other.
    """
    reader = _WorkflowReader(tree)
    reader.read_level(tree, _Level())
    return reader.graph


class _Level(NamedTuple):
    """Where a list of nodes stands: at the top level, or inside the card of a subgraph."""

    cards: tuple[str, ...] = ()
    """The ids of the cards, outermost first."""
    incoming: Mapping[int, Source] = {}
    """The sources of the innermost card's inputs, by input number."""
    corner: tuple[int, int] = (0, 0)
    mode: int = 0

    @property
    def prefix(self) -> str:
        return f"{self.cards[-1]}-" if self.cards else ""


class _WorkflowReader:
    """Reads all levels of one workflow."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.graph = ComfyGraph()
        definitions = tree.get("definitions")
        listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
        self._subgraphs = {
            str(item.get("id")): item for item in _list(listed) if isinstance(item, dict) and "nodes" in item
        }
        self._groups = group_nodes(tree)
        self._count = 0
        self._sizes: dict[str, int] = {}
        self._bytes_written = 0

    def read_level(self, tree: Mapping[str, Any], level: _Level) -> dict[int, Source]:
        """Read the nodes of the graph or of a subgraph.

        Returns the sources of the subgraph's outputs, by number.
        """
        if len(level.cards) > MAX_DEPTH:
            message = f"the subgraphs of the workflow are nested more than {MAX_DEPTH} levels deep"
            hint = "unpack the inner subgraphs in ComfyUI, and save the workflow again"
            raise GraphError([Problem("too_deep", message, hint=hint)])
        sources: dict[Any, Source] = {}
        outgoing: dict[int, Source] = {}
        for number, origin, origin_slot, target, target_slot in map(_wire, _list(tree.get("links"))):
            source: Source = None
            if type(origin_slot) is int:
                inside = str(origin) == _INPUTS_ID
                own = Slot(f"{level.prefix}{origin}", origin_slot)
                source = level.incoming.get(origin_slot) if inside else own
            if isinstance(number, int | str):
                sources[number] = source
            if str(target) == _OUTPUTS_ID and type(target_slot) is int:
                outgoing[target_slot] = source
        for node in _list(tree.get("nodes")):
            if isinstance(node, dict) and isinstance(node.get("type"), str):
                self._count += 1
                check_node_count(self._count)
                self._read_node(node, sources, level)
        return outgoing

    def _read_node(self, data: dict[str, Any], sources: Mapping[Any, Source], level: _Level) -> None:
        node = ComfyNode(f"{level.prefix}{data.get('id')}", data["type"], title_of(data.get("title")))
        node.level = level.cards
        node.mode = level.mode or (data["mode"] if data.get("mode") in (MUTED, BYPASSED) else 0)
        node.position = _position(data.get("pos"), level.corner)
        widgets = []
        for given in _list(data.get("inputs")):
            if not isinstance(given, dict) or not isinstance(given.get("name"), str):
                continue
            name, link = given["name"], given.get("link")
            node.input_types[name] = str(given.get("type"))
            if isinstance(given.get("widget"), dict):
                widgets.append(str(given["widget"].get("name") or name))
            if isinstance(link, int | str) and link in sources:
                node.wires[name] = sources[link]
        for given in _list(data.get("outputs"))[:MAX_OUTPUTS]:
            if isinstance(given, dict):
                node.outputs.append((title_of(given.get("name")), str(given.get("type"))))
        if (group := self._groups.get(node.type)) is not None:
            inner = group.as_subgraph(_list(data.get("widgets_values")))
            incoming = dict(enumerate(node.wires.get(name) for name in group.slot_names(data)))
            self._write_out(node, inner, incoming, {}, level)
        elif (subgraph := self._subgraphs.get(node.type)) is not None:
            values = _card_values(data, subgraph)
            incoming = {}
            for number, end in enumerate(_list(subgraph.get("inputs"))):
                name = str(end.get("name")) if isinstance(end, dict) else ""
                value = values.get(("-1", name))
                incoming[number] = node.wires.get(name) or (None if value is None else Given(value))
            self._write_out(node, subgraph, incoming, values, level)
        else:
            node.values = named_values(node.type, data.get("widgets_values"), widgets)
            self.graph.nodes[node.id] = node

    def _write_out(
        self,
        card: ComfyNode,
        inner: Mapping[str, Any],
        incoming: Mapping[int, Source],
        values: Mapping[tuple[str, str], Any],
        level: _Level,
    ) -> None:
        """Expand a subgraph: read its nodes in place of its card.

        Args:
            card: the card.
            inner: the subgraph.
            incoming: the sources of the card's inputs, by input number.
            values: values that the card sets in inner nodes, by the node's id and the value's name.
            level: the level of the card.
        """
        if card.type not in self._sizes:
            self._sizes[card.type] = len(json.dumps(inner))
        self._bytes_written += self._sizes[card.type]
        if self._bytes_written > MAX_BYTES:
            message = f"the workflow takes more than {MAX_BYTES:,} bytes once its subgraphs are expanded"
            hint = "use fewer or smaller subgraphs in ComfyUI, and save the workflow again"
            raise GraphError([Problem("too_large", message, hint=hint)])
        corner = card.position or [0, 0]
        inside = _Level((*level.cards, card.id), incoming, (corner[0], corner[1]), card.mode)
        outgoing = self.read_level(inner, inside)
        for (target, name), value in values.items():
            if (node := self.graph.nodes.get(f"{card.id}-{target}")) is not None:
                node.values[name] = value
        for number, source in outgoing.items():
            bypassed = card.mode == BYPASSED
            self.graph.stand_ins[Slot(card.id, number)] = (
                bypassed_source(card, number) if bypassed else source
            )


def _card_values(card: Mapping[str, Any], subgraph: Mapping[str, Any]) -> dict[tuple[str, str], Any]:
    """Return the values that the card of a subgraph sets, by id of the inner node and name of the value.

    The id `-1` stands for the subgraph's own inputs. `proxyWidgets` lists the values that a card sets.
    Without it, they are the subgraph's inputs that lead to a widget, in order; the card's own list of inputs
    may omit some of these.
    """
    properties = card.get("properties")
    listed = _list(properties.get("proxyWidgets") if isinstance(properties, dict) else None)
    names = [
        (str(pair[0]), str(pair[1])) for pair in listed if isinstance(pair, list) and len(pair) >= 2
    ] or [("-1", name) for name in _promoted_inputs(subgraph)]
    return dict(zip(names, _list(card.get("widgets_values")), strict=False))


def _promoted_inputs(subgraph: Mapping[str, Any]) -> list[str]:
    """Return the names of the subgraph's inputs that lead to a widget of an inner node, in order."""
    inner = {
        str(node.get("id")): _list(node.get("inputs"))
        for node in _list(subgraph.get("nodes"))
        if isinstance(node, dict)
    }
    promoted = set()
    for _, origin, origin_slot, target, target_slot in map(_wire, _list(subgraph.get("links"))):
        inputs = inner.get(str(target), [])
        if str(origin) == _INPUTS_ID and type(target_slot) is int and 0 <= target_slot < len(inputs):
            given = inputs[target_slot]
            if isinstance(given, dict) and isinstance(given.get("widget"), dict):
                promoted.add(origin_slot if type(origin_slot) is int else -1)
    ends = _list(subgraph.get("inputs"))
    return [
        str(end.get("name"))
        for number, end in enumerate(ends)
        if number in promoted and isinstance(end, dict)
    ]


def _wire(link: Any) -> tuple[Any, Any, Any, Any, Any]:
    """Return a wire's number, origin, origin slot, target and target slot, from either form in files."""
    if isinstance(link, list) and len(link) >= 5:
        number, origin, origin_slot, target, target_slot = link[:5]
        return number, origin, origin_slot, target, target_slot
    if isinstance(link, dict):
        keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
        number, origin, origin_slot, target, target_slot = (link.get(key) for key in keys)
        return number, origin, origin_slot, target, target_slot
    return None, None, None, None, None


def _position(given: Any, corner: tuple[int, int]) -> list[int] | None:
    if isinstance(given, dict):
        given = [given.get("0"), given.get("1")]
    if not isinstance(given, list) or len(given) < 2:
        return None
    sides = given[:2]
    if not all(type(side) in (int, float) and math.isfinite(side) for side in sides):
        return None
    position = [round(side) + start for side, start in zip(sides, corner, strict=True)]
    return position if max(map(abs, position)) <= MAX_DISTANCE else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
