"""The models that the steps of a graph receive, as far as their literal inputs tell. Nothing is loaded."""

from __future__ import annotations

from collections.abc import Iterator, Mapping
from typing import NamedTuple

from engine.errors import NodeError
from engine.files import Files
from engine.packs.provenance import Provenance
from nodes.files.checkpoints import (
    Checkpoint,
    checkpoint,
    text_encoder_checkpoint,
    unet_checkpoint,
    vae_checkpoint,
)
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.models.files import ModelFiles

PATCHES = frozenset({"ApplyLoRA", "ApplyHypernetwork"})


class Network(NamedTuple):
    """A model on a wire: its checkpoint, and the nodes that patch it."""

    checkpoint: Checkpoint
    files: ModelFiles
    patches: tuple[str, ...]


class GraphModels:
    """Finds the model that each step receives.

    Args:
        steps: the steps by id.
        files: the folders of files.
    """

    def __init__(self, steps: Mapping[str, Provenance], files: Files) -> None:
        self.steps, self.files = steps, files
        self._loaders: dict[str, Network | None] = {}

    def network(self, step: Provenance, input: str) -> Network | None:
        """The model that an input of a step receives, past nodes that change a model and pass it on."""
        patches: list[str] = []
        for id in self.before(step, (input,)):
            node = self.steps[id]
            if node.node_type in PATCHES:
                patches.append(id)
            if input not in node.links:
                loader = self._loaded(id, node, input)
                return None if loader is None else loader._replace(patches=tuple(patches))
        return None

    def _loaded(self, id: str, step: Provenance, input: str) -> Network | None:
        """The network that a loading node loads; None if it is not known before the run."""
        if id not in self._loaders:
            try:
                found = self._checkpoint(step, input)
                self._loaders[id] = None if found is None else Network(found, found.files(self.files), ())
            except (NodeError, BadFileError):  # the step itself reports it
                self._loaders[id] = None
        return self._loaders[id]

    def _checkpoint(self, step: Provenance, input: str) -> Checkpoint | None:
        kinds = {"LoadModel": "model", "LoadUnet": "unet", "LoadTextEncoder": "encoder", "LoadVae": "vae"}
        name = step.inputs.get(kinds.get(step.node_type, ""))
        if not isinstance(name, str):
            return None
        if step.node_type == "LoadModel":
            return checkpoint(self.files, name)
        if step.node_type == "LoadUnet":
            return unet_checkpoint(self.files, name)
        if step.node_type == "LoadTextEncoder":
            inputs = ["encoder", "second", "third"]
            names = [name for input in inputs if isinstance(name := step.inputs.get(input), str) and name]
            return text_encoder_checkpoint(self.files, names, inputs[: len(names)], self._family(step))
        return vae_checkpoint(self.files, name, self._family(step))[0]

    def _family(self, step: Provenance) -> str | None:
        """The family of the model that is wired to a loader of other networks."""
        model = self.network(step, "model") if "model" in step.links else None
        return None if model is None else model.checkpoint.family

    def before(self, step: Provenance, names: tuple[str, ...]) -> Iterator[str]:
        """The steps before a step, nearest first, along the first of some inputs that is wired."""
        seen: set[str] = set()
        while (id := next((step.links[name] for name in names if name in step.links), None)) is not None:
            if id in seen or id not in self.steps:
                return
            seen.add(id)
            yield id
            step = self.steps[id]
