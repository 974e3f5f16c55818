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
    """Yield the id and the estimated needs of each step whose model is known before the run.

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
    """Estimates for the steps of a plan, from the models and sizes in their literal inputs."""

    def __init__(self, steps: Mapping[str, Provenance], compute: ComputeSettings, files: Files) -> None:
        super().__init__(steps, files)
        self._compute = compute

    def denoising(self, step: Provenance) -> StepNeeds | None:
        """Estimate a Denoise; None if its model is not known before the run."""
        network = self.network(step, "model")
        if network is None:
            return None
        compute, found = self._compute, network.checkpoint
        family = family_named(found.family)
        part = family.network.component
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
            family.network.patch,
            family.text_length,
        )
        area = canvas.width * canvas.height
        relative = slower(area / (found.width * found.height))
        return StepNeeds(models, memory, _sampling_steps(step) * rows * relative)

    def decoding(self, step: Provenance) -> StepNeeds | None:
        """Estimate a Decode or an Encode; None if its VAE is not known before the run."""
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
        """Estimate an EncodePrompt; None if its text encoder is not known before the run."""
        network = self.network(step, "encoder")
        if network is None:
            return None
        parts = tuple(role.component for role in network.files.roles)
        return StepNeeds(self._models(network, parts, _STORED_BYTES[self._compute.dtype]), 0)

    def _models(self, network: Network, parts: tuple[Component, ...], itemsize: int) -> dict[str, int]:
        """Return the bytes of the networks that a step loads, by name; equal names are loaded once.

        A patched copy shares its unpatched tensors, but counts in full here.
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
    """Return the number of sampling steps that a Denoise runs."""

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
    """Count the elements of a network's tensors, from the headers of its files.

    Args:
        paths: the files of the network.
        prefix: the prefix of its tensors' names.
        digest: the digest of the checkpoint, part of the key under which the result is cached.
    """
    return sum(
        math.prod(entry.shape)
        for path in paths
        for name, entry in read_tensors(path).entries.items()
        if name.startswith(prefix)
    )
