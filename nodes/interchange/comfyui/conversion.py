"""The state of converting one ComfyUI graph: follows wires and binds inputs."""

from __future__ import annotations

import re
from typing import Any

from engine.document.graph import Binding, From, Literal
from nodes.image.mask import InvertMask
from nodes.interchange.comfyui.graph_data import ComfyGraph, ComfyNode, Given, Slot
from nodes.interchange.comfyui.wires import CLIP_SKIP, Wires
from nodes.interchange.graph_builder import GraphBuilder, output_name
from nodes.interchange.graph_from_settings import entry
from nodes.interchange.import_problems import ImportProblems
from nodes.interchange.local_files import LocalFiles
from nodes.model.embeddings import LoadEmbeddings

LOADERS = ("CheckpointLoaderSimple", "CheckpointLoader")
ENCODER_LOADERS = ("CLIPLoader", "DualCLIPLoader", "TripleCLIPLoader")
_EMBEDDING = re.compile(r"embedding:([^\s,():]{1,200})")


class ComfyConversion(GraphBuilder):
    """A Safelight graph under construction from a ComfyUI graph.

    Args:
        source: the ComfyUI graph.
        files: finds models, LoRAs, embeddings and pictures.
        problems: receives the warnings.
    """

    def __init__(self, source: ComfyGraph, files: LocalFiles, problems: ImportProblems) -> None:
        super().__init__(files, problems, "comfy")
        self.ids: dict[str, str] = {}
        """Our id of each converted ComfyUI node."""
        self.savers: dict[str, str] = {}
        """For each output of the graph, the id of the ComfyUI node that saves it."""
        self.outputs: dict[str, tuple[str, ...]] = {}
        """The names of the outputs of each node's counterpart."""
        self._nodes = source.nodes
        self._wires = Wires(source, lambda node: node.id in self.ids)
        self.inverted: set[From] = set()
        """Outputs that are masks of the opposite meaning in ComfyUI."""
        self._encoders: dict[From, From] = {}
        self._inversions: dict[From, From] = {}
        self._wired: set[Slot] | None = None

    def bind(self, node: ComfyNode, name: str) -> Binding | None:
        """Return the binding of an input: an output of our graph, or the value that ComfyUI would use."""
        if name in node.wires:
            source = self._wires.origin(node.wires[name])
            if isinstance(source, Given):
                return self.spread(source.value)
            if source is not None and source.node in self.ids:
                return self._as_in_comfyui(From(self.ids[source.node], self._output(source)))
        value = node.values.get(name)
        return None if value is None else Literal(value)

    def value(self, node: ComfyNode, name: str) -> Any:
        """Return the value of an input; None if another node computes it during the run.

        A value that comes over a wire takes precedence over the node's own value, which is outdated.
        """
        binding = self.bind(node, name)
        return binding.value if isinstance(binding, Literal) else None

    def source(self, node: ComfyNode, name: str) -> tuple[ComfyNode, int] | None:
        """Find the node that an input's wire comes from, and the number of its output; None for a value."""
        found = self._wires.origin(node.wires.get(name))
        return (self._nodes[found.node], found.slot) if isinstance(found, Slot) else None

    def is_wired(self, node: ComfyNode, slot: int) -> bool:
        """Return whether an output of a node is wired to another node."""
        if self._wired is None:
            wires = (wire for other in self._nodes.values() for wire in other.wires.values())
            self._wired = {found for wire in wires if isinstance(found := self._wires.origin(wire), Slot)}
        return Slot(node.id, slot) in self._wired

    def text(self, node: ComfyNode, name: str) -> str:
        """Return the text of an input; empty if it is not text or not known before the run."""
        value = self.value(node, name)
        return value if isinstance(value, str) else ""

    def is_from_server(self, node: ComfyNode, name: str) -> bool:
        """Return whether a text is used unchanged: the editor does not resolve its comments and choices."""
        source = self._wires.origin(node.wires.get(name))
        return node.from_api or (isinstance(source, Given) and source.from_server)

    def clip_skip(self, node: ComfyNode) -> int | None:
        """Return the clip skip of a prompt, from the nearest CLIPSetLastLayer before it; None without one."""
        for before in self._wires.chain(node.wires.get("clip"), "clip"):
            if before.type == CLIP_SKIP and not before.mode:
                layer = self.value(before, "stop_at_clip_layer")
                skip = -layer if type(layer) is int else layer
                return self.problems.whole("stop_at_clip_layer", skip, 1, 12)
        return None

    def encoder_of_model(self, node: ComfyNode) -> From | None:
        """Find the text encoder of the checkpoint that a node's model comes from, or else one that the graph
        loads from files of its own; None if there is none.

        It is for nodes that have no input for a text encoder.
        """
        for before in self._wires.chain(node.wires.get("model"), "model"):
            if before.type in LOADERS and before.id in self.ids:
                return From(self.ids[before.id], "encoder")
        loaded = (node.id for node in self._nodes.values() if node.type in ENCODER_LOADERS)
        return next((From(self.ids[id], "out") for id in loaded if id in self.ids), None)

    def encoder_with_embeddings(self, encoder: Binding | None, text: str) -> Binding | None:
        """Return the text encoder for a prompt; adds a node that loads embeddings if the prompt names any."""
        written = _EMBEDDING.findall(text)
        if not isinstance(encoder, From) or not written:
            return encoder
        self.files.embeddings("", {self.files.embedding_name(name): "" for name in written})
        if encoder not in self._encoders:
            id = self.new_id("embeddings", encoder.node)
            self.graph.nodes[id] = entry(LoadEmbeddings, encoder=encoder)
            self._encoders[encoder] = From(id, "out")
        return self._encoders[encoder]

    def _as_in_comfyui(self, link: From) -> From:
        """Return an output with its meaning in ComfyUI; if a mask has the opposite one, add an InvertMask."""
        if link not in self.inverted:
            return link
        if link not in self._inversions:
            id = self.new_id("invert", link.node)
            self.graph.nodes[id] = entry(InvertMask, mask=link)
            self._inversions[link] = From(id, "out")
        return self._inversions[link]

    def _output(self, source: Slot) -> str:
        outputs = self.outputs.get(source.node, ())
        if source.slot < 0:
            return "0"
        if source.slot < len(outputs):
            return outputs[source.slot]
        return output_name([name for name, _ in self._nodes[source.node].outputs], source.slot)
