"""The random numbers of a training step: the noise that is added to latents, and its level."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor
from torch.nn import functional as F

_MOST_SCALES = 10


@dataclass(frozen=True)
class NoiseSettings:
    """The settings of the noise, which have the meaning of those of kohya's sd-scripts."""

    offset: float = 0.0
    """The strength of noise that is constant over each channel of a latent, which lets a model learn dark and
    bright pictures (noise offset)."""
    adaptive_offset: float = 0.0
    """How much the offset grows with the absolute mean of a channel."""
    multires: float = 0.0
    """The weight of coarser noise (multi-resolution noise), which is multiplied by this once more at each
    larger scale; 0 for none."""
    perturbation: float = 0.0
    """Noise that is added to the input of the network only, not to its target (arXiv:2301.11706)."""
    first_timestep: int = 0
    last_timestep: int | None = None
    """The range of timesteps that are drawn, both included; None for the last of the model."""


class Noise(NamedTuple):
    """The random numbers of one batch."""

    target: Tensor
    """The noise that the network is to predict, of the latents' shape, dtype and device."""
    added: Tensor
    """The noise to add to the latents."""
    timesteps: Tensor
    """int64 [batch] on the CPU."""


class TimestepRange(NamedTuple):
    """The timesteps that a training uses, both included."""

    first: int
    last: int

    def draw(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps with equal probability: int64 [count]."""
        return torch.randint(self.first, self.last + 1, (count,), generator=generator)

    def spread(self, count: int) -> Tensor:
        """Return timesteps that are spread evenly over the range, int64 [count]."""
        places = (torch.arange(count) + 0.5) / count
        return self.first + (places * (self.last + 1 - self.first)).long()


def timestep_range(settings: NoiseSettings, count: int) -> TimestepRange:
    """Return the range of timesteps to train at, for a model with `count` timesteps.

    Raises:
        ValueError: the range is empty.
    """
    last = count - 1 if settings.last_timestep is None else min(settings.last_timestep, count - 1)
    if not 0 <= settings.first_timestep <= last:
        raise ValueError(f"There are no timesteps from {settings.first_timestep} to {last}.")
    return TimestepRange(settings.first_timestep, last)


def draw_noise(
    settings: NoiseSettings,
    latents: Tensor,
    draw_timesteps: Callable[[int, torch.Generator], Tensor],
    generator: torch.Generator,
) -> Noise:
    """Draw the noise and the timesteps of a batch.

    Args:
        settings: the kinds of noise.
        latents: [batch, channels, height, width].
        draw_timesteps: draws as many timesteps as its first argument says.
        generator: a random generator on the CPU, so that all devices get the same numbers.
    """
    noise = torch.randn(latents.shape, generator=generator)
    if settings.offset or settings.adaptive_offset:
        means = latents.detach().mean((2, 3), keepdim=True).abs().cpu().float()
        strength = (settings.offset + settings.adaptive_offset * means).clamp(min=0)
        noise = noise + strength * torch.randn((*latents.shape[:2], 1, 1), generator=generator)
    if settings.multires:
        noise = _with_coarser(noise, settings.multires, generator)
    timesteps = draw_timesteps(len(latents), generator)
    target = added = noise.to(latents)
    if settings.perturbation:
        more = torch.randn(latents.shape, generator=generator)
        added = target + settings.perturbation * more.to(latents)
    return Noise(target, added, timesteps)


def _with_coarser(noise: Tensor, discount: float, generator: torch.Generator) -> Tensor:
    """Add noise of ever lower resolution, and scale the sum to a standard deviation of 1."""
    height, width = noise.shape[2:]
    for scale in range(1, _MOST_SCALES + 1):
        factor = float(torch.rand((), generator=generator)) * 2 + 2
        cells = max(1, int(height / factor**scale)), max(1, int(width / factor**scale))
        coarse = torch.randn((*noise.shape[:2], *cells), generator=generator)
        noise = noise + discount**scale * F.interpolate(coarse, (height, width), mode="bilinear")
        if 1 in cells:
            break
    return noise / noise.std()
