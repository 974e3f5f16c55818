"""Noise that depends on seeds only, not on the device or the batch size."""

from __future__ import annotations

import copy
from collections.abc import Callable, Sequence
from typing import NamedTuple, Protocol

import torch
from torch import Tensor

from nodes.sd.sampling.brownian import BrownianPath
from nodes.sd.sampling.names import NoiseKind
from nodes.sd.sampling.philox import PhiloxGenerator
from nodes.sd.sampling.transfer import sent

SEEDS = 2**64
"""The number of seeds; after the last one, they continue from 0."""


class Generator(Protocol):
    """Draws normal numbers from one seed."""

    def __init__(self, seed: int) -> None: ...

    def randn(self, shape: Sequence[int]) -> Tensor:
        """Draw the next normal numbers, float32 on the CPU."""
        ...


class Variation(NamedTuple):
    """A second noise that is mixed into the first one (A1111's variation seed)."""

    seed: int
    """The seed of the second noise; picture i of a batch uses `seed + i`."""
    strength: float
    """0 uses the first noise alone, 1 the second."""


Between = Callable[[Tensor, Tensor], Tensor]
"""Takes a noise level and the lower level that a step goes to; returns standard normal noise for the step."""


class NoiseSource:
    """Standard normal noise for a batch. The first draw starts the pictures; samplers draw later ones.

    Picture i draws from its own generator, seeded `seed + i`, so it gets the same noise alone and in a batch,
    on every device. Only ComfyUI draws the noise of a batch from one seed.

    Args:
        seed: of the first picture, 0 to 2**64 - 1; past the end it continues from 0.
        count: pictures in the batch.
        kind: `cpu` draws as torch does on the CPU (diffusers, A1111's setting CPU), `nv` as torch does on an
            NVIDIA GPU (A1111's settings GPU and NV), `comfyui` and `comfyui_gpu` as ComfyUI on a machine with
            such a GPU: the first noise on the CPU, later noise on the GPU, both from the same seed. They
            differ in `between`, which `comfyui` draws on the CPU, and ComfyUI's samplers `…_gpu` on the GPU.
        later_shift: added to the seeds of later noise (A1111's eta noise seed delta). If it is not 0,
            later noise starts again. Noise from `between` keeps its seed, as in A1111.
        variation: mixed into the first noise. All pictures then have the same `seed`, as in A1111.
    """

    def __init__(
        self,
        seed: int,
        count: int = 1,
        kind: NoiseKind = "cpu",
        *,
        later_shift: int = 0,
        variation: Variation | None = None,
    ) -> None:
        if not 0 <= seed < SEEDS:
            raise ValueError(f"The seed is {seed}; it must be within 0 and 2**64 - 1.")
        if count < 1:
            raise ValueError(f"A batch of {count} pictures is not possible; make at least 1.")
        self._count = count
        first, later, self._path_generator = _KINDS[kind]
        whole_batch = kind in _ONE_SEED_A_BATCH
        seeds = [(seed + i) % SEEDS for i in range(1 if whole_batch else count)]
        self._pictures_per_seed = count if whole_batch else 1
        self._path_seeds = seeds
        if variation is not None and variation.strength > 0:
            seeds = [seed] * len(seeds)
        self._first = [first(seed) for seed in seeds]
        self._later = self._first
        if later is not None or later_shift:
            self._later = [(later or first)((seed + later_shift) % SEEDS) for seed in seeds]
        self._varied = []
        self._variation = variation
        if variation is not None and variation.strength > 0:
            self._varied = [first((variation.seed + i) % SEEDS) for i in range(len(seeds))]
        self._started = False
        self._on_path: Callable[[Tensor], Tensor] = lambda levels: levels

    def on_path(self, level: Callable[[Tensor], Tensor]) -> NoiseSource:
        """Return this source with a function that converts levels to places on the path, for `between`."""
        changed = copy.copy(self)
        changed._on_path = level
        return changed

    def draw(self, shape: Sequence[int]) -> Tensor:
        """Draw the next noise, float32 [count, *shape] on the CPU."""
        if self._started:
            return self._drawn(self._later, shape)
        self._started = True
        noise = self._drawn(self._first, shape)
        if not self._varied or self._variation is None:
            return noise
        varied = self._drawn(self._varied, shape)
        return torch.stack(
            [_mixed(one, other, self._variation.strength) for one, other in zip(noise, varied, strict=True)]
        )

    def like(self, x: Tensor) -> Tensor:
        """Draw the next noise, with the shape, dtype and device of `x`, which has one picture per row.

        Raises:
            ValueError: `x` has a different number of pictures than this source.
        """
        self._check_count(x)
        return sent(self.draw(x.shape[1:]), x.device, x.dtype)

    def between(self, x: Tensor, sigmas: Tensor) -> Between:
        """Noise for steps between levels: increments of one Brownian path per seed, scaled to variance 1.

        As k-diffusion's `BrownianTreeNoiseSampler`; independent of the other noise.

        Args:
            x: gives the shape, dtype and device.
            sigmas: the levels of the schedule; the path runs from the lowest above 0 to the highest.

        Raises:
            ValueError: `x` has a different number of pictures than this source.
        """
        self._check_count(x)
        levels = self._on_path(sigmas[sigmas > 0]).float()
        low, high = float(levels.min()), float(levels.max())
        paths = [
            BrownianPath(seed, self._seed_shape(x.shape[1:]), low, high, self._path_normal)
            for seed in self._path_seeds
        ]

        def noise(sigma: Tensor, target: Tensor) -> Tensor:
            start, end = (self._on_path(level).float() for level in (target, sigma))
            drawn = torch.stack([path.increment(float(start), float(end)) for path in paths])
            # k-diffusion walks down the path, hence the sign.
            return sent(drawn.reshape(x.shape) / -((end - start).abs().sqrt()), x.device, x.dtype)

        return noise

    def _path_normal(self, seed: int, shape: Sequence[int]) -> Tensor:
        return self._path_generator(seed).randn(shape)

    def _seed_shape(self, shape: Sequence[int]) -> tuple[int, ...]:
        """Return the shape of the noise that is drawn from one seed."""
        return (self._pictures_per_seed, *shape) if self._pictures_per_seed > 1 else tuple(shape)

    def _drawn(self, generators: Sequence[Generator], shape: Sequence[int]) -> Tensor:
        drawn = [generator.randn(self._seed_shape(shape)) for generator in generators]
        return torch.stack(drawn).reshape(self._count, *shape)

    def _check_count(self, x: Tensor) -> None:
        if len(x) != self._count:
            raise ValueError(f"The noise is for {self._count} pictures, but the latents are for {len(x)}.")


class _CpuGenerator:
    """torch's own generator on the CPU."""

    def __init__(self, seed: int) -> None:
        self._generator = torch.Generator().manual_seed(seed)

    def randn(self, shape: Sequence[int]) -> Tensor:
        return torch.randn(tuple(shape), generator=self._generator)


class _Generators(NamedTuple):
    """The generators of a kind of noise."""

    first: type[Generator]
    later: type[Generator] | None
    """The generator of later noise; None to continue with the first one."""
    path: type[Generator]


_KINDS: dict[NoiseKind, _Generators] = {
    "cpu": _Generators(_CpuGenerator, None, _CpuGenerator),
    "nv": _Generators(PhiloxGenerator, None, PhiloxGenerator),
    "comfyui": _Generators(_CpuGenerator, PhiloxGenerator, _CpuGenerator),
    "comfyui_gpu": _Generators(_CpuGenerator, PhiloxGenerator, PhiloxGenerator),
}
_ONE_SEED_A_BATCH = ("comfyui", "comfyui_gpu")
_NEARLY_EQUAL = 0.9995
"""The mean cosine above which two noises are mixed linearly, as in A1111."""


def _mixed(noise: Tensor, other: Tensor, strength: float) -> Tensor:
    """Mix two noises [channels, height, width] by spherical interpolation, column by column, as A1111
    does."""
    norms = [values / torch.norm(values, dim=1, keepdim=True) for values in (noise, other)]
    cosine = (norms[0] * norms[1]).sum(1)
    if float(cosine.mean()) > _NEARLY_EQUAL:
        return noise * strength + other * (1 - strength)
    angle = torch.acos(cosine)
    sine = torch.sin(angle)
    weight, other_weight = torch.sin((1 - strength) * angle) / sine, torch.sin(strength * angle) / sine
    return weight.unsqueeze(1) * noise + other_weight.unsqueeze(1) * other
