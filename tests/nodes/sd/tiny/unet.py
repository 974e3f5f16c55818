"""Trains the denoiser and the text encoder together on cached latents."""

from __future__ import annotations

from pathlib import Path

import torch
from diffusers.models.attention_processor import AttnProcessor
from torch import Tensor
from torch.nn import functional as F

from nodes.sd.training_loop.loop import Batch
from nodes.sd.training_loop.random_sources import RandomSources
from tests.nodes.sd.tiny.latents import load_latents
from tests.nodes.sd.tiny.parts import END, START, WORDS, Parts, new_scheduler
from tests.nodes.sd.tiny.stage import run_stage

UNCONDITIONAL = 0.1
"""The share of empty captions, which classifier-free guidance needs (arXiv:2207.12598)."""
FOCUSED = 0.65
"""The share of noise levels from `FOCUS`, the part of the schedule that determines the shapes."""
FOCUS = (250, 900)


def train_unet(
    parts: Parts, latents: Path, file: Path, *, steps: int, batch: int, rate: float, seed: int, until: float
) -> bool:
    """Train the denoiser and the text encoder. Returns whether the last step is done; see `run_stage`."""
    parts.unet.set_attn_processor(AttnProcessor())  # trains faster on a CPU than the fused one
    signal = new_scheduler().alphas_cumprod
    data = load_latents(latents)
    empty = torch.full((WORDS,), END)
    empty[0] = START

    def loss(draws: RandomSources, place: Batch) -> Tensor:
        random = draws.torch
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

    finished = run_stage(
        {"unet": parts.unet, "text": parts.text_encoder},
        loss,
        file,
        steps=steps,
        rate=rate,
        seed=seed,
        until=until,
        rate_factors={"text": 0.2},
    )
    parts.unet.set_default_attn_processor()
    return finished


def draw_timesteps(count: int, generator: torch.Generator) -> Tensor:
    """Noise levels from 0 to 999, stratified: every batch has low, middle and high ones. int64 [count]."""
    place = (torch.arange(count) + torch.rand(count, generator=generator)) / count
    focused = torch.rand(count, generator=generator) < FOCUSED
    low, high = FOCUS
    return torch.where(focused, low + place * (high - low), place * 1000).long().clamp(0, 999)


def emphasis(latents: Tensor, count: Tensor) -> Tensor:
    """The weight of each cell's error, [n, 16, 16]: things count more than the ground, small things most.

    Args:
        latents: [n, 4, 16, 16].
        count: the number of things in each scene, [n].
    """
    where = things(latents)
    area = where.sum((1, 2), keepdim=True).clamp(min=1) / count[:, None, None]
    return 1 + 3 * where * (90 / area).clamp(0.5, 2)


def things(latents: Tensor) -> Tensor:
    """1 for the cells of a thing and its edge, 0 for the ground, [n, 16, 16].

    The ground is the median of the first and the last row. A background pattern counts as a thing, too.
    """
    edge = torch.cat([latents[:, :, 0], latents[:, :, -1]], 2).median(2).values[:, :, None, None]
    differs = ((latents - edge).abs().amax(1, keepdim=True) > 0.3).float()
    return F.max_pool2d(differs, 3, 1, 1)[:, 0]
