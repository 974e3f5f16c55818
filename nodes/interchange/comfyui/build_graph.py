"""Converts a ComfyUI graph: a node for each node, and graph outputs for nodes that save pictures."""

from __future__ import annotations

from collections.abc import Iterable, Mapping

from engine.document.graph import Entry, From
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.custom_sampling import SETTING_NODES
from nodes.interchange.comfyui.graph_data import ComfyGraph, ComfyNode
from nodes.interchange.comfyui.node_type import NodeType
from nodes.interchange.comfyui.node_types import NODE_TYPES
from nodes.interchange.comfyui.wires import CLIP_SKIP, GETTERS, PRIMITIVES, REROUTES, SETTERS
from nodes.interchange.import_problems import ImportProblems
from nodes.interchange.local_files import LocalFiles

_SAVERS = {"SaveImage": "image", "PreviewImage": "preview"}
_NOT_KEPT = frozenset(
    {"Note", "MarkdownNote", CLIP_SKIP, *REROUTES, *SETTERS, *GETTERS, *PRIMITIVES, *_SAVERS}
)
"""Types that are not converted to nodes: notes, parts of wires, settings of other nodes, and graph
outputs."""


def build_graph(source: ComfyGraph, files: LocalFiles, problems: ImportProblems) -> ComfyConversion:
    """Convert a ComfyUI graph to a Safelight graph, which is the `graph` of the conversion.

    Args:
        source: the ComfyUI graph.
        files: finds models, LoRAs, embeddings and pictures.
        problems: receives a warning for each difference and each missing file.
    """
    made = ComfyConversion(source, files, problems)
    kept = [node for node in source.nodes.values() if node.type not in _NOT_KEPT]
    for node in kept:
        known = NODE_TYPES.get(node.type)
        made.ids[node.id] = made.new_id(node.type if known is None else known.name, node.id)
        made.graph.nodes[made.ids[node.id]] = Entry("")  # in the order of the file
    counterparts = {node.id: _counterpart(made, node) for node in kept}
    merged = _merged(made, kept, counterparts)
    for id in merged:
        del made.graph.nodes[made.ids.pop(id)]
    kept = [node for node in kept if node.id not in merged]
    for node in kept:
        known = counterparts[node.id]
        made.outputs[node.id] = known.outputs if known is not None else ()
        inverted = known.inverted if known is not None else ()
        made.inverted |= {From(made.ids[node.id], name) for name in inverted}
    for node in kept:
        known = counterparts[node.id]
        converted = _placeholder(made, node) if known is None else known.convert(made, node)
        converted.off = bool(node.mode)
        converted.title = converted.title or (node.title if node.title != node.type else "")
        made.graph.nodes[made.ids[node.id]] = converted
        if node.position is not None:
            made.graph.layout[made.ids[node.id]] = node.position
    for node in source.nodes.values():
        if node.type in _SAVERS and not node.mode and isinstance(link := made.bind(node, "images"), From):
            made.savers[made.output(_SAVERS[node.type], link)] = node.id
    if not made.graph.outputs:
        message, hint = "the workflow does not save or show a picture", "declare an output of the graph"
        problems.warn("no_output", message, hint)
    made.declare_inputs()
    return made


def _counterpart(made: ComfyConversion, node: ComfyNode) -> NodeType | None:
    known = NODE_TYPES.get(node.type)
    return known if known is not None and known.fits(made, node) else None


def _merged(
    made: ComfyConversion, kept: Iterable[ComfyNode], counterparts: Mapping[str, NodeType | None]
) -> set[str]:
    """Return the ids of the nodes whose settings become inputs of a Denoise, so that they are left out."""
    settings = {node.id for node in kept if node.type in SETTING_NODES}
    left = [node for node in kept if node.id not in settings and counterparts[node.id] is None]
    while left:
        node = left.pop()
        before = [source[0] for name in node.wires if (source := made.source(node, name)) is not None]
        left += [needed for needed in before if needed.id in settings]
        settings -= {needed.id for needed in before}
    return settings


def _placeholder(made: ComfyConversion, node: ComfyNode) -> Entry:
    names = [*node.values, *(name for name in node.wires if name not in node.values)]
    inputs = {name: made.bind(node, name) for name in names}
    return made.placeholder(node.type, inputs, made.ids[node.id], off=bool(node.mode))
