"""The latents that Safelight and diffusers make of the same model, prompt and noise."""

from __future__ import annotations

from typing import Any

import torch
from diffusers import (
    EulerDiscreteScheduler,
    FlowMatchEulerDiscreteScheduler,
    FluxPipeline,
    StableDiffusion3Pipeline,
    StableDiffusionPipeline,
    StableDiffusionXLImg2ImgPipeline,
    StableDiffusionXLPipeline,
)
from torch import Tensor
from transformers.models.t5.tokenization_t5 import T5Tokenizer

from nodes.sd.families.family import EncoderRole, Flow
from nodes.sd.models import weights
from nodes.sd.models.files import ModelFiles
from nodes.sd.models.loaded_encoder import LoadedEncoder
from nodes.sd.models.tokenizer import load_tokenizer
from nodes.sd.prompts.encoded import Settings
from nodes.sd.prompts.encoding import context_shape, encode_with_all
from nodes.sd.sampling import samplers
from nodes.sd.sampling.denoiser import Denoiser
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.schedules import schedule
from nodes.sd.sampling.tables import table_of
from tests.nodes.sd.families.small import PIECES, SmallModel
from tests.nodes.sd.in_transformers import encoder_of, tokenizer_of

PROMPT, NEGATIVE = "a red cube on a table", "blue, blurred"
STEPS, GUIDANCE = 4, 5.0


_TOKENIZERS: dict[tuple[str, int | None], Any] = {}


def tokenizer(file: ModelFiles, role: EncoderRole) -> Any:
    """The tokenizer of a text encoder. All of CLIP have one vocabulary, and it takes long to read."""
    key = ("t5" if role.name == "t5" else "clip", role.pad)
    if key not in _TOKENIZERS:
        _TOKENIZERS[key] = load_tokenizer(file, role)
    return _TOKENIZERS[key]


def parts_of(model: SmallModel) -> dict[str, Any]:
    """The networks and CLIP's tokenizers, in the classes of diffusers and transformers."""
    parts: dict[str, Any] = {str(part): encoder_of(network) for part, network in model.networks.items()}
    for role in model.files.roles:
        if role.name != "t5":
            folder = model.files.tokenizers[role.tokenizer]
            parts[role.tokenizer] = tokenizer_of(folder, None if role.pad is None else "!")
    return parts


def ours(file: ModelFiles, noise: Tensor, context: Tensor | None = None, steps: int = STEPS) -> Tensor:
    """The latents that Safelight makes of a file; `context` is what an inpainting model reads beside them."""
    encoders = [
        LoadedEncoder(
            role,
            tokenizer(file, role),
            weights.load_text_encoder(file, component=role.component),
        )
        for role in file.roles
    ]
    shape = context_shape(file.family, file.text_widths, file.context_width)
    cond, uncond = (
        encode_with_all(text, encoders, Settings(dialect="plain", negative=minus), shape).parts
        for text, minus in ((PROMPT, False), (NEGATIVE, True))
    )
    if isinstance(file.noise, Flow) and file.family.network.is_distilled:
        plan = schedule("simple", steps, table_of(file.noise.of_tokens(noise[0, 0].numel() // 4)))
    else:
        plan = schedule("normal", steps, table_of(file.noise))
    denoiser = Denoiser(
        weights.load_unet(file),
        plan,
        file.prediction,
        cond,
        uncond=uncond,
        guidance=1.0 if file.family.network.is_distilled else GUIDANCE,
        size_numbers=file.family.size_numbers,
        scale=file.vae_scale,
        network=file.family.network,
        context=context,
    )
    x = noise * plan.sigmas[0]
    for step in samplers.sample("euler", denoiser, x, plan.sigmas, NoiseSource(0, 1)):
        x = step.x
    return x


def theirs(model: SmallModel, seed: int, side: int = 8, steps: int = STEPS) -> Tensor:
    """The latents, `side` cells wide, that the pipelines of diffusers make of the same networks."""
    networks = parts_of(model)
    if model.family.latents == "flux":
        return _theirs_of_flux(model, networks, drawn(seed, side, 16), steps)
    scheduler = EulerDiscreteScheduler(
        beta_start=0.00085,
        beta_end=0.012,
        beta_schedule="scaled_linear",
        prediction_type=model.prediction,
        timestep_spacing="linspace",
        steps_offset=1,
    )
    settings: dict[str, Any] = {
        "prompt": PROMPT,
        "negative_prompt": NEGATIVE,
        "num_inference_steps": steps,
        "guidance_scale": GUIDANCE,
        "output_type": "latent",
    }
    noise = drawn(seed, side, model.configs["vae"]["latent_channels"])
    if model.family.name in ("sd1", "sd2"):
        networks |= {"safety_checker": None, "feature_extractor": None, "requires_safety_checker": False}
        pipeline: Any = StableDiffusionPipeline(scheduler=scheduler, **networks)
        settings |= {"latents": noise, "height": 8 * side, "width": 8 * side}
    elif model.family.name == "sdxl":
        pipeline = StableDiffusionXLPipeline(scheduler=scheduler, add_watermarker=False, **networks)
        settings |= {"latents": noise, "height": 8 * side, "width": 8 * side}
    elif model.family.name == "sd3":
        pipeline = StableDiffusion3Pipeline(
            scheduler=FlowMatchEulerDiscreteScheduler(shift=3.0),
            text_encoder_3=None,
            tokenizer_3=None,
            **networks,
        )
        settings |= {"latents": noise, "height": 8 * side, "width": 8 * side}
    else:
        pipeline = StableDiffusionXLImg2ImgPipeline(
            scheduler=scheduler,
            add_watermarker=False,
            text_encoder=None,
            tokenizer=None,
            requires_aesthetics_score=True,
            **networks,
        )
        generator = torch.Generator().manual_seed(seed)
        settings |= {"image": torch.zeros(1, 4, side, side), "strength": 1.0, "generator": generator}
    pipeline.set_progress_bar_config(disable=True)
    latents: Tensor = pipeline(**settings).images
    return latents


def _theirs_of_flux(model: SmallModel, networks: dict[str, Any], noise: Tensor, steps: int) -> Tensor:
    (t5,) = (role for role in model.family.roles if role.name == "t5")
    networks["tokenizer_2"] = T5Tokenizer(vocab=PIECES, extra_ids=0)
    by_size = isinstance(model.family.noise, Flow) and model.family.noise.by_size is not None
    scheduler = FlowMatchEulerDiscreteScheduler(use_dynamic_shifting=by_size)
    pipeline: Any = FluxPipeline(scheduler=scheduler, **networks)
    pipeline.set_progress_bar_config(disable=True)
    _, channels, height, width = noise.shape
    latents = pipeline(
        PROMPT,
        num_inference_steps=steps,
        latents=FluxPipeline._pack_latents(noise, 1, channels, height, width),
        height=8 * height,
        width=8 * width,
        max_sequence_length=t5.length,
        output_type="latent",
    ).images
    found: Tensor = FluxPipeline._unpack_latents(latents, 8 * height, 8 * width, 8)
    return found


def drawn(seed: int, side: int = 8, channels: int = 4) -> Tensor:
    """Noise for one latent."""
    return torch.randn(1, channels, side, side, generator=torch.Generator().manual_seed(seed))


def difference(found: Tensor, expected: Tensor) -> float:
    """The greatest difference as a share of the greatest value."""
    return float((found - expected).abs().max() / expected.abs().max())
