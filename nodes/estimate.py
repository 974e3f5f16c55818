"""Estimates the memory and the work of steps before they run, from file headers and literal inputs.

torch is not imported here, so that `safelight plan` answers at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path
from typing import NamedTuple

from engine.devices.compute import ComputeSettings
from engine.errors import NodeError
from engine.files import Files
from engine.packs.provenance import Provenance, StepNeeds
from nodes.files.checkpoints import (
    Checkpoint,
    checkpoint,
    text_encoder_checkpoint,
    unet_checkpoint,
    vae_checkpoint,
)
from nodes.sd.families.family import Component
from nodes.sd.families.known import family_named
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.read import read_tensors
from nodes.sd.models.estimates import decoding_bytes, sampling_bytes, slower
from nodes.sd.models.files import ModelFiles

_PATCHES = frozenset({"ApplyLoRA", "ApplyHypernetwork"})
_STORED_BYTES = {"float8_e4m3fn": 1, "float16": 2, "bfloat16": 2, "float32": 4}
_VAE_INPUTS = {"Decode": "latent", "Encode": "image"}


def estimate(
    steps: Mapping[str, Provenance], compute: ComputeSettings, files: Files
) -> Iterator[tuple[str, StepNeeds]]:
    """Estimate the needs of each step that uses a model; a step whose model is not known has none.

    Args:
        steps: the steps of a plan by id.
        compute: the compute settings.
        files: the folders of files.
    """
    graph = _Graph(steps, compute, files)
    for id, step in steps.items():
        if step.node_type == "Denoise":
            needs = graph.denoising(step)
        elif step.node_type in _VAE_INPUTS:
            needs = graph.decoding(step)
        elif step.node_type == "EncodePrompt":
            needs = graph.encoding(step)
        else:
            continue
        if needs is not None:
            yield id, needs


class _Canvas(NamedTuple):
    """The size of pictures in pixels, and their number."""

    width: int
    height: int
    pictures: int


class _Network(NamedTuple):
    """A model on a wire: its checkpoint, and the nodes that patch it."""

    checkpoint: Checkpoint
    files: ModelFiles
    patches: tuple[str, ...]


class _Graph:
    """The steps of a plan, with the models and sizes that their literal inputs tell."""

    def __init__(self, steps: Mapping[str, Provenance], compute: ComputeSettings, files: Files) -> None:
        self._steps, self._compute, self._files = steps, compute, files
        self._loaders: dict[str, _Network | None] = {}

    def denoising(self, step: Provenance) -> StepNeeds | None:
        """The needs of a Denoise."""
        network = self._network(step, "model")
        if network is None:
            return None
        compute, found = self._compute, network.checkpoint
        part = family_named(found.family).network.component
        itemsize = _STORED_BYTES[compute.storage_dtype or compute.dtype]
        models = self._models(network, (part,), itemsize)
        canvas = self._canvas(step, "latent", found.vae_scale)
        if canvas is None:
            return StepNeeds(models)
        rows = canvas.pictures * (1 if step.inputs.get("guidance") == 1 else 2)
        size = canvas.width, canvas.height
        memory = sampling_bytes(
            size,
            rows,
            compute.itemsize,
            compute.attention,
            network.files.configs[part],
            found.vae_scale,
        )
        area = canvas.width * canvas.height
        relative = slower(area / (found.width * found.height))
        return StepNeeds(models, memory, _sampling_steps(step) * rows * relative)

    def decoding(self, step: Provenance) -> StepNeeds | None:
        """The needs of a Decode or an Encode."""
        network = self._network(step, "vae")
        if network is None:
            return None
        compute, side = self._compute, network.checkpoint.width
        itemsize = _STORED_BYTES[compute.vae_dtype]
        models = self._models(network, ("vae",), itemsize)
        canvas = self._canvas(step, _VAE_INPUTS[step.node_type], network.checkpoint.vae_scale)
        if canvas is None:
            return StepNeeds(models)
        size = canvas.width, canvas.height
        tiled = step.inputs.get("tiled") is True or (compute.vae_tiling and max(size) > side)
        tile = side if tiled else None
        memory = decoding_bytes(size, canvas.pictures, itemsize, tile, compute.vae_slicing)
        return StepNeeds(models, memory, float(canvas.width * canvas.height * canvas.pictures))

    def encoding(self, step: Provenance) -> StepNeeds | None:
        """The needs of an EncodePrompt."""
        network = self._network(step, "encoder")
        if network is None:
            return None
        parts = tuple(role.component for role in network.files.roles)
        return StepNeeds(self._models(network, parts, _STORED_BYTES[self._compute.dtype]), 0)

    def _models(self, network: _Network, parts: tuple[Component, ...], itemsize: int) -> dict[str, int]:
        """The bytes of networks, by a name that is the same for those that are loaded once.

        A patched copy has its own tensors where it is patched; here it counts as whole.
        """
        digest = network.checkpoint.digest
        size = sum(
            _stored_numbers(stored.files, stored.prefix, digest) * itemsize
            for part in parts
            if (stored := network.files.networks.get(part)) is not None
        )
        name = f"{'+'.join(parts)} {digest}"
        models = {name: size}
        if network.patches:
            models[f"{name} {' '.join(network.patches)}"] = size
        return models

    def _network(self, step: Provenance, input: str) -> _Network | None:
        """The model that an input of a step receives, past nodes that change a model and pass it on."""
        patches: list[str] = []
        for id in self._before(step, (input,)):
            node = self._steps[id]
            if node.node_type in _PATCHES:
                patches.append(id)
            if input not in node.links:
                loader = self._loaded(id, node, input)
                return None if loader is None else loader._replace(patches=tuple(patches))
        return None

    def _loaded(self, id: str, step: Provenance, input: str) -> _Network | None:
        """The network that a loading node loads; None if it is not known before the run."""
        if id not in self._loaders:
            try:
                found = self._checkpoint(step, input)
                self._loaders[id] = None if found is None else _Network(found, found.files(self._files), ())
            except (NodeError, BadFileError):  # the step itself reports it
                self._loaders[id] = None
        return self._loaders[id]

    def _checkpoint(self, step: Provenance, input: str) -> Checkpoint | None:
        kinds = {"LoadModel": "model", "LoadUnet": "unet", "LoadTextEncoder": "encoder", "LoadVae": "vae"}
        name = step.inputs.get(kinds.get(step.node_type, ""))
        if not isinstance(name, str):
            return None
        if step.node_type == "LoadModel":
            return checkpoint(self._files, name)
        if step.node_type == "LoadUnet":
            return unet_checkpoint(self._files, name)
        if step.node_type == "LoadTextEncoder":
            inputs = ["encoder", "second", "third"]
            names = [name for input in inputs if isinstance(name := step.inputs.get(input), str) and name]
            return text_encoder_checkpoint(self._files, names, inputs[: len(names)], self._family(step))
        return vae_checkpoint(self._files, name, self._family(step))[0]

    def _family(self, step: Provenance) -> str | None:
        """The family of the model that is wired to a loader of other networks."""
        model = self._network(step, "model") if "model" in step.links else None
        return None if model is None else model.checkpoint.family

    def _canvas(self, step: Provenance, input: str, scale: int) -> _Canvas | None:
        """The size of the pictures or latents that an input of a step receives."""
        factor = 1.0
        size: tuple[int, int] | None = None
        for id in self._before(step, (input, "latent", "image")):
            kind, inputs = self._steps[id].node_type, self._steps[id].inputs
            if kind in ("ScaleLatent", "ScaleImage") and size is None:
                given = inputs.get("factor")
                if not isinstance(given, int | float):
                    return None
                factor *= given
            elif kind in ("ResizeLatent", "ResizeImage", "EmptyLatent") and size is None:
                width, height = inputs.get("width"), inputs.get("height")
                if not (isinstance(width, int) and isinstance(height, int) and width > 0 and height > 0):
                    return None
                size = int(width * factor) // scale * scale, int(height * factor) // scale * scale
            if kind == "EmptyLatent" and size is not None:
                count = inputs.get("batch")
                return _Canvas(*size, count) if isinstance(count, int) else None
        return None if size is None else _Canvas(*size, 1)

    def _before(self, step: Provenance, names: tuple[str, ...]) -> Iterator[str]:
        """The steps before a step, nearest first, along the first of some inputs that is wired."""
        seen: set[str] = set()
        while (id := next((step.links[name] for name in names if name in step.links), None)) is not None:
            if id in seen or id not in self._steps:
                return
            seen.add(id)
            yield id
            step = self._steps[id]


def _sampling_steps(step: Provenance) -> int:
    """The sampling steps that a Denoise runs."""

    def number(name: str, default: float) -> float:
        given = step.inputs.get(name)
        return float(given) if isinstance(given, int | float) else default

    steps = number("steps", 20)
    strength = number("strength", 1)
    if strength < 1:
        steps = max(1.0, math.floor(steps * strength))
    end = min(number("end_step", steps), steps)
    return max(1, int(end - number("start_step", 0)))


@lru_cache(maxsize=256)
def _stored_numbers(paths: tuple[Path, ...], prefix: str, digest: str) -> int:
    """The numbers in the tensors of a network, from the headers of its files.

    Args:
        paths: its files.
        prefix: the prefix of its tensors' names.
        digest: that of the files, by which the result is remembered.
    """
    return sum(
        math.prod(entry.shape)
        for path in paths
        for name, entry in read_tensors(path).entries.items()
        if name.startswith(prefix)
    )
