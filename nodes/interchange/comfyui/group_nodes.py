"""Converts ComfyUI's old group nodes (`workflow>Name`) to subgraphs.

A workflow keeps the nodes of a group under `extra.groupNodes`. The card of a group lists values that the
editor derived from them: the inputs without an inner wire, the outputs without an inner wire, and the values
of all inner nodes in a row. `web/extensions/core/groupNode.ts` of ComfyUI's editor has the rules.
"""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, NamedTuple

from nodes.interchange.comfyui.widget_values import WIDGETS, split_values

PREFIXES = ("workflow>", "workflow/")
"""The prefixes of the types of group nodes; `/` was used before 2024-08."""
MAX_GROUP_NODES = 1000

Place = tuple[int, int]
"""An input or output of an inner node: the node's number and the slot."""


def group_nodes(tree: Mapping[str, Any]) -> dict[str, GroupNode]:
    """Return the group nodes that a workflow defines, by type."""
    extra = tree.get("extra")
    listed = extra.get("groupNodes") if isinstance(extra, dict) else None
    groups = {}
    for name, data in listed.items() if isinstance(listed, dict) else ():
        if isinstance(data, dict) and isinstance(data.get("nodes"), list):
            group = GroupNode(data)
            groups.update({f"{prefix}{name}": group for prefix in PREFIXES})
    return groups


class GroupNode:
    """The definition of one group node."""

    def __init__(self, data: Mapping[str, Any]) -> None:
        nodes = [node if isinstance(node, dict) else {} for node in data["nodes"][:MAX_GROUP_NODES]]
        self._nodes = nodes
        self._config = data.get("config")
        self._wires: list[tuple[Place, Place]] = []
        for link in _list(data.get("links")):
            ends = link[:4] if isinstance(link, list) else []
            if len(ends) == 4 and all(type(end) is int for end in ends):
                origin, target = (ends[0], ends[1]), (ends[2], ends[3])
                if 0 <= origin[0] < len(nodes) and 0 <= target[0] < len(nodes):
                    self._wires.append((origin, target))
        external = set(map(_external_output, _list(data.get("external"))))
        self._used_outputs = {origin for origin, _ in self._wires} - external
        self._filled = {target for _, target in self._wires}
        inputs = [
            ((number, slot), given)
            for number, node in enumerate(nodes)
            for slot, given in enumerate(_list(node.get("inputs")))
            if isinstance(given, dict) and (number, slot) not in self._filled
        ]
        shown = [place for place, given in inputs if not _has_widget(given) and self._is_shown(place, given)]
        self._inputs = [*shown, *(place for place, given in inputs if _has_widget(given))]
        self._shown_count = len(shown)

    def slot_names(self, card: Mapping[str, Any]) -> list[str]:
        """Return the names of the card's inputs, in the order of the group's inputs."""
        given = [item for item in _list(card.get("inputs")) if isinstance(item, dict)]
        plain = [str(item.get("name")) for item in given if not _has_widget(item)]
        with_widget = [str(item.get("name")) for item in given if _has_widget(item)]
        names = plain[: self._shown_count]
        names += [""] * (self._shown_count - len(names))
        for number, slot in self._inputs[self._shown_count :]:
            own = str(self._nodes[number]["inputs"][slot].get("name"))
            match = next((name for name in with_widget if name == own or name.endswith(f" {own}")), "")
            names.append(match)
            if match:
                with_widget.remove(match)
        return names

    def as_subgraph(self, values: list[Any]) -> dict[str, Any]:
        """Convert the group to a subgraph, with the values of one card.

        Args:
            values: the values that the card lists.
        """
        own = self._with_values(values)
        nodes: list[dict[str, Any]] = []
        for number, node in enumerate(own):
            inputs = [
                {**given, "link": None} if isinstance(given, dict) else given
                for given in _list(node.get("inputs"))
            ]
            nodes.append({**node, "id": number, "inputs": inputs})
        links: list[list[Any]] = []

        def connect(origin: int, origin_slot: int, target: int, target_slot: int) -> None:
            links.append([len(links), origin, origin_slot, target, target_slot, "*"])
            if target >= 0 and target_slot < len(nodes[target]["inputs"]):
                given = nodes[target]["inputs"][target_slot]
                if isinstance(given, dict):
                    given["link"] = len(links) - 1

        for (origin, origin_slot), (target, target_slot) in self._wires:
            connect(origin, origin_slot, target, target_slot)
        for count, (number, slot) in enumerate(self._inputs):
            connect(-10, count, number, slot)
        for count, (number, slot) in enumerate(self._outputs()):
            connect(number, slot, -20, count)
        return {"nodes": nodes, "links": links}

    def _outputs(self) -> list[Place]:
        places = [
            (number, slot)
            for number, node in enumerate(self._nodes)
            for slot, _ in enumerate(_list(node.get("outputs")))
        ]
        return [place for place in places if self._is_output(place)]

    def _is_output(self, place: Place) -> bool:
        visible = _nested(self._config, place[0], "output", place[1], "visible")
        return visible if isinstance(visible, bool) else place not in self._used_outputs

    def _is_shown(self, place: Place, given: Mapping[str, Any]) -> bool:
        return _nested(self._config, place[0], "input", given.get("name"), "visible") is not False

    def _with_values(self, values: list[Any]) -> list[dict[str, Any]]:
        """Return the inner nodes with the values of a card, or with their own if the card lists too few.

        The card lists the values of all inner nodes in a row. Values that were converted to inputs come last,
        without those with a wire inside the group.
        """
        parts = [
            _ValuePart(number, name, own)
            for number, node in enumerate(self._nodes)
            if not self._is_unused_primitive(number)
            for name, own in _split_values(node)
        ]
        wired = {
            (number, str(given.get("name"))): (number, slot) in self._filled
            for number, node in enumerate(self._nodes)
            for slot, given in enumerate(_list(node.get("inputs")))
            if isinstance(given, dict) and _has_widget(given)
        }
        plain = [part for part in parts if (part.node, part.name) not in wired]
        turned = [part for part in parts if wired.get((part.node, part.name)) is False]
        left = list(values)
        for part in plain:
            if len(left) < len(part.values):
                return self._nodes
            part.values[:] = left[: len(part.values)]
            del left[: len(part.values)]
        for part in turned:
            if len(left) >= len(part.values):
                part.values[:] = left[: len(part.values)]
                del left[: len(part.values)]
        listed: dict[int, list[Any]] = {}
        for part in parts:
            listed.setdefault(part.node, []).extend(part.values)
        return [
            {**node, "widgets_values": listed[number]} if number in listed else node
            for number, node in enumerate(self._nodes)
        ]

    def _is_unused_primitive(self, number: int) -> bool:
        kind = self._nodes[number].get("type")
        return kind == "PrimitiveNode" and not any(origin[0] == number for origin, _ in self._wires)


class _ValuePart(NamedTuple):
    """One value of an inner node; for a seed, also the control word after it."""

    node: int
    name: str
    values: list[Any]


def _split_values(node: Mapping[str, Any]) -> list[tuple[str, list[Any]]]:
    """Return the values of an inner node with their names; a name that is not known is empty."""
    listed = node.get("widgets_values")
    if not isinstance(listed, list):
        return []
    split = split_values(WIDGETS.get(str(node.get("type")), ()), listed)
    rest = listed[sum(len(values) for _, values in split) :]
    return [*split, *(("", [value]) for value in rest)]


def _external_output(end: Any) -> Place | None:
    """Return an output that is also wired outside the group, from either form that files use."""
    if not isinstance(end, list) or len(end) < 2:
        return None
    number = end[0].get("index") if isinstance(end[0], dict) else end[0]
    return (number, end[1]) if type(number) is int and type(end[1]) is int else None


def _has_widget(given: Mapping[str, Any]) -> bool:
    return isinstance(given.get("widget"), dict)


def _nested(tree: Any, *keys: Any) -> Any:
    for key in keys:
        tree = tree.get(str(key)) if isinstance(tree, dict) else None
    return tree


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []
