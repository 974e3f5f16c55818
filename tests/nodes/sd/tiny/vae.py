"""Trains the autoencoder on rendered scenes, and then its decoder alone."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nodes.sd.training_loop.loop import Batch, Loss
from nodes.sd.training_loop.random_sources import RandomSources
from tests.nodes.sd.tiny.classifier import to_pixels
from tests.nodes.sd.tiny.render import Box, render_with_boxes
from tests.nodes.sd.tiny.scenes import SIZE, draw_scene
from tests.nodes.sd.tiny.stage import run_stage

CROP = 64
"""The side of the crop around a thing that most steps use: a quarter of the work, nearly all of the edges."""
FULL_FROM = 0.8
"""The progress from which whole pictures are used."""


def train_vae(vae: Any, file: Path, *, steps: int, seed: int, until: float) -> bool:
    """Train encoder and decoder together. Returns whether the last step is done; see `run_stage`."""
    loss = _loss(vae, _posterior_sample)
    return run_stage({"vae": vae}, loss, file, steps=steps, rate=1.5e-3, seed=seed, until=until)


def train_decoder(vae: Any, file: Path, *, steps: int, seed: int, until: float) -> bool:
    """Train the decoder alone; the latents stay as they are. Returns whether the last step is done."""
    modules = {"decoder": vae.decoder, "after_latent": vae.post_quant_conv}
    loss = _loss(vae, _posterior_mean)
    return run_stage(modules, loss, file, steps=steps, rate=6e-4, seed=seed, until=until)


def reconstruction_loss(drawn: Tensor, wanted: Tensor) -> Tensor:
    """The absolute and the squared error, and the error of the differences between neighbouring pixels."""
    error = drawn - wanted
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 0.5 * (across + down) + error.square().mean()


def _loss(vae: Any, encode: Any) -> Loss:
    scaling: float = vae.config.scaling_factor

    def loss(draws: RandomSources, place: Batch) -> Tensor:
        wanted = _batch(draws.python, whole=place.progress >= FULL_FROM)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latent, penalty = encode(vae, wanted, draws)
            # The denoiser's latents are never exact, so the decoder is trained with noise on them.
            strength = torch.rand(len(latent), 1, 1, 1, generator=draws.torch) * 0.15 / scaling
            latent = latent + strength * torch.randn(latent.shape, generator=draws.torch)
            drawn = vae.decode(latent).sample.float()
        total: Tensor = reconstruction_loss(drawn, wanted) + penalty
        return total

    return loss


def _posterior_sample(vae: Any, pixels: Tensor, draws: RandomSources) -> tuple[Tensor, Tensor]:
    posterior = vae.encode(pixels).latent_dist
    mean, variance = posterior.mean.float(), posterior.var.float()
    latent = mean + variance.sqrt() * torch.randn(mean.shape, generator=draws.torch)
    power = (mean * vae.config.scaling_factor).square().mean()
    # Diffusion needs latents of variance 1. Without a limit, the encoder makes them larger than the noise.
    penalty = 0.05 * F.relu(power - 1.1) + 1e-4 * (variance - 1 - variance.log()).mean()
    return latent, penalty


def _posterior_mean(vae: Any, pixels: Tensor, draws: RandomSources) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return vae.encode(pixels).latent_dist.mean.float(), torch.zeros(())


def _batch(rng: random.Random, *, whole: bool) -> Tensor:
    pictures = []
    for _ in range(4 if whole else 12):
        picture, boxes = render_with_boxes(draw_scene(rng, two=0.2), rng)
        pictures.append(picture if whole else picture.crop(_around(rng.choice(boxes), rng)))
    return to_pixels(pictures)


def _around(box: Box, rng: random.Random) -> tuple[int, int, int, int]:
    """A crop that contains a thing, or a large part of it; its edges are multiples of 8 pixels."""
    sway = 8 if box[2] < 19 else 18
    left, top = (
        int(max(0, min(SIZE - CROP, centre - CROP / 2 + rng.uniform(-sway, sway)))) // 8 * 8
        for centre in box[:2]
    )
    return left, top, left + CROP, top + CROP
