"""Finds the models and sizes that the steps of a graph receive, as far as literal inputs determine them.

Nothing is loaded.
"""

from __future__ import annotations

from collections.abc import Mapping
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
from nodes.hooks.graph_walk import along
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.models.files import ModelFiles

PATCHES = frozenset({"ApplyLoRA", "ApplyHypernetwork"})
RESIZED = frozenset({"CropLatent", "EmptyLatent", "ResizeImage", "ResizeLatent"})
"""Nodes whose inputs tell the size of their result."""
SCALED = frozenset({"ScaleImage", "ScaleLatent"})
CHANGED = frozenset({"CropAroundMask", "CropImage", "PadImage", "ResizeImage", "RotateImage", "UpscaleImage"})
"""Nodes whose result has a size that their literal inputs do not tell: ResizeImage if it fits inside one."""


class Network(NamedTuple):
    """A model on a wire: its checkpoint, its files, and the ids of the steps that patch it."""

    checkpoint: Checkpoint
    files: ModelFiles
    patches: tuple[str, ...]


class Canvas(NamedTuple):
    """The size in pixels and the number of the pictures that a step receives."""

    width: int
    height: int
    pictures: int | None
    """None if it is not known before the run."""


class GraphModels:
    """Finds the model and the size that each step receives.

    Args:
        steps: the steps by id.
        files: the folders of files.
    """

    def __init__(self, steps: Mapping[str, Provenance], files: Files) -> None:
        self.steps, self.files = steps, files
        self._checkpoints: dict[str, Checkpoint | None] = {}
        self._model_files: dict[str, ModelFiles | None] = {}

    def network(self, step: Provenance, input: str) -> Network | None:
        """Find the model that an input of a step receives; None if it is not known before the run.

        Nodes that change a model and pass it on, such as ApplyLoRA, are followed to the node that loads it.
        """
        path = list(along(self.steps, step, input))
        found = self._checkpoint(path, input)
        files = None if found is None else self._files(path[-1], found)
        if found is None or files is None:
            return None
        return Network(found, files, tuple(id for id in path if self.steps[id].node_type in PATCHES))

    def checkpoint(self, step: Provenance, input: str) -> Checkpoint | None:
        """Find the checkpoint of that model only: finding its files, too, takes longer."""
        return self._checkpoint(list(along(self.steps, step, input)), input)

    def _checkpoint(self, path: list[str], input: str) -> Checkpoint | None:
        """Find the checkpoint that the last step of a path loads; None if it is not known before the run."""
        if not path or input in self.steps[path[-1]].links:
            return None
        loader = path[-1]
        if loader not in self._checkpoints:
            try:
                self._checkpoints[loader] = self._loaded(self.steps[loader])
            except (NodeError, BadFileError):  # the step itself reports it
                self._checkpoints[loader] = None
        return self._checkpoints[loader]

    def _files(self, loader: str, found: Checkpoint) -> ModelFiles | None:
        if loader not in self._model_files:
            try:
                self._model_files[loader] = found.files(self.files)
            except (NodeError, BadFileError):  # the step itself reports it
                self._model_files[loader] = None
        return self._model_files[loader]

    def _loaded(self, step: Provenance) -> Checkpoint | None:
        """Find the checkpoint that a node such as LoadModel loads; None for other nodes."""
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
        """Return the family of the model at the input `model` of a step; None if it is not known."""
        model = self.checkpoint(step, "model")
        return None if model is None else model.family

    def canvas(self, step: Provenance, input: str, scale: int) -> Canvas | None:
        """Find the size of the pictures or latents that an input of a step receives; None if it is not known.

        Args:
            step: the step.
            input: the name of the input.
            scale: the pixels per latent cell.
        """
        factor = 1.0
        size: tuple[int, int] | None = None
        for id in along(self.steps, step, input, "latent", "image"):
            kind, inputs = self.steps[id].node_type, self.steps[id].inputs
            if size is None and kind in RESIZED and inputs.get("fit") != "inside":
                width, height = inputs.get("width"), inputs.get("height")
                if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
                    return None
                size = int(width * factor) // scale * scale, int(height * factor) // scale * scale
            elif size is None and kind in SCALED:
                given = inputs.get("factor")
                if not isinstance(given, int | float):
                    return None
                factor *= given
            elif size is None and kind in CHANGED:
                return None
            if kind == "EmptyLatent" and size is not None:
                count = inputs.get("batch")
                return Canvas(*size, count if isinstance(count, int) else None)
        return None if size is None else Canvas(*size, 1)
