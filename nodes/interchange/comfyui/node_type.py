"""NodeType: how one node type of ComfyUI is converted."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Any

from engine.document.graph import Entry
from engine.node import Node
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.graph_from_settings import entry


def always(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return True: the counterpart does the same with all values."""
    return True


@dataclass(frozen=True)
class NodeType:
    """A node type of ComfyUI with a counterpart."""

    name: str
    """The prefix of the ids of these nodes in our graph."""
    convert: Callable[[ComfyConversion, ComfyNode], Entry]
    outputs: tuple[str, ...] = ("out",)
    """The names of the counterpart's outputs, in ComfyUI's order."""
    fits: Callable[[ComfyConversion, ComfyNode], bool] = always
    """Returns whether the counterpart does the same with the node's values. If not, the node becomes a
    placeholder."""
    inverted: tuple[str, ...] = ()
    """The outputs that are masks with the opposite meaning in ComfyUI; an InvertMask is added after them."""


def renamed(node_type: type[Node], **inputs: str) -> Callable[[ComfyConversion, ComfyNode], Entry]:
    """Make the conversion of a node whose inputs only have other names: `ours="theirs"`."""

    def convert(made: ComfyConversion, node: ComfyNode) -> Entry:
        return entry(node_type, **{ours: made.bind(node, theirs) for ours, theirs in inputs.items()})

    return convert


def one_of(name: str, *values: Any) -> Callable[[ComfyConversion, ComfyNode], bool]:
    """Make a condition for `NodeType.fits`: a setting has one of these values, known before the run."""

    def fits(made: ComfyConversion, node: ComfyNode) -> bool:
        return made.value(node, name) in values

    return fits
