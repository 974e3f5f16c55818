"""Puts a foreign graph together node by node: ids, placeholders, inputs of the graph, outputs."""

from __future__ import annotations

import re
from collections.abc import Container, Mapping
from typing import Any

from engine.graph import Entry, From, Graph, GraphInput, Literal, Param
from nodes.denoise import Denoise
from nodes.image import LoadImage
from nodes.importing.notes import Notes, told
from nodes.importing.recipe import DOCS, bound, entry, model_input
from nodes.importing.shelf import Shelf
from nodes.latent import EmptyLatent
from nodes.load import LoadModel
from nodes.prompt import EncodePrompt

HOPS = 200
"""How far a wire is followed past bends and settings; real graphs have a handful."""

_NO_ID = re.compile(r"[^A-Za-z0-9_-]+")
_NO_TYPE = re.compile(r"[^A-Za-z0-9_./-]+")
_NO_OUTPUT = re.compile(r"[^\w -]+")


class Placed:
    """A graph under way.

    Args:
        shelf: finds models and pictures.
        notes: is told what has no counterpart.
        program: what types of unknown nodes begin with, as of a pack: `comfy`.
    """

    def __init__(self, shelf: Shelf, notes: Notes, program: str) -> None:
        self.graph = Graph()
        self.shelf, self.notes = shelf, notes
        self._program = program
        self._counts: dict[tuple[int, str], int] = {}

    def id(self, name: str, key: str) -> str:
        """A free id for a node, made of what it is and of what its own program calls it."""
        parts = (_NO_ID.sub("-", name).strip("-")[:30], _NO_ID.sub("-", key).strip("-")[:24])
        stem = "-".join(filter(None, parts)) or "node"
        return self._free(stem, self.graph.nodes)

    def model(self, name: str, hash: str | None = None) -> Entry:
        """The node of a model, which becomes an input of the graph."""
        param = self._free("model", self.graph.inputs)
        self.graph.inputs[param] = model_input(self.shelf, name, hash)
        return entry(LoadModel, model=Param(param))

    def picture(self, name: str) -> Entry:
        """The node of a picture, which becomes an input of the graph."""
        param = self._free("image", self.graph.inputs)
        found = self.shelf.picture(name)
        doc = "The picture to begin with" + (f"; it was {told(name)}" if name and found is None else "")
        self.graph.inputs[param] = GraphInput("file", found, found is None, doc)
        return entry(LoadImage, image=Param(param))

    def placeholder(self, kind: str, inputs: Mapping[str, Any], node: str, *, off: bool = False) -> Entry:
        """A node of a type that is not known here, with all that it holds; it loads and saves unharmed."""
        plain = _NO_TYPE.sub("_", kind)[:100].strip("./") or "node"
        if not off:
            message = f"{node}: {told(kind)} has no counterpart here and is kept as it is; it cannot be run"
            self.notes.say("unknown_node", message)
        held = {name: bound(value) for name, value in inputs.items() if value is not None}
        return Entry(f"{self._program}/{plain}", held, told(kind) if plain != kind else "")

    def output(self, name: str, link: From) -> None:
        """Declare an output of the graph."""
        self.graph.outputs[self._free(name, self.graph.outputs)] = link

    def declare(self) -> None:
        """Make inputs of the graph out of what a person changes most: those of its first sampler."""
        nodes = self.graph.nodes
        kind = Denoise.node_type.id
        samplers = [name for name, node in nodes.items() if node.type == kind and not node.off]
        fresh = [
            name for name in samplers if self._wired(name, "latent", EmptyLatent.node_type.id) is not None
        ]
        for name in (fresh or samplers)[:1]:
            for place, end in (("prompt", "positive"), ("negative", "negative")):
                self._param(self._wired(name, end, EncodePrompt.node_type.id), "prompt", place, "text")
            for input, graph_type in (("seed", "seed"), ("steps", "int"), ("guidance", "float")):
                self._param(name, input, input, graph_type)
            for side in ("width", "height"):
                self._param(self._wired(name, "latent", EmptyLatent.node_type.id), side, side, "int")
        first = [name for name in ("prompt", "negative") if name in self.graph.inputs]
        self.graph.inputs = {
            name: self.graph.inputs[name] for name in dict.fromkeys([*first, *self.graph.inputs])
        }

    def _wired(self, node: str, input: str, kind: str) -> str | None:
        """The node that is wired into an input, if it is of a type."""
        link = self.graph.nodes[node].inputs.get(input)
        behind = self.graph.nodes.get(link.node) if isinstance(link, From) else None
        return link.node if isinstance(link, From) and behind is not None and behind.type == kind else None

    def _param(self, node: str | None, input: str, name: str, kind: str) -> None:
        held = self.graph.nodes[node].inputs.get(input) if node is not None else None
        if node is not None and isinstance(held, Literal) and name not in self.graph.inputs:
            self.graph.inputs[name] = GraphInput(kind, held.value, False, DOCS[name])
            self.graph.nodes[node].inputs[input] = Param(name)

    def _free(self, name: str, taken: Container[str]) -> str:
        count = self._counts.get((id(taken), name), 0) + 1
        while (free := name if count == 1 else f"{name}-{count}") in taken:
            count += 1
        self._counts[id(taken), name] = count
        return free


def output_name(names: list[str], slot: int) -> str:
    """What to call an output of a node that is not known here: its own name, or its number."""
    name = _NO_OUTPUT.sub("_", names[slot]).strip() if 0 <= slot < len(names) else ""
    return name if name and names.index(names[slot]) == slot else f"{name}{slot}"
