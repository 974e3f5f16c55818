"""Draws sample pictures with the current weights, without changing the random state of the training."""

from __future__ import annotations

from dataclasses import dataclass
from typing import Any

import torch
from torch import Tensor

from nodes.sd.families.family import DenoisingNetwork, Flow, NoiseSchedule, SizeNumbers
from nodes.sd.families.unet import UNET
from nodes.sd.fine_tuning.prompt_encoders import EncodedBatch
from nodes.sd.fine_tuning.task import Encode
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.sampling import samplers
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.names import Prediction, SamplerName
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers import SamplerSettings
from nodes.sd.sampling.schedules import schedule
from nodes.sd.sampling.tables import table_of


@dataclass(frozen=True)
class SampleSettings:
    """The settings of samples.

    The sampler is DPM++ 2M with the Karras schedule; for flow models it is Euler with the schedule `normal`,
    as in diffusers' pipeline of SD 3. Distilled models are sampled at guidance 1.
    """

    noise: NoiseSchedule
    prediction: Prediction
    shape: tuple[int, int, int]
    """The channels, height and width of a latent."""
    size_numbers: SizeNumbers | None = None
    """The size numbers that SDXL's UNet reads beside the pooled vector; None for other families."""
    scale: int = 8
    """Pixels per latent cell, along each side."""
    negative: str = ""
    seed: int = 0
    """The seed of all samples of a training, so that only the trained weights change the samples."""
    steps: int = 20
    guidance: float = 7.0
    network: DenoisingNetwork = UNET
    """How the model is called."""


@torch.no_grad()
def draw_latent(unet: Any, encode: Encode, prompt: str, settings: SampleSettings) -> Tensor:
    """Sample a latent for a prompt, float32 [1, channels, height, width].

    Raises:
        ValueError: the prompt has parts joined by AND, or changes from step to step.
    """
    noise, network = settings.noise, settings.network
    if isinstance(noise, Flow):
        noise = noise.of_tokens(settings.shape[1] * settings.shape[2] // network.patch**2)
    table = table_of(noise)
    sampler: SamplerName = "euler" if table.is_flow else "dpmpp_2m"
    plan = schedule("normal" if table.is_flow else "karras", settings.steps, table)
    cond, uncond = (_part(encode([text])) for text in (prompt, settings.negative))
    denoiser = Denoiser(
        unet,
        plan,
        settings.prediction,
        [cond],
        uncond=[uncond],
        guidance=1.0 if network.is_distilled else settings.guidance,
        size_numbers=settings.size_numbers,
        scale=settings.scale,
        network=network,
    )
    source = NoiseSource(settings.seed)
    first = source.like(torch.empty(1, *settings.shape)).to(next(unet.parameters()).device)
    x = samplers.start(first, plan.sigmas, table=table)
    for step in samplers.sample(sampler, denoiser, x, plan.sigmas, source, SamplerSettings(), table):
        x = step.x
    return x.float()


def _part(batch: EncodedBatch) -> PromptPart:
    """Convert an encoded prompt to the form that the denoiser reads."""
    pooled = () if batch.pooled is None else (batch.pooled.float(),)
    return PromptPart((batch.rows.float(),), pooled=pooled)
