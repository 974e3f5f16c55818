"""Encodes pictures to latents and decodes latents to pictures with a VAE."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager
from typing import NamedTuple

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from nodes.sd.not_finite import NotFinite, Overflow
from nodes.sd.sampling.noise import NoiseSource

Pictures = NDArray[np.uint8]
"""[batch, height, width, 3], RGB."""


class Posterior(NamedTuple):
    """The normal distribution of latents that the VAE predicts for pictures, scaled as the model expects."""

    mean: Tensor
    """float32 [batch, channels, height / 8, width / 8], on the VAE's device."""
    deviation: Tensor
    """The standard deviation, of the same shape."""

    def sample(self, noise: Tensor) -> Tensor:
        """Sample latents with standard normal noise of the same shape."""
        return self.mean + self.deviation * noise


@torch.no_grad()
def encode(
    vae: AutoencoderKL, pictures: Pictures, noise: NoiseSource | None = None, tiled: bool = False
) -> Tensor:
    """Encode pictures to latents.

    Args:
        vae: the model's own autoencoder.
        pictures: uint8 [batch, height, width, 3]; sides must be multiples of 8.
        noise: samples the latents from the VAE's posterior; None for the mean of the posterior.
        tiled: encode in overlapping tiles, which saves memory with large pictures.

    Returns:
        float32 [batch, channels, height / 8, width / 8] on the VAE's device, scaled as the model expects.

    Raises:
        ValueError: the pictures are of another shape or kind.
        Overflow: the result contains NaN or infinity.
    """
    posterior = encode_posterior(vae, pictures, tiled)
    return posterior.mean if noise is None else posterior.sample(noise.like(posterior.mean))


@torch.no_grad()
def encode_posterior(vae: AutoencoderKL, pictures: Pictures, tiled: bool = False) -> Posterior:
    """Encode pictures to the distribution of their latents. Arguments and errors are those of `encode`."""
    scale = 2 ** (len(vae.config.block_out_channels) - 1)
    if pictures.dtype != np.uint8 or pictures.ndim != 4 or pictures.shape[-1] != 3:
        raise ValueError(
            f"Pictures must be uint8 [batch, height, width, 3], not {pictures.dtype} {pictures.shape}."
        )
    height, width = pictures.shape[1:3]
    if height % scale or width % scale or not height or not width:
        raise ValueError(
            f"A picture of {width} x {height} cannot be encoded; make both sides multiples of {scale}."
        )
    values = torch.from_numpy(pictures.astype(np.float32) / 255.0).permute(0, 3, 1, 2)
    with _tiling(vae, tiled):
        found = vae.encode((2.0 * values - 1.0).to(next(vae.parameters()))).latent_dist
    scaling, shift = vae.config.scaling_factor, vae.config.shift_factor
    unscaled = found.mean - shift if shift else found.mean
    mean, deviation = (scaling * unscaled).float(), (scaling * found.std).float()
    if not torch.isfinite(mean).all() or not torch.isfinite(deviation).all():
        raise Overflow(
            "The output of the VAE contains NaN or infinity: its weights or the picture are unusable."
        )
    return Posterior(mean, deviation)


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor, tiled: bool = False) -> Pictures:
    """Decode latents to pictures, with the same bits as diffusers' pipelines.

    Args:
        vae: the model's own autoencoder.
        latents: [batch, channels, height, width], scaled as the model expects.
        tiled: decode in overlapping tiles, which saves memory with large pictures; faint seams are possible.

    Returns:
        uint8 [batch, height * 8, width * 8, 3], RGB.

    Raises:
        ValueError: the latents are of another shape.
        NotFinite: the latents contain NaN or infinity.
        Overflow: the pictures contain NaN or infinity.
    """
    channels = vae.config.latent_channels
    if latents.ndim != 4 or latents.shape[1] != channels:
        raise ValueError(f"This VAE decodes [batch, {channels}, height, width], not {list(latents.shape)}.")
    if not torch.isfinite(latents).all():
        raise NotFinite(
            "The latents contain NaN or infinity. "
            "Lower the guidance or the LoRA weights; in half precision, set `dtype` to float32."
        )
    with _tiling(vae, tiled):
        unscaled = latents.to(next(vae.parameters())) / vae.config.scaling_factor
        shift = vae.config.shift_factor
        values: Tensor = vae.decode(unscaled + shift if shift else unscaled).sample
    if not torch.isfinite(values).all():
        raise Overflow("The latent contains extreme values; lower the guidance or the LoRA weights.")
    lit = (values * 0.5 + 0.5).clamp(0, 1).cpu().permute(0, 2, 3, 1).float().numpy()
    return np.asarray((lit * 255).round().astype(np.uint8))


@contextmanager
def _tiling(vae: AutoencoderKL, tiled: bool) -> Iterator[None]:
    before = vae.use_tiling
    vae.use_tiling = tiled
    try:
        yield
    finally:
        vae.use_tiling = before
