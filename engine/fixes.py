"""Fixes of problems as data: small edits of a graph.

`document.fixing.fixed` applies one. Each fix names what it expects in the graph; if the graph has changed
since, the fix is not applied.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import asdict, dataclass
from typing import Any, Literal

Held = str | dict[str, str]
"""The content of an input, as graphs write it: a text, `{"from": "node.output"}` or `{"param": "name"}`."""


@dataclass(frozen=True, slots=True)
class SetInput:
    """Give an input another text, wire or graph input."""

    node: str
    input: str
    was: Held
    """The current value of the input."""
    to: Held
    kind: Literal["set_input"] = "set_input"


@dataclass(frozen=True, slots=True)
class Connect:
    """Connect an output to an input that holds nothing."""

    node: str
    input: str
    source: str
    """The output, as `node.output`."""
    kind: Literal["connect"] = "connect"


@dataclass(frozen=True, slots=True)
class RenameInput:
    """Move the content of an input to another input, which is empty."""

    node: str
    type: str
    """The type of the node now, as the document writes it."""
    input: str
    to: str
    kind: Literal["rename_input"] = "rename_input"


@dataclass(frozen=True, slots=True)
class RemoveInput:
    """Remove an input that the node's type does not have."""

    node: str
    type: str
    """The type of the node now, as the document writes it."""
    input: str
    kind: Literal["remove_input"] = "remove_input"


@dataclass(frozen=True, slots=True)
class SetType:
    """Give a node another type."""

    node: str
    was: str
    to: str
    kind: Literal["set_type"] = "set_type"


@dataclass(frozen=True, slots=True)
class InsertNode:
    """Insert a node on a wire."""

    node: str
    """The node at the end of the wire."""
    input: str
    source: str
    """The output that the wire comes from, as `node.output`."""
    type: str
    """The type of the new node."""
    enters: str
    """The input of the new node that takes the wire."""
    leaves: str
    """The output of the new node that goes on to the end of the wire."""
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
    """A fix as JSON, with its kind."""
    return asdict(fix)


def from_json(tree: Mapping[str, Any]) -> Fix:
    """Restore a fix from the JSON of `as_json`."""
    fix: Fix = _KINDS[tree["kind"]](**tree)
    return fix
