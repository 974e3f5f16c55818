"""Trains the denoiser, and with it the text encoder, on cached latents."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional as F

from nodes.sd.tiny.latents import load_latents
from nodes.sd.tiny.parts import END, START, WORDS, Parts, new_scheduler
from nodes.sd.tiny.training import Chance, Training

UNCONDITIONAL = 0.1
"""The share of captions left empty, for guidance (arXiv:2207.12598)."""
FOCUSED = 0.65
"""The share of noise levels drawn from the part of the schedule where shapes are decided."""
FOCUS = (250, 900)


def train_unet(
    parts: Parts, latents: Path, file: Path, *, steps: int, batch: int, rate: float, seed: int, until: float
) -> bool:
    """Train denoiser and text encoder; whether the last step was reached."""
    parts.unet.set_attn_processor(AttnProcessor())  # on a CPU faster to train than the fused one
    signal = new_scheduler().alphas_cumprod
    data = load_latents(latents)
    empty = torch.full((WORDS,), END)
    empty[0] = START

    def loss(chance: Chance, progress: float) -> Tensor:
        random = chance.torch
        scene = torch.randint(len(data.pictures), (batch,), generator=random)
        wording = torch.randint(data.captions.shape[1], (batch,), generator=random)
        clean, tokens = data.pictures[scene].float(), data.captions[scene, wording].long()
        tokens[torch.rand(batch, generator=random) < UNCONDITIONAL] = empty
        t = draw_timesteps(batch, random)
        a = signal[t].sqrt()[:, None, None, None]
        s = (1 - signal[t]).sqrt()[:, None, None, None]
        noise = torch.randn(clean.shape, generator=random)
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = parts.text_encoder(tokens)[0]
            drawn = parts.unet(a * clean + s * noise, t, hidden).sample
        error = (drawn.float() - (a * noise - s * clean)).square().mean(1)
        weight = emphasis(clean, data.things[scene])
        value: Tensor = (error * weight).mean() / weight.mean()
        return value

    networks = {"unet": parts.unet, "text": parts.text_encoder}
    training = Training(networks, file, steps=steps, rate=rate, seed=seed, rates={"text": 0.2})
    finished = training.run(loss, until)
    parts.unet.set_default_attn_processor()
    return finished


def draw_timesteps(count: int, generator: torch.Generator) -> Tensor:
    """Noise levels 0 to 999, stratified so that every batch meets low, middle and high ones."""
    place = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    focused = torch.rand(count, generator=generator) < FOCUSED
    low, high = FOCUS
    return torch.where(focused, low + place * (high - low), place * 1000).long().clamp(0, 999)


def emphasis(latents: Tensor, count: Tensor) -> Tensor:
    """How much each cell's error counts, of shape (n, 16, 16): things more than the ground, small most.

    Args:
        latents: Latents of shape (n, 4, 16, 16).
        count: How many things each shows, of shape (n,).
    """
    where = things(latents)
    area = where.sum((1, 2), keepdim=True).clamp(min=1) / count[:, None, None]
    return 1 + 3 * where * (90 / area).clamp(0.5, 2)


def things(latents: Tensor) -> Tensor:
    """1 where a thing or its edge lies and 0 on the ground, of shape (n, 16, 16).

    The ground is the median of the first and last row; what differs from it is a thing, or a pattern.
    """
    edge = torch.cat([latents[:, :, 0], latents[:, :, -1]], 2).median(2).values[:, :, None, None]
    differs = ((latents - edge).abs().amax(1, keepdim=True) > 0.3).float()
    return F.max_pool2d(differs, 3, 1, 1)[:, 0]
