"""Estimates the memory and the work of steps before they run, from file headers and literal inputs.

torch is not imported here, so that `safelight plan` answers at once.
"""

from __future__ import annotations

import math
from collections.abc import Iterator, Mapping
from functools import lru_cache
from pathlib import Path

from engine.devices.compute import ComputeSettings
from engine.files import Files
from engine.packs.provenance import Provenance, StepNeeds
from nodes.hooks.graph_models import GraphModels, Network
from nodes.sd.families.family import Component
from nodes.sd.families.known import family_named
from nodes.sd.formats.read import read_tensors
from nodes.sd.models.estimates import decoding_bytes, sampling_bytes, slower

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


class _Graph(GraphModels):
    """The steps of a plan, with the models and sizes that their literal inputs tell."""

    def __init__(self, steps: Mapping[str, Provenance], compute: ComputeSettings, files: Files) -> None:
        super().__init__(steps, files)
        self._compute = compute

    def denoising(self, step: Provenance) -> StepNeeds | None:
        """The needs of a Denoise."""
        network = self.network(step, "model")
        if network is None:
            return None
        compute, found = self._compute, network.checkpoint
        part = family_named(found.family).network.component
        itemsize = _STORED_BYTES[compute.storage_dtype or compute.dtype]
        models = self._models(network, (part,), itemsize)
        canvas = self.canvas(step, "latent", found.vae_scale)
        if canvas is None or canvas.pictures is None:
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
        network = self.network(step, "vae")
        if network is None:
            return None
        compute, side = self._compute, network.checkpoint.width
        itemsize = _STORED_BYTES[compute.vae_dtype]
        models = self._models(network, ("vae",), itemsize)
        canvas = self.canvas(step, _VAE_INPUTS[step.node_type], network.checkpoint.vae_scale)
        if canvas is None or canvas.pictures is None:
            return StepNeeds(models)
        size = canvas.width, canvas.height
        tiled = step.inputs.get("tiled") is True or (compute.vae_tiling and max(size) > side)
        tile = side if tiled else None
        memory = decoding_bytes(size, canvas.pictures, itemsize, tile, compute.vae_slicing)
        return StepNeeds(models, memory, float(canvas.width * canvas.height * canvas.pictures))

    def encoding(self, step: Provenance) -> StepNeeds | None:
        """The needs of an EncodePrompt."""
        network = self.network(step, "encoder")
        if network is None:
            return None
        parts = tuple(role.component for role in network.files.roles)
        return StepNeeds(self._models(network, parts, _STORED_BYTES[self._compute.dtype]), 0)

    def _models(self, network: Network, parts: tuple[Component, ...], itemsize: int) -> dict[str, int]:
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
