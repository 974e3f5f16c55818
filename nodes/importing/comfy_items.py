"""The nodes of a ComfyUI graph, read from either of its two forms into one.

The API form names every value. The editor's form (version 0.4, and 1 inside of subgraphs) has wires by
number and values by place: the order of the core nodes' widgets is that of ComfyUI in 2025-10, where a seed
is followed by what happens to it after a run. Of other nodes the places are named where the file says so, as
editors since 2025 do, and kept as one list where it does not.
"""

from __future__ import annotations

import itertools
import json
import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, NamedTuple, TypeGuard

from engine.errors import GraphError, Problem
from engine.strict_json import MAX_BYTES
from engine.values import Json
from nodes.importing.notes import label

MOST = 10_000
"""Nodes of one graph, those of its subgraphs counted as often as they are used."""
MOST_OUTPUTS = 64
DEEPEST = 8
FARTHEST = 10_000_000
"""Places of cards beyond this are not kept."""
MUTED, BYPASSED = 2, 4
INPUT_NODE, OUTPUT_NODE = "-10", "-20"
"""What a subgraph calls its own ends."""

_CONTROL = ("fixed", "increment", "decrement", "randomize", "increment-wrap")
WIDGETS = {
    "CheckpointLoaderSimple": ("ckpt_name",),
    "CheckpointLoader": ("config_name", "ckpt_name"),
    "CLIPTextEncode": ("text",),
    "CLIPSetLastLayer": ("stop_at_clip_layer",),
    "EmptyLatentImage": ("width", "height", "batch_size"),
    "ImageScale": ("upscale_method", "width", "height", "crop"),
    "KSampler": ("seed", "steps", "cfg", "sampler_name", "scheduler", "denoise"),
    "KSamplerAdvanced": (
        "add_noise",
        "noise_seed",
        "steps",
        "cfg",
        "sampler_name",
        "scheduler",
        "start_at_step",
        "end_at_step",
        "return_with_leftover_noise",
    ),
    "LoadImage": ("image", "upload"),
    "LoraLoader": ("lora_name", "strength_model", "strength_clip"),
    "LoraLoaderModelOnly": ("lora_name", "strength_model"),
    "SaveImage": ("filename_prefix",),
    "VAEDecodeTiled": ("tile_size", "overlap", "temporal_size", "temporal_overlap"),
    "VAEEncodeTiled": ("tile_size", "overlap", "temporal_size", "temporal_overlap"),
    "VAELoader": ("vae_name",),
}
"""The values of core nodes in the order in which the editor's form lists them."""
_SEEDS = ("seed", "noise_seed")


class Slot(NamedTuple):
    """An output of a node."""

    item: str
    slot: int


class Given(NamedTuple):
    """A value where a wire might be."""

    value: Json


Source = Slot | Given | None


@dataclass
class Item:
    """A node as ComfyUI has it."""

    id: str
    type: str
    title: str = ""
    values: dict[str, Json] = field(default_factory=dict)
    links: dict[str, Source] = field(default_factory=dict)
    kinds: dict[str, str] = field(default_factory=dict)
    """The wire types of its inputs, as far as they are known."""
    outputs: list[tuple[str, str]] = field(default_factory=list)
    """Name and wire type of each output, as far as they are known."""
    mode: int = 0
    place: list[int] | None = None


@dataclass
class Items:
    """All nodes of a graph."""

    items: dict[str, Item] = field(default_factory=dict)
    stands: dict[Slot, Source] = field(default_factory=dict)
    """What really comes out of the outputs of subgraphs."""


def is_api(tree: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether JSON is a graph in the API form."""
    return isinstance(tree, dict) and any(
        isinstance(node, dict) and isinstance(node.get("class_type"), str) for node in tree.values()
    )


def is_workflow(tree: Any) -> TypeGuard[Mapping[str, Any]]:
    """Whether JSON is a graph in the editor's form."""
    return (
        isinstance(tree, dict) and isinstance(tree.get("nodes"), list) and isinstance(tree.get("links"), list)
    )


def from_api(tree: Mapping[str, Any]) -> Items:
    """The nodes of a graph in the API form.

    Raises:
        GraphError: there are too many.
    """
    found = Items()
    nodes = {
        key: node
        for key, node in tree.items()
        if isinstance(node, dict) and isinstance(node.get("class_type"), str)
    }
    _bounded(len(nodes))
    for key, node in nodes.items():
        meta = node.get("_meta")
        item = Item(key, node["class_type"], label(meta.get("title")) if isinstance(meta, dict) else "")
        inputs = node.get("inputs")
        for name, value in inputs.items() if isinstance(inputs, dict) else ():
            if (
                isinstance(value, list)
                and len(value) == 2
                and type(value[1]) is int
                and str(value[0]) in nodes
            ):
                item.links[name] = Slot(str(value[0]), value[1])
            else:
                item.values[name] = value
        found.items[key] = item
    return found


def from_workflow(tree: Mapping[str, Any]) -> Items:
    """The nodes of a graph in the editor's form, with subgraphs written out.

    Raises:
        GraphError: there are too many, or subgraphs within subgraphs without end.
    """
    reader = _Workflow(tree)
    reader.level(tree, "", {}, [0, 0], 0, 0)
    return reader.found


def named(items: Items, api: Items) -> None:
    """Take values by name from the API form of the same graph, which says them for certain."""
    for item in items.items.values():
        same = api.items.get(item.id) or api.items.get(item.id.replace("-", ":"))
        if same is not None and same.type == item.type:
            if same.values:
                item.values.pop("widgets_values", None)
            item.values.update(same.values)


class _Workflow:
    """Reads the editor's form."""

    def __init__(self, tree: Mapping[str, Any]) -> None:
        self.found = Items()
        definitions = tree.get("definitions")
        listed = definitions.get("subgraphs") if isinstance(definitions, dict) else None
        self._subgraphs = {
            str(item.get("id")): item for item in _list(listed) if isinstance(item, dict) and "nodes" in item
        }
        self._count = 0
        self._sizes: dict[str, int] = {}
        self._written = 0

    def level(
        self,
        tree: Mapping[str, Any],
        prefix: str,
        incoming: Mapping[int, Source],
        corner: list[int],
        mode: int,
        depth: int,
    ) -> dict[int, Source]:
        """Read the nodes of a graph or a subgraph; what comes out of a subgraph, by place."""
        if depth > DEEPEST:
            message = f"subgraphs lie within subgraphs more than {DEEPEST} deep"
            raise GraphError([Problem("too_deep", message)])
        ends = {}
        outgoing: dict[int, Source] = {}

        def source(origin: Any, slot: Any) -> Source:
            if type(slot) is not int:
                return None
            return incoming.get(slot) if str(origin) == INPUT_NODE else Slot(f"{prefix}{origin}", slot)

        for link in _list(tree.get("links")):
            if isinstance(link, list) and len(link) >= 5:
                number, origin, slot, target, place = link[:5]
            elif isinstance(link, dict):
                keys = ("id", "origin_id", "origin_slot", "target_id", "target_slot")
                number, origin, slot, target, place = (link.get(key) for key in keys)
            else:
                continue
            if isinstance(number, int | str):
                ends[number] = source(origin, slot)
            if str(target) == OUTPUT_NODE and type(place) is int:
                outgoing[place] = source(origin, slot)
        for node in _list(tree.get("nodes")):
            if isinstance(node, dict) and isinstance(node.get("type"), str):
                self._count += 1
                _bounded(self._count)
                self._node(node, prefix, ends, corner, mode, depth)
        return outgoing

    def _node(
        self,
        node: dict[str, Any],
        prefix: str,
        ends: Mapping[Any, Source],
        corner: list[int],
        mode: int,
        depth: int,
    ) -> None:
        item = Item(f"{prefix}{node.get('id')}", node["type"], label(node.get("title")))
        own = node.get("mode")
        item.mode = mode or (own if own in (MUTED, BYPASSED) else 0)
        item.place = _place(node.get("pos"), corner)
        widgets = []
        for given in _list(node.get("inputs")):
            if not isinstance(given, dict) or not isinstance(given.get("name"), str):
                continue
            name, link = given["name"], given.get("link")
            item.kinds[name] = str(given.get("type"))
            if isinstance(given.get("widget"), dict):
                widgets.append(str(given["widget"].get("name") or name))
            if isinstance(link, int | str) and link in ends:
                item.links[name] = ends[link]
        for given in _list(node.get("outputs"))[:MOST_OUTPUTS]:
            if isinstance(given, dict):
                item.outputs.append((label(given.get("name")), str(given.get("type"))))
        inner = self._subgraphs.get(item.type)
        if inner is None:
            item.values = _values(item.type, node.get("widgets_values"), widgets)
            self.found.items[item.id] = item
        else:
            self._subgraph(item, node, inner, widgets, depth)

    def _subgraph(
        self, item: Item, node: dict[str, Any], inner: dict[str, Any], widgets: list[str], depth: int
    ) -> None:
        """Write a subgraph out in place of the node that uses it."""
        if item.type not in self._sizes:
            self._sizes[item.type] = len(json.dumps(inner))
        self._written += self._sizes[item.type]
        if self._written > MAX_BYTES:
            message = f"its subgraphs written out are larger than {MAX_BYTES:,} bytes"
            raise GraphError([Problem("too_large", message)])
        properties = node.get("properties")
        proxies = [
            (str(pair[0]), str(pair[1]))
            for pair in _list(properties.get("proxyWidgets") if isinstance(properties, dict) else None)
            if isinstance(pair, list) and len(pair) >= 2
        ]
        proxies = proxies or [("-1", name) for name in widgets]
        values = dict(zip(proxies, _list(node.get("widgets_values")), strict=False))
        incoming: dict[int, Source] = {}
        for place, end in enumerate(_list(inner.get("inputs"))):
            name = str(end.get("name")) if isinstance(end, dict) else ""
            given = values.get(("-1", name))
            incoming[place] = item.links.get(name) or (None if given is None else Given(given))
        outgoing = self.level(inner, f"{item.id}-", incoming, item.place or [0, 0], item.mode, depth + 1)
        for (target, name), value in values.items():
            if (changed := self.found.items.get(f"{item.id}-{target}")) is not None:
                changed.values[name] = value
        for place, source in outgoing.items():
            bypassed = item.mode == BYPASSED
            self.found.stands[Slot(item.id, place)] = passed(item, place) if bypassed else source


def passed(item: Item, slot: int) -> Source:
    """What a node that is bypassed hands on: a wire of the output's type, that of its place before others."""
    if slot >= len(item.outputs):
        return None
    wanted = item.outputs[slot][1]
    names = list(itertools.islice(item.kinds, MOST_OUTPUTS))
    ahead = [*names[slot : slot + 1], *names]
    return next(
        (item.links[name] for name in ahead if item.kinds[name] == wanted and name in item.links), None
    )


def _values(kind: str, given: Any, widgets: list[str]) -> dict[str, Json]:
    if isinstance(given, dict):
        return {str(name): value for name, value in given.items()}
    listed = _list(given)
    if not listed:
        return {}
    if kind in WIDGETS:
        ahead = list(listed)
        values: dict[str, Json] = {}
        for name in WIDGETS[kind]:
            if not ahead:
                break
            values[name] = ahead.pop(0)
            # What happens to a seed after a run: a word, or in the first months of 2023 a yes or no.
            if name in _SEEDS and ahead and (ahead[0] in _CONTROL or isinstance(ahead[0], bool)):
                ahead.pop(0)
        return values
    if len(widgets) == len(listed):
        return dict(zip(widgets, listed, strict=True))
    return {"widgets_values": listed}


def _place(given: Any, corner: list[int]) -> list[int] | None:
    if isinstance(given, dict):
        given = [given.get("0"), given.get("1")]
    if not isinstance(given, list) or len(given) < 2:
        return None
    sides = given[:2]
    if not all(type(side) in (int, float) and math.isfinite(side) for side in sides):
        return None
    place = [round(side) + start for side, start in zip(sides, corner, strict=True)]
    return place if max(map(abs, place)) <= FARTHEST else None


def _list(value: Any) -> list[Any]:
    return value if isinstance(value, list) else []


def _bounded(count: int) -> None:
    if count > MOST:
        raise GraphError([Problem("too_large", f"it has more than {MOST:,} nodes")])
