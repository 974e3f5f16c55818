"""Denoise: generates a latent picture from noise by sampling with a model."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace
from functools import partial
from typing import TYPE_CHECKING, Annotated, Any, Literal, NamedTuple

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range, Seed
from nodes.files.controlnet_files import ControlNet
from nodes.node_problem import node_problem
from nodes.sd.families.family import LARGE, DenoisingNetwork, Flow, NoiseSchedule
from nodes.sd.families.known import family_named
from nodes.sd.sampling.names import DISCARDS_PENULTIMATE, NoiseKind, SamplerName, ScheduleName
from nodes.values import Conditioning, Latent, Model

if TYPE_CHECKING:
    from diffusers.models.controlnets.controlnet import ControlNetModel
    from torch import Tensor

    from nodes.sd.prompts.timeline import PromptPart
    from nodes.sd.sampling.samplers import SamplerSettings
    from nodes.sd.sampling.schedule import Schedule
    from nodes.sd.sampling.tables import Table

MOST_CFG_PP_GUIDANCE = 3.0
"""CFG++ samplers oversaturate the colours above this; A1111 divides the usual guidance by 12.5 for them."""

SA_SOLVER_NOISE = (0.8, 0.2)
"""The shares of the training steps between which SA-Solver adds noise, as in ComfyUI: lowest level first."""


class Sampled(NamedTuple):
    """The outputs of Denoise."""

    latent: Latent
    sigmas: list[float]
    """The noise levels before each step and after the last one, in falling order."""


class Denoise(
    Node,
    category="sampling",
    version=3,
    accelerator=True,
    previews=True,
    aliases=("KSampler", "KSamplerAdvanced"),
    libraries=("torch", "diffusers"),
):
    """Generate a latent picture: remove noise step by step, guided by the prompts (a KSampler)."""

    model: Model
    positive: Conditioning
    """What the picture should show: an encoded prompt."""
    negative: Conditioning
    """What the picture should not show: an encoded prompt, which may be empty."""
    latent: Latent
    """An EmptyLatent for text to image, or an encoded picture for image to image."""
    seed: Seed = 0
    """The seed of the noise. The same seed and settings give the same picture; picture number i of a batch
    uses the seed plus i."""
    steps: Annotated[int, Range(1, 999)] = 20
    """How many sampling steps, 1 to 999; 15 to 40 is usual. More steps give finer detail and take longer."""
    guidance: Annotated[float, Range(0, 30, step=0.5)] = 7.0
    """How closely to follow the prompt (CFG scale), 0 to 30; 4 to 9 is usual. Higher values follow it more
    closely, and high ones oversaturate the colours. At 1 the negative prompt has no effect and each step
    takes half the time. FLUX.1 needs 1: its guidance is set by SetDistilledGuidance. The samplers with
    `cfg_pp` need 0 to 1."""
    guidance_start: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.0
    """The share of the steps after which guidance begins; before it, the negative prompt has no effect and a
    step takes half the time (arXiv:2404.07724)."""
    guidance_end: Annotated[float, Range(0, 1, step=0.05), Advanced] = 1.0
    """The share of the steps after which guidance ends; the steps after it take half the time."""
    sampler: SamplerName = "dpmpp_2m"
    """The sampling method. `dpmpp_2m` needs few steps; `euler` is simple and reliable; `euler_ancestral` adds
    noise in every step, so the picture keeps changing as the number of steps grows; `ddim` is the oldest."""
    schedule: ScheduleName = "karras"
    """How the noise levels are spaced over the steps. `karras` uses more of the steps for fine detail."""
    rho: Annotated[Annotated[float, Range(0.1, 20, step=0.1)] | None, Advanced] = None
    """How strongly `karras` and `polyexponential` bend the schedule: higher values use more steps for fine
    detail with `karras`, at high noise with `polyexponential`. Empty uses 7 and 1."""
    rescale: Annotated[float, Range(0, 1, step=0.05), Advanced] = 0.0
    """Reduces the overexposure that strong guidance causes, 0 (off) to 1 (arXiv:2305.08891). 0.7 suits models
    that were trained with zero terminal SNR; leave it at 0 for all others."""
    strength: Annotated[float, Range(0, 1, step=0.05)] = 1.0
    """How much of the given latent is replaced (denoising strength), 0 to 1. 1 starts from pure noise, as
    text to image does; 0.5 keeps the composition; 0 runs one step."""
    noise: Annotated[NoiseKind, Advanced] = "cpu"
    """Which generator draws the noise. `cpu`: torch's on the CPU, as in diffusers and with A1111's setting
    CPU. `nv`: that of NVIDIA GPUs, computed on any device, which is A1111's default. `comfyui`: as ComfyUI,
    which draws the first noise on the CPU, later noise on the GPU, and that of a whole batch from one seed.
    `comfyui_gpu`: as its samplers whose names end in `_gpu`."""
    later_seed_shift: Annotated[int, Range(-(2**53), 2**53), Advanced] = 0
    """Added to the seed of the noise that samplers add between their steps (A1111's eta noise seed delta,
    ENSD). 31337 gives the noise of NovelAI."""
    variation_seed: Annotated[Seed, Advanced] = 0
    """The seed of a second noise, which `variation` mixes in. Picture number i of a batch then uses this seed
    plus i, and the same `seed`."""
    variation: Annotated[float, Range(0, 1, step=0.01), Advanced] = 0.0
    """How much of the second noise is in the first noise, 0 (none) to 1 (only). 0.05 to 0.2 gives similar
    pictures."""
    eta: Annotated[Annotated[float, Range(0, 2, step=0.1)] | None, Advanced] = None
    """How much fresh noise samplers add between steps: 0 adds none, 1 is usual for ancestral and SDE
    samplers. Empty uses the sampler's own default."""
    noise_scale: Annotated[float, Range(0, 2, step=0.01), Advanced] = 1.0
    """The strength of noise that is added between steps (s_noise). Above 1 adds detail, and grain."""
    churn: Annotated[float, Range(0, 100, step=1), Advanced] = 0.0
    """Noise that `euler`, `heun`, `heunpp2` and `dpm2` add before their steps (s_churn), in total over all
    steps; 0 adds none."""
    churn_low: Annotated[float, Range(0, 5000, step=0.1), Advanced] = 0.0
    """The lowest noise level at which `churn` acts (s_tmin)."""
    churn_high: Annotated[float, Range(0, 5000, step=0.1), Advanced] = 5000.0
    """The highest noise level at which `churn` acts (s_tmax)."""
    start_step: Annotated[int, Range(0, 998), Advanced] = 0
    """The first step that runs, from 0. Above 0 the given latent is used from there on."""
    end_step: Annotated[Annotated[int, Range(1, 999)] | None, Advanced] = None
    """The step before which sampling ends; empty runs all steps. With `keep_noise`, another Denoise can
    continue from this step."""
    add_noise: Annotated[bool, Advanced] = True
    """Off: the given latent already contains the noise of its level, for example from another Denoise with
    `keep_noise`."""
    keep_noise: Annotated[bool, Advanced] = False
    """Leave the noise of the level at `end_step` in the latent, instead of removing all of it in the last
    step."""
    discard_penultimate: Annotated[bool | None, Advanced] = None
    """Leave out the last noise level but one, as A1111 and ComfyUI do for DPM2, DPM++ 3M SDE and UniPC. Empty
    uses the sampler's default."""
    follow: Annotated[Literal["a1111", "comfyui"], Advanced] = "a1111"
    """Which tool's details to follow. `comfyui` calls the model at whole timesteps and starts with slightly
    stronger noise; the picture differs a little. With FLUX.1 dev it uses the shift for 1024 x 1024 pixels at
    every size."""

    def run(self, ctx: Context) -> Sampled:
        from nodes.sd.models.canvas import far_larger
        from nodes.sd.models.latent_preview import latent_preview
        from nodes.sd.sampling import samplers
        from nodes.sd.sampling.blending import resized
        from nodes.sd.sampling.denoiser import Denoiser
        from nodes.sd.sampling.inpainting import MaskedDenoiser
        from nodes.sd.sampling.noise import NoiseSource, Variation

        checkpoint = self.model.checkpoint
        family = family_named(checkpoint.family)
        sampler = samplers.SAMPLERS[self.sampler]
        if sampler.cfg_pp and self.guidance > MOST_CFG_PP_GUIDANCE:
            ctx.warn(f"guidance {self.guidance:g} is very high for the sampler {self.sampler}; use 0 to 1")
        self._check_guidance(ctx, family.network)
        height, width = (side * checkpoint.vae_scale for side in self.latent.samples.shape[-2:])
        trained = checkpoint.width, checkpoint.height
        if warning := far_larger(trained, (width, height), ctx.compute.attention):
            ctx.warn(warning)
        self._reserve(ctx, (width, height))
        masked = None
        with node_problem():
            plan = self._plan()
            settings = self._settings(ctx, plan.table)
            unet = self._network(ctx)
            given = self._given(unet.config).to(ctx.device)
            denoiser: Denoiser | MaskedDenoiser = Denoiser(
                unet,
                plan,
                checkpoint.prediction,
                self.positive.parts,
                uncond=self._negative_parts(ctx),
                guidance=self.guidance,
                guided=self._guided(ctx, sampler.cfg_pp),
                rescale=self.rescale,
                separate=sampler.cfg_pp,
                size_numbers=family.size_numbers,
                scale=checkpoint.vae_scale,
                network=family.network,
                controlnets=self._controlnets(ctx),
                context=self._context(given),
            )
            noise = NoiseSource(
                self.seed,
                len(given),
                self.noise,
                later_shift=self.later_seed_shift,
                variation=Variation(self.variation_seed, self.variation),
            )
            first = noise.like(given)  # always drawn, so that the noise of later steps is the same
            x = self._start(given, first, plan)
            if self.latent.mask is not None:
                mask = resized(self.latent.mask, given)
                before = first * self.add_noise if self.follow == "comfyui" else None
                denoiser = masked = MaskedDenoiser(denoiser, given, mask, plan.table, before)
            steps = samplers.sample(self.sampler, denoiser, x, plan.sigmas, noise, settings, plan.table)
            for step in ctx.track(steps, samplers.step_count(self.sampler, plan.sigmas), unit="steps"):
                x = step.x
                ctx.preview(partial(latent_preview, step.x0, checkpoint.colours, checkpoint.vae_scale))
        if masked is not None and plan.sigmas[-1] == 0:
            x = masked.kept(x)
        drawn = replace(self.latent, samples=x.float(), made_with=checkpoint.family)
        return Sampled(drawn, plan.sigmas.tolist())

    def _reserve(self, ctx: Context, canvas: tuple[int, int]) -> None:
        """Make room in the device's memory for one sampling step.

        Raises:
            NodeError: the device has too little memory.
        """
        from nodes.sd.models.estimates import sampling_bytes

        checkpoint = self.model.checkpoint
        rows = len(self.latent.samples) * (1 if self.guidance == 1 else 2)
        family = family_named(checkpoint.family)
        size = sampling_bytes(
            canvas,
            rows,
            ctx.compute.itemsize,
            ctx.compute.attention,
            checkpoint.files(ctx.files).configs[family.network.component],
            checkpoint.vae_scale,
            family.network.patch,
            family.text_length,
        )
        ctx.reserve(size, f"a step at {canvas[0]} x {canvas[1]}")

    @classmethod
    def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
        """Convert the inputs of earlier versions.

        Version 1 kept the last noise level but one for `dpm2`. Version 2 had the same inputs as now, but drew
        other noise for the DPM++ SDE samplers and for batches like ComfyUI's.
        """
        if version < 2 and inputs.get("sampler") == "dpm2":
            return {"discard_penultimate": False, **inputs}
        return inputs

    def _given(self, config: Mapping[str, Any]) -> Tensor:
        """Return the latent to begin with; an empty one gets the number of channels that the model reads.

        Raises:
            NodeError: the latent is of another kind of model, or of a size that the model cannot process.
        """
        import torch

        checkpoint, samples = self.model.checkpoint, self.latent.samples
        network = family_named(checkpoint.family).network
        count, channels, height, width = samples.shape
        checkpoint.refuse_latent(self.latent.made_with, network.noun)
        if channels != checkpoint.latent_channels:
            if samples.any():
                raise NodeError(
                    f"the latent has {channels} channels, but {checkpoint.name} reads"
                    f" {checkpoint.latent_channels}",
                    hint="encode the picture with the VAE of this model",
                    input="latent",
                    code="other_latent",
                )
            samples = torch.zeros(count, checkpoint.latent_channels, height, width)
        step, most = network.patch, network.most_cells(config)
        if height % step or width % step or (most is not None and max(height, width) > most):
            scale = checkpoint.vae_scale
            limit = "" if most is None else f", up to {most * scale}"
            raise NodeError(
                f"{checkpoint.name} cannot generate pictures of {width * scale} x {height * scale} pixels",
                hint=f"use multiples of {step * scale} pixels{limit}",
                input="latent",
                code="bad_size",
            )
        return samples

    def _plan(self) -> Schedule:
        """Compute the noise levels of the steps to run."""
        from nodes.sd.sampling.schedules import schedule
        from nodes.sd.sampling.tables import table_of

        discard = self.discard_penultimate
        if discard is None:
            discard = self.sampler in DISCARDS_PENULTIMATE
        table = table_of(self._noise())
        plan = schedule(self.schedule, self.steps, table, discard_penultimate=discard, rho=self.rho)
        if self.follow == "comfyui":
            plan = plan.with_whole_timesteps()
        if self.strength < 1:
            plan = plan.for_strength(self.strength)
        if self.start_step or self.end_step is not None:
            plan = plan.between(self.start_step, self.end_step, keep_noise=self.keep_noise)
        return plan

    def _noise(self) -> NoiseSchedule:
        """Return the noise schedule of the model for the size of the latent."""
        checkpoint = self.model.checkpoint
        if not isinstance(checkpoint.noise, Flow):
            return checkpoint.noise
        height, width = self.latent.samples.shape[-2:]
        tokens = height * width // family_named(checkpoint.family).network.patch ** 2
        return checkpoint.noise.of_tokens(LARGE if self.follow == "comfyui" else tokens)

    def _settings(self, ctx: Context, table: Table) -> SamplerSettings:
        """Collect the settings of the sampler; warns about each changed setting that it does not use."""
        from nodes.sd.sampling.samplers import Churn, Levels, SamplerSettings, unused_settings

        churn = Churn(self.churn, self.churn_low, self.churn_high, self.noise_scale)
        noisy_levels = Levels(*(table.level_after(share) for share in SA_SOLVER_NOISE))
        settings = SamplerSettings(self.eta, self.noise_scale, churn, noisy_levels)
        for name in unused_settings(self.sampler, settings):
            ctx.warn(f"{name} has no effect: the sampler {self.sampler} does not use it")
        if self.keep_noise and self.end_step is None:
            ctx.warn("keep_noise has no effect without end_step: the last step removes all noise")
        return settings

    def _check_guidance(self, ctx: Context, network: DenoisingNetwork) -> None:
        """Warn about guidance that the model is not made for."""
        from nodes.sd.models.guidance import unsuited

        if warning := unsuited(network, self.guidance):
            ctx.warn(warning)
        if network.distilled_guidance is None and any(
            part.guidance is not None for part in self.positive.parts
        ):
            ctx.warn(
                f"SetDistilledGuidance has no effect: {self.model.checkpoint.name} reads no such guidance"
            )

    def _guided(self, ctx: Context, cfg_pp: bool) -> tuple[float, float]:
        """Return where guidance begins and ends to act, as shares of the steps from 0 to 1."""
        guided = (self.guidance_start, self.guidance_end)
        if cfg_pp and guided != (0, 1):
            ctx.warn(f"guidance_start and guidance_end have no effect with the sampler {self.sampler}")
            return 0.0, 1.0
        return guided

    def _network(self, ctx: Context) -> Any:
        """Load the network onto the device; a UNet computes the keys and values of each prompt only once."""
        from nodes.sd.sampling.text_keys import with_text_keys

        loaded = ctx.use(self.model)
        is_unet = family_named(self.model.checkpoint.family).network.is_unet
        as_loaded = ctx.compute.compile != "off" or ctx.compute.offload == "blocks"  # their modules are fixed
        return with_text_keys(loaded) if is_unet and not as_loaded else loaded

    def _controlnets(self, ctx: Context) -> dict[str, ControlNetModel]:
        """Load the ControlNets of both prompts onto the device; returns them by the digest of the weights."""
        from nodes.sd.sampling.text_keys import with_text_keys

        controls = [
            one for prompt in (self.positive, self.negative) for part in prompt.parts for one in part.controls
        ]
        return {
            control.digest: with_text_keys(ctx.use(ControlNet(control.digest, control.config, control.name)))
            for control in controls
        }

    def _context(self, given: Tensor) -> Tensor | None:
        """Return the mask and the masked picture for an inpainting model; None if the latent has none."""
        import torch

        from nodes.sd.sampling.blending import resized

        if self.latent.masked is None or self.latent.mask is None:
            return None
        mask = resized(self.latent.mask, given).round().expand(len(given), -1, -1, -1)
        return torch.cat([mask, self.latent.masked.to(given)], 1)

    def _start(self, given: Tensor, first: Tensor, plan: Schedule) -> Tensor:
        """Return the latent at the first noise level, made from `first`: noise of standard deviation 1."""
        from nodes.sd.sampling.samplers import start

        if not self.add_noise:
            return given
        whole = bool(plan.sigmas[0] >= plan.table.sigma_max * (1 - 1e-5))
        comfyui = self.follow == "comfyui"
        uses_given = comfyui or self.strength < 1 or self.start_step > 0 or self.latent.mask is not None
        diffusers = self.schedule == "ddim_diffusers" and not uses_given
        return start(
            first,
            plan.sigmas,
            given if uses_given else None,
            unit_variance=diffusers or (comfyui and whole),
            table=plan.table,
        )

    def _negative_parts(self, ctx: Context) -> tuple[PromptPart, ...]:
        """Return the parts of the negative prompt.

        Raises:
            NodeError: the negative prompt has several parts joined by AND.
        """
        parts = self.negative.parts
        if len({part.group for part in parts}) < len(parts):
            raise NodeError(
                "a negative prompt cannot have several parts joined by AND",
                hint="turn `negative` on in its EncodePrompt; AND is then read as a word",
                input="negative",
            )
        weights = [part.weight for part in parts if part.weight != 1]
        if weights:
            ctx.warn(
                f"the weight {weights[0]:g} of the negative prompt has no effect; turn `negative` on in"
                " its EncodePrompt to read the number as words"
            )
        return parts
