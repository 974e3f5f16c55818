"""ComfyUI's node types that merge models, and how each is converted."""

from __future__ import annotations

from collections.abc import Callable

from engine.document.graph import Entry
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.node_type import NodeType
from nodes.interchange.graph_from_settings import entry
from nodes.model.merge import MergeModels, MergeTextEncoders

_SIDES = ("model1", "model2")
_CLIPS = ("clip1", "clip2")


def _weighted(
    node_type: type[MergeModels | MergeTextEncoders], names: tuple[str, str]
) -> Callable[[ComfyConversion, ComfyNode], Entry]:
    """Make the conversion of a weighted sum; ComfyUI's ratio is the share of `a`, our amount that of `b`."""

    def convert(made: ComfyConversion, node: ComfyNode) -> Entry:
        a, b = (made.bind(node, name) for name in names)
        return entry(node_type, a=a, b=b, amount=round(1 - made.value(node, "ratio"), 6))

    return convert


def _has_ratio(made: ComfyConversion, node: ComfyNode) -> bool:
    ratio = made.value(node, "ratio")
    return isinstance(ratio, int | float) and 0 <= ratio <= 1


def _subtract(made: ComfyConversion, node: ComfyNode) -> Entry:
    a, b = (made.bind(node, name) for name in _SIDES)
    return entry(MergeModels, a=a, b=b, method="subtract", amount=made.bind(node, "multiplier"))


def _add(made: ComfyConversion, node: ComfyNode) -> Entry:
    a, b = (made.bind(node, name) for name in _SIDES)
    return entry(MergeModels, a=a, b=b, method="add", amount=1.0)


MERGE_NODE_TYPES = {
    "CLIPMergeSimple": NodeType("merge", _weighted(MergeTextEncoders, _CLIPS), fits=_has_ratio),
    "ModelMergeAdd": NodeType("merge", _add),
    "ModelMergeSimple": NodeType("merge", _weighted(MergeModels, _SIDES), fits=_has_ratio),
    "ModelMergeSubtract": NodeType("merge", _subtract),
}
"""ComfyUI's node types that merge models."""
