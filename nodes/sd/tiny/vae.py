"""Trains the autoencoder, and then its decoder alone, on rendered scenes."""

from __future__ import annotations

import random
from pathlib import Path
from typing import Any

import torch
from torch import Tensor
from torch.nn import functional as F

from nodes.sd.tiny.classifier import to_pixels
from nodes.sd.tiny.render import Box, render_with_boxes
from nodes.sd.tiny.scenes import SIZE, draw_scene
from nodes.sd.tiny.training import Chance, Loss, Training

CROP = 64
"""Side of the part around a thing that most steps look at: a quarter of the work, nearly all of the edges."""
FULL_FROM = 0.8
"""The share of the training after which whole pictures are used."""


def train_vae(vae: Any, file: Path, *, steps: int, seed: int, until: float) -> bool:
    """Train encoder and decoder together; whether the last step was reached."""
    training = Training({"vae": vae}, file, steps=steps, rate=1.5e-3, seed=seed)
    return training.run(_loss(vae, _posterior_sample), until)


def train_decoder(vae: Any, file: Path, *, steps: int, seed: int, until: float) -> bool:
    """Train the decoder while the latent space stays as it is; whether the last step was reached."""
    networks = {"decoder": vae.decoder, "after_latent": vae.post_quant_conv}
    training = Training(networks, file, steps=steps, rate=6e-4, seed=seed)
    return training.run(_loss(vae, _posterior_mean), until)


def reconstruction_loss(drawn: Tensor, wanted: Tensor) -> Tensor:
    """Absolute and squared error, and the error of the steps between neighbouring pixels: the edges."""
    error = drawn - wanted
    across = (error[..., 1:] - error[..., :-1]).abs().mean()
    down = (error[..., 1:, :] - error[..., :-1, :]).abs().mean()
    return error.abs().mean() + 0.5 * (across + down) + error.square().mean()


def _loss(vae: Any, encode: Any) -> Loss:
    scaling: float = vae.config.scaling_factor

    def loss(chance: Chance, progress: float) -> Tensor:
        wanted = _batch(chance.python, whole=progress >= FULL_FROM)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            latent, penalty = encode(vae, wanted, chance)
            # The denoiser never hits a latent exactly; a decoder that has seen worse does not mind.
            strength = torch.rand(len(latent), 1, 1, 1, generator=chance.torch) * 0.15 / scaling
            latent = latent + strength * torch.randn(latent.shape, generator=chance.torch)
            drawn = vae.decode(latent).sample.float()
        total: Tensor = reconstruction_loss(drawn, wanted) + penalty
        return total

    return loss


def _posterior_sample(vae: Any, pixels: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    posterior = vae.encode(pixels).latent_dist
    mean, variance = posterior.mean.float(), posterior.var.float()
    latent = mean + variance.sqrt() * torch.randn(mean.shape, generator=chance.torch)
    power = (mean * vae.config.scaling_factor).square().mean()
    # Diffusion wants latents of variance 1; without a bound the encoder would outgrow the noise put on them.
    penalty = 0.05 * F.relu(power - 1.1) + 1e-4 * (variance - 1 - variance.log()).mean()
    return latent, penalty


def _posterior_mean(vae: Any, pixels: Tensor, chance: Chance) -> tuple[Tensor, Tensor]:
    with torch.no_grad():
        return vae.encode(pixels).latent_dist.mean.float(), torch.zeros(())


def _batch(rng: random.Random, *, whole: bool) -> Tensor:
    pictures = []
    for _ in range(4 if whole else 12):
        picture, boxes = render_with_boxes(draw_scene(rng, two=0.2), rng)
        pictures.append(picture if whole else picture.crop(_around(rng.choice(boxes), rng)))
    return to_pixels(pictures)


def _around(box: Box, rng: random.Random) -> tuple[int, int, int, int]:
    """A crop that shows the thing or, of a large one, a good part; aligned with the cells of 8 pixels."""
    sway = 8 if box[2] < 19 else 18
    left, top = (
        int(max(0, min(SIZE - CROP, centre - CROP / 2 + rng.uniform(-sway, sway)))) // 8 * 8
        for centre in box[:2]
    )
    return left, top, left + CROP, top + CROP
