"""Latents of pictures, encoded once before a training, so that the VAE can be unloaded."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Literal, NamedTuple

import torch
from torch import Tensor

from nodes.sd.models.vae import Posterior

Sampling = Literal["once", "deterministic", "random"]
"""The ways to draw latents from the VAE's distribution: one sample, the mean, or a new sample each time."""


class CachedPicture(NamedTuple):
    """The latents of a training picture, on the host."""

    mean: Tensor
    """float32 [channels, height, width]"""
    deviation: Tensor | None
    """The deviation of its latents, for `random`; None if the latents are always the mean."""
    weights: Tensor | None = None
    """The weight of each cell, float32 [1, height, width] with the mean 1; None for 1 everywhere."""


def cached(posterior: Posterior, sampling: Sampling, seed: int) -> tuple[Tensor, Tensor | None]:
    """The mean and the deviation to keep of one picture; see `CachedPicture`.

    Args:
        posterior: of one picture.
        sampling: `once` draws the sample here, from the seed.
        seed: of this picture.
    """
    mean, deviation = posterior.mean[0].cpu(), posterior.deviation[0].cpu()
    if sampling == "once":
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed))
        return mean + deviation * noise, None
    return mean, deviation if sampling == "random" else None


def drawn(pictures: Sequence[CachedPicture], generator: torch.Generator) -> Tensor:
    """The latents of a batch, float32 [batch, channels, height, width]; draws noise only if they need it."""
    return torch.stack(
        [
            picture.mean
            if picture.deviation is None
            else picture.mean + picture.deviation * torch.randn(picture.mean.shape, generator=generator)
            for picture in pictures
        ]
    )


def batch_weights(pictures: Sequence[CachedPicture]) -> Tensor | None:
    """The weights of a batch, float32 [batch, 1, height, width]; None if no picture has any."""
    if all(picture.weights is None for picture in pictures):
        return None
    return torch.stack(
        [
            torch.ones_like(picture.mean[:1]) if picture.weights is None else picture.weights
            for picture in pictures
        ]
    )
