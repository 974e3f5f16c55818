"""Between pictures and latents."""

from __future__ import annotations

from collections.abc import Iterator
from contextlib import contextmanager

import numpy as np
import torch
from diffusers.models.autoencoders.autoencoder_kl import AutoencoderKL
from numpy.typing import NDArray
from torch import Tensor

from nodes.sd.noise import NoiseSource

Pictures = NDArray[np.uint8]
"""[batch, height, width, 3], RGB."""


@torch.no_grad()
def encode(
    vae: AutoencoderKL, pictures: Pictures, noise: NoiseSource | None = None, tiled: bool = False
) -> Tensor:
    """Pictures to latents.

    Args:
        vae: the model's own autoencoder.
        pictures: uint8 [batch, height, width, 3]; sides must be multiples of 8.
        noise: draws each latent from the VAE's posterior; without it, the posterior's mean is taken.
        tiled: work on overlapping tiles, to spare memory with large pictures.

    Returns:
        float32 [batch, channels, height / 8, width / 8] on the VAE's device, scaled as the UNet expects.

    Raises:
        ValueError: the pictures are of another shape or kind, or the result is not finite.
    """
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
        posterior = vae.encode((2.0 * values - 1.0).to(next(vae.parameters()))).latent_dist
    latents: Tensor = (
        posterior.mean if noise is None else posterior.mean + posterior.std * noise.like(posterior.mean)
    )
    latents = (vae.config.scaling_factor * latents).float()
    if not torch.isfinite(latents).all():
        raise ValueError("The VAE made NaN or infinity of the picture. Run it in float32.")
    return latents


@torch.no_grad()
def decode(vae: AutoencoderKL, latents: Tensor, tiled: bool = False) -> Pictures:
    """Latents to pictures, as diffusers' pipelines do it, bit for bit.

    Args:
        vae: the model's own autoencoder.
        latents: [batch, channels, height, width], scaled as the UNet made them.
        tiled: work on overlapping tiles, to spare memory with large pictures; seams differ slightly.

    Returns:
        uint8 [batch, height * 8, width * 8, 3], RGB.

    Raises:
        ValueError: the latents are of another shape, or they or the pictures hold NaN or infinity.
    """
    channels = vae.config.latent_channels
    if latents.ndim != 4 or latents.shape[1] != channels:
        raise ValueError(f"This VAE decodes [batch, {channels}, height, width], not {list(latents.shape)}.")
    if not torch.isfinite(latents).all():
        raise ValueError(
            "The latents hold NaN or infinity, so there is no picture in them. Sample in float32."
        )
    with _tiling(vae, tiled):
        values: Tensor = vae.decode(latents.to(next(vae.parameters())) / vae.config.scaling_factor).sample
    if not torch.isfinite(values).all():
        raise ValueError("The VAE answered with NaN or infinity. Run it in float32.")
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
