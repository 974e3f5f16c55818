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
    """The latents of a training picture, on the CPU."""

    mean: Tensor
    """The mean of the latents, or the sample that was drawn: float32 [channels, height, width]."""
    deviation: Tensor | None
    """The standard deviation of the latents, for `random`; None to use `mean` each time."""
    weights: Tensor | None = None
    """The weight of each cell, float32 [1, height, width] with the mean 1; None for 1 everywhere."""


def cached(posterior: Posterior, sampling: Sampling, seed: int) -> tuple[Tensor, Tensor | None]:
    """Return the mean and the deviation to keep for one picture; see `CachedPicture`.

    Args:
        posterior: the VAE's distribution of the latents of one picture.
        sampling: how latents are drawn; `once` draws the sample here.
        seed: the seed of that sample.
    """
    mean, deviation = posterior.mean[0].cpu(), posterior.deviation[0].cpu()
    if sampling == "once":
        noise = torch.randn(mean.shape, generator=torch.Generator().manual_seed(seed))
        return mean + deviation * noise, None
    return mean, deviation if sampling == "random" else None


def drawn(pictures: Sequence[CachedPicture], generator: torch.Generator) -> Tensor:
    """Draw the latents of a batch, float32 [batch, channels, height, width].

    Only pictures with a deviation draw noise.
    """
    return torch.stack(
        [
            picture.mean
            if picture.deviation is None
            else picture.mean + picture.deviation * torch.randn(picture.mean.shape, generator=generator)
            for picture in pictures
        ]
    )


def batch_weights(pictures: Sequence[CachedPicture]) -> Tensor | None:
    """Stack the weights of a batch, float32 [batch, 1, height, width]; None if no picture has weights."""
    if all(picture.weights is None for picture in pictures):
        return None
    return torch.stack(
        [
            torch.ones_like(picture.mean[:1]) if picture.weights is None else picture.weights
            for picture in pictures
        ]
    )
