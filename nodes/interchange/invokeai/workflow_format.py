"""Reads InvokeAI's workflows, in the editor's format and in that of a run (`invokeai_graph`)."""

from __future__ import annotations

import math
from collections.abc import Mapping
from dataclasses import dataclass, field
from typing import Any, TypeGuard

from engine.errors import GraphError, Problem
from nodes.interchange.import_problems import title_of

MAX_NODES = 10_000
MAX_DISTANCE = 10_000_000
"""Positions of nodes beyond this are not kept."""
_NOT_VALUES = ("id", "type", "is_intermediate", "use_cache", "workflow")


@dataclass
class Invocation:
    """A node of InvokeAI."""

    id: str
    type: str
    title: str = ""
    values: dict[str, Any] = field(default_factory=dict)
    wires: dict[str, tuple[str, str]] = field(default_factory=dict)
    """For each wired input, the node and the field that the wire comes from."""
    position: list[int] | None = None
    in_gallery: bool = False
    """Whether its picture is saved to the gallery."""


def is_workflow(tree: Any) -> TypeGuard[Mapping[str, Any]]:
    """Return whether JSON is a workflow of InvokeAI."""
    return (
        isinstance(tree, dict)
        and isinstance(tree.get("nodes"), list | dict)
        and isinstance(tree.get("edges"), list)
    )


def read_workflow(tree: Mapping[str, Any]) -> dict[str, Invocation]:
    """Read the nodes of a workflow, by id.

    Raises:
        GraphError: there are too many nodes.
    """
    listed = tree["nodes"] if isinstance(tree["nodes"], list) else list(tree["nodes"].values())
    if len(listed) > MAX_NODES:
        raise GraphError([Problem("too_large", f"the workflow has more than {MAX_NODES:,} nodes")])
    nodes = {}
    for data in listed:
        if isinstance(data, dict) and (node := _read_node(data)) is not None:
            nodes[node.id] = node
    for edge in tree["edges"]:
        if isinstance(edge, dict):
            source, source_field, target, target_field = _ends(edge)
            if source in nodes and target in nodes:
                nodes[target].wires[target_field] = source, source_field
    return nodes


def model_name_and_hash(model: Any) -> tuple[str, str | None]:
    """Return the name of a model, in the form of any version, and its hash (None if it is not a sha256)."""
    if not isinstance(model, dict):
        return model if isinstance(model, str) else "", None
    name = model.get("name", model.get("model_name", model.get("key")))
    algorithm, _, digits = str(model.get("hash")).rpartition(":")
    is_sha256 = algorithm in ("sha256", "sha256_single")
    return name if isinstance(name, str) else "", digits if is_sha256 else None


def _read_node(data: dict[str, Any]) -> Invocation | None:
    """Read a node; None for a note. The editor's format has the node under `data`; that of a run does not."""
    inner = data.get("data")
    if not isinstance(inner, dict):
        kind = data.get("type")
        if not _is_type(kind):
            return None
        values = {
            name: value for name, value in data.items() if name not in _NOT_VALUES and value is not None
        }
        in_gallery = data.get("is_intermediate") is False
        return Invocation(str(data.get("id")), kind, values=values, in_gallery=in_gallery)
    kind, inputs = inner.get("type"), inner.get("inputs")
    if not _is_type(kind) or data.get("type") == "notes":
        return None
    values = {
        name: item["value"]
        for name, item in (inputs.items() if isinstance(inputs, dict) else ())
        if isinstance(item, dict) and item.get("value") is not None
    }
    node = Invocation(str(data.get("id")), kind, title_of(inner.get("label")), values)
    node.in_gallery = inner.get("isIntermediate") is False
    node.position = _position(data.get("position"))
    return node


def _is_type(kind: Any) -> TypeGuard[str]:
    return isinstance(kind, str) and bool(kind)


def _position(given: Any) -> list[int] | None:
    sides: list[Any] = [given.get("x"), given.get("y")] if isinstance(given, dict) else []
    for side in sides:
        if type(side) not in (int, float) or not math.isfinite(side) or abs(side) >= MAX_DISTANCE:
            return None
    return [round(side) for side in sides] or None


def _ends(edge: dict[str, Any]) -> tuple[str, str, str, str]:
    """Return the source node and field, and the target node and field, of an edge."""
    source, target = edge.get("source"), edge.get("destination")
    if isinstance(source, dict) and isinstance(target, dict):
        ends = [end.get(key) for end in (source, target) for key in ("node_id", "field")]
    else:
        ends = [edge.get(key) for key in ("source", "sourceHandle", "target", "targetHandle")]
    first, second, third, fourth = map(str, ends)
    return first, second, third, fourth
