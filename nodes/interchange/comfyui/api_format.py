"""Reads ComfyUI's API format, in which values have names."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any, TypeGuard

from nodes.interchange.comfyui.graph_data import ComfyGraph, ComfyNode, Slot, check_node_count
from nodes.interchange.import_problems import title_of


def is_api(tree: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether JSON is a workflow in the API format."""
    return isinstance(tree, dict) and any(map(_is_node, tree.values()))


def read_api(tree: Mapping[str, Any]) -> ComfyGraph:
    """Read the nodes of a workflow in the API format.

    Raises:
        GraphError: there are too many nodes.
    """
    graph = ComfyGraph()
    entries = {key: entry for key, entry in tree.items() if _is_node(entry)}
    check_node_count(len(entries))
    for key, entry in entries.items():
        meta = entry.get("_meta")
        title = title_of(meta.get("title")) if isinstance(meta, dict) else ""
        node = ComfyNode(key, entry["class_type"], title, from_api=True)
        inputs = entry.get("inputs")
        for name, value in inputs.items() if isinstance(inputs, dict) else ():
            if _is_wire(value) and str(value[0]) in entries:
                node.wires[name] = Slot(str(value[0]), value[1])
            else:
                node.values[name] = value
        graph.nodes[key] = node
    return graph


def take_values(graph: ComfyGraph, api: ComfyGraph) -> None:
    """Replace the values of a workflow's nodes by the named values in its API format."""
    for node in graph.nodes.values():
        same = api.nodes.get(node.id) or api.nodes.get(node.id.replace("-", ":"))
        if same is not None and same.type == node.type:
            if same.values:
                node.values.pop("widgets_values", None)
            node.values.update(same.values)
            node.from_api = True


def _is_node(entry: Any) -> bool:
    return isinstance(entry, dict) and isinstance(entry.get("class_type"), str)


def _is_wire(value: Any) -> bool:
    return isinstance(value, list) and len(value) == 2 and type(value[1]) is int
