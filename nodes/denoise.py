"""Denoise: from noise to a latent picture, step by step."""

from __future__ import annotations

from typing import TYPE_CHECKING, Annotated, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Range, Seed
from nodes.explained import explained
from nodes.sd.names import SamplerName, ScheduleName
from nodes.values import Conditioning, Latent, Model

if TYPE_CHECKING:
    from nodes.sd.prompts.timeline import PromptPart


class Sampled(NamedTuple):
    """What sampling ends with."""

    latent: Latent
    sigmas: list[float]


class Denoise(Node, category="sampling", accelerator=True, libraries=("torch", "diffusers")):
    """Turn noise into a latent picture, step by step."""

    model: Model
    positive: Conditioning
    negative: Conditioning
    latent: Latent
    seed: Seed = 0
    """Where the noise starts; picture i of a batch uses the seed plus i."""
    steps: Annotated[int, Range(1, 999)] = 20
    """More steps settle finer detail and cost time; 15 to 40 is usual."""
    guidance: Annotated[float, Range(0, 30, step=0.5)] = 7.0
    """How strictly to follow the prompt; 1 ignores the negative prompt and takes half the time, 4 to 9 is
    usual, more burns colours."""
    sampler: SamplerName = "dpmpp_2m"
    """How to step: `dpmpp_2m` settles in few steps, `euler` is plain, `euler_ancestral` keeps changing with
    more steps, `ddim` is the oldest."""
    schedule: ScheduleName = "karras"
    """Where the steps lie: `karras` spends more of them on fine detail."""
    rescale: Annotated[float, Range(0, 1, step=0.05)] = 0.0
    """Takes back the glare of strong guidance (arXiv:2305.08891); 0.7 suits models trained to zero signal."""
    strength: Annotated[float, Range(0, 1, step=0.05)] = 1.0
    """How much of the latent to replace: 1 starts from noise alone, as if it were empty; 0.5 keeps the
    composition."""

    def run(self, ctx: Context) -> Sampled:
        from nodes.sd import samplers, schedules
        from nodes.sd.denoiser import Denoiser
        from nodes.sd.noise import NoiseSource

        checkpoint = self.model.checkpoint
        with explained():
            plan = schedules.schedule(self.schedule, self.steps, schedules.NoiseTable(checkpoint.betas))
            if self.strength < 1:
                plan = plan.for_strength(self.strength)
            unet = ctx.use(self.model)
            denoiser = Denoiser(
                unet,
                plan,
                checkpoint.prediction,
                self.positive.parts,
                uncond=self._without(ctx),
                guidance=self.guidance,
                rescale=self.rescale,
            )
            given = self.latent.samples.to(ctx.device)
            noise = NoiseSource(self.seed, len(given))
            x = samplers.start(noise.like(given), plan.sigmas, given if self.strength < 1 else None)
            for step in ctx.track(samplers.sample(self.sampler, denoiser, x, plan.sigmas, noise), plan.steps):
                x = step.x
                ctx.preview(Latent(step.x0))
        return Sampled(Latent(x.float().cpu()), plan.sigmas.tolist())

    def _without(self, ctx: Context) -> tuple[PromptPart, ...]:
        """What the picture is to lean away from.

        Raises:
            NodeError: it has several parts.
        """
        parts = self.negative.parts
        if len(parts) > 1:
            raise NodeError(
                "AND has no meaning in a negative prompt",
                hint="turn `negative` on where it is encoded, and AND is a plain word",
                input="negative",
            )
        if parts[0].weight != 1:
            ctx.warn(
                f"the negative prompt's weight of {parts[0].weight:g} has no effect; turn `negative` on where"
                " it is encoded, and its number is read as words"
            )
        return parts
