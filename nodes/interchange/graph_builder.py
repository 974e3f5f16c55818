"""Builds a graph from another tool's node graph: node ids, placeholders, graph inputs and outputs."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

from engine.document.graph import Entry, From, Graph, GraphInput, Literal, Param
from nodes.image.load_image import LoadImage
from nodes.interchange.graph_from_settings import (
    INPUT_HELP,
    binding,
    entry,
    model_input,
    warn_of_clip_skip,
)
from nodes.interchange.import_problems import ImportProblems, one_line
from nodes.interchange.local_files import LocalFiles
from nodes.latent.latents import EmptyLatent
from nodes.model.load import LoadModel
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sampling.denoise import Denoise

MAX_SPREAD = 8 << 20
"""The most characters of values that wires may copy into nodes, in total."""

_NOT_IN_ID = re.compile(r"[^A-Za-z0-9_-]+")
_NOT_IN_TYPE = re.compile(r"[^A-Za-z0-9_./-]+")
_NOT_IN_OUTPUT = re.compile(r"[^\w -]+")


class GraphBuilder:
    """A graph under construction.

    Args:
        files: finds models and pictures.
        problems: receives a warning for everything that Safelight does not support.
        program: the prefix of the types of unknown nodes, such as `comfy`.
    """

    def __init__(self, files: LocalFiles, problems: ImportProblems, program: str) -> None:
        self.graph = Graph()
        self.files, self.problems = files, problems
        self._program = program
        self._counts: dict[tuple[int, str], int] = {}
        self._left_to_spread = MAX_SPREAD

    def new_id(self, name: str, key: str) -> str:
        """Return a new node id, made from the node's kind and its id in the other tool."""
        parts = (_NOT_IN_ID.sub("-", name).strip("-")[:30], _NOT_IN_ID.sub("-", key).strip("-")[:24])
        stem = "-".join(filter(None, parts)) or "node"
        return self._free(stem, self.graph.nodes)

    def model(self, name: str, hash: str | None = None) -> Entry:
        """Make a LoadModel node, and add a graph input that chooses the model."""
        param = self._free("model", self.graph.inputs)
        self.graph.inputs[param] = model_input(self.files, name, hash)
        return entry(LoadModel, model=Param(param))

    def picture(self, name: str) -> Entry:
        """Make a LoadImage node, and add a graph input that chooses the picture."""
        param = self._free("image", self.graph.inputs)
        file = self.files.picture(name)
        original = f"; the workflow names {one_line(name)}" if name and file is None else ""
        self.graph.inputs[param] = GraphInput(
            "file", file, file is None, f"The picture to start from{original}"
        )
        return entry(LoadImage, image=Param(param))

    def placeholder(self, kind: str, inputs: Mapping[str, Any], node: str, *, off: bool = False) -> Entry:
        """Make a placeholder: a node of an unknown type with all its values and wires.

        A graph with placeholders can be opened and saved, but they cannot run.
        """
        type_name = _NOT_IN_TYPE.sub("_", kind)[:100].strip("./") or "node"
        if not off:
            message = (
                f"{node}: Safelight does not support the node type {one_line(kind)}; the node is kept, but"
                " cannot run"
            )
            self.problems.warn("unknown_node", message)
        bindings = {name: binding(value) for name, value in inputs.items() if value is not None}
        title = one_line(kind) if type_name != kind else ""
        return Entry(f"{self._program}/{type_name}", bindings, title)

    def spread(self, value: Any) -> Literal | None:
        """Make a literal of a value that a wire brings; None for lists and dicts.

        Also None once all such copies together have more than `MAX_SPREAD` characters.
        """
        if not isinstance(value, str | int | float | bool):
            return None
        before = self._left_to_spread
        self._left_to_spread -= len(value) if isinstance(value, str) else 8
        if self._left_to_spread >= 0:
            return Literal(value)
        if before >= 0:
            self.problems.warn(
                "too_large",
                f"wires copy more than {MAX_SPREAD:,} characters into nodes; the rest is left out",
            )
        return None

    def output(self, name: str, link: From) -> str:
        """Declare an output of the graph; returns its name."""
        free = self._free(name, self.graph.outputs)
        self.graph.outputs[free] = link
        return free

    def declare_inputs(self) -> None:
        """Make the usual settings of the first Denoise node (prompt, seed, steps …) inputs of the graph."""
        nodes = self.graph.nodes
        denoise_type = Denoise.node_type.id
        samplers = [name for name, node in nodes.items() if node.type == denoise_type and not node.off]
        from_noise = [name for name in samplers if self._wired_node(name, "latent", EmptyLatent) is not None]
        for name in (from_noise or samplers)[:1]:
            for param, side in (("prompt", "positive"), ("negative", "negative")):
                self._declare(self._wired_node(name, side, EncodePrompt), "prompt", param, "text")
            for input, kind in (("seed", "seed"), ("steps", "int"), ("guidance", "float")):
                self._declare(name, input, input, kind)
            for side in ("width", "height"):
                self._declare(self._wired_node(name, "latent", EmptyLatent), side, side, "int")
        warn_of_clip_skip(self.graph, self.problems)
        first = [name for name in ("prompt", "negative") if name in self.graph.inputs]
        ordered = dict.fromkeys([*first, *self.graph.inputs])
        self.graph.inputs = {name: self.graph.inputs[name] for name in ordered}

    def _wired_node(self, node: str, input: str, node_type: type[Any]) -> str | None:
        """Return the id of the node wired into an input; None if it is not of the given type."""
        link = self.graph.nodes[node].inputs.get(input)
        if not isinstance(link, From):
            return None
        source = self.graph.nodes.get(link.node)
        return link.node if source is not None and source.type == node_type.node_type.id else None

    def _declare(self, node: str | None, input: str, param: str, kind: str) -> None:
        value = self.graph.nodes[node].inputs.get(input) if node is not None else None
        if node is not None and isinstance(value, Literal) and param not in self.graph.inputs:
            self.graph.inputs[param] = GraphInput(kind, value.value, False, INPUT_HELP[param])
            self.graph.nodes[node].inputs[input] = Param(param)

    def _free(self, name: str, taken: Container[str]) -> str:
        count = self._counts.get((id(taken), name), 0) + 1
        while (free := name if count == 1 else f"{name}-{count}") in taken:
            count += 1
        self._counts[id(taken), name] = count
        return free


def output_name(names: list[str], slot: int) -> str:
    """Return the name of an unknown node's output; if it is missing or repeated, its number is added."""
    name = _NOT_IN_OUTPUT.sub("_", names[slot]).strip() if 0 <= slot < len(names) else ""
    return name if name and names.index(names[slot]) == slot else f"{name}{slot}"
