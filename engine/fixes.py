"""Fixes: small edits of a graph, each of which solves a problem, as data.

`document.fixing.fixed` applies a fix. Each fix contains what it expects to find in the graph; if the graph
has changed since the fix was made, the fix is not applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Held = str | dict[str, str]
"""The content of an input as in a graph's JSON: a text, `{"from": "node.output"}` or `{"param": "name"}`."""


@dataclass(frozen=True, slots=True)
class SetInput:
    """Replace the content of an input by another text, a wire or a graph input."""

    node: str
    input: str
    was: Held
    """The current value of the input."""
    to: Held
    kind: Literal["set_input"] = "set_input"


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect an output to an empty input."""

    node: str
    input: str
    source: str
    """The output, as `node.output`."""
    kind: Literal["connect"] = "connect"


@dataclass(frozen=True, slots=True)
class RenameInput:
    """Move the content of an input to another, empty input of the same node."""

    node: str
    type: str
    """The type of the node now, as the document writes it."""
    input: str
    to: str
    kind: Literal["rename_input"] = "rename_input"


@dataclass(frozen=True, slots=True)
class RemoveInput:
    """Remove an input that the type of the node does not have."""

    node: str
    type: str
    """The type of the node now, as the document writes it."""
    input: str
    kind: Literal["remove_input"] = "remove_input"


@dataclass(frozen=True, slots=True)
class SetType:
    """Change the type of a node."""

    node: str
    was: str
    to: str
    kind: Literal["set_type"] = "set_type"


@dataclass(frozen=True, slots=True)
class InsertNode:
    """Insert a new node into a wire."""

    node: str
    """The id of the node at which the wire ends."""
    input: str
    source: str
    """The output at which the wire begins, as `node.output`."""
    type: str
    """The type of the new node."""
    enters: str
    """The input of the new node that is connected to `source`."""
    leaves: str
    """The output of the new node that is connected to `node` and `input`."""
    kind: Literal["insert_node"] = "insert_node"


Fix = SetInput | Connect | RenameInput | RemoveInput | SetType | InsertNode

_KINDS: dict[str, Any] = {
    "set_input": SetInput,
    "connect": Connect,
    "rename_input": RenameInput,
    "remove_input": RemoveInput,
    "set_type": SetType,
    "insert_node": InsertNode,
}


def as_json(fix: Fix) -> dict[str, Any]:
    """Convert a fix to JSON: its kind under `kind`, and its fields."""
    return asdict(fix)


def from_json(tree: Mapping[str, Any]) -> Fix:
    """Restore a fix from the JSON of `as_json`."""
    fix: Fix = _KINDS[tree["kind"]](**tree)
    return fix
