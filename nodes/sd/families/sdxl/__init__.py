"""Stable Diffusion XL (arXiv:2307.01952): the base model with two text encoders, and its refiner with one."""

from __future__ import annotations

from pathlib import Path

from nodes.sd.families import key_tables
from nodes.sd.families.family import (
    Colours,
    Configs,
    EncoderRole,
    Family,
    FileLayout,
    Shapes,
    SizeHints,
    epsilon,
)
from nodes.sd.families.unet import UNET

_FOLDER = Path(__file__).parent
_UNET, _VAE = "model.diffusion_model.", "first_stage_model."
_FIRST, _SECOND = "conditioner.embedders.0.", "conditioner.embedders.1.model."
_REFINER_ONLY = "conditioner.embedders.0.model."

_COLOURS: Colours = (
    (0.3651, 0.4232, 0.4341),
    (-0.2533, -0.0042, 0.1068),
    (0.1076, 0.1111, -0.0362),
    (-0.3165, -0.2492, -0.2188),
    (0.1084, -0.0175, -0.0011),
)
"""As in comfy/latent_formats.py of ComfyUI."""

_OPEN_CLIP = EncoderRole(
    name="clip_g",
    component="text_encoder_2",
    tokenizer="tokenizer_2",
    network="CLIPTextModelWithProjection",
    least_skip=2,
    norm=False,
    pad=0,
    pooled=True,
)
_AESTHETIC_SCORE, _NEGATIVE_AESTHETIC_SCORE = 6.0, 2.5
"""The default scores for the refiner in diffusers, A1111 and ComfyUI."""


def _base_in_folder(configs: Configs) -> str | None:
    time_and_text = configs["unet"].get("addition_embed_type") == "text_time"
    return "two text encoders and size conditioning" if time_and_text and "text_encoder" in configs else None


def _refiner_in_folder(configs: Configs) -> str | None:
    time_and_text = configs["unet"].get("addition_embed_type") == "text_time"
    alone = "text_encoder" not in configs
    return "OpenCLIP as its only text encoder, and size conditioning" if time_and_text and alone else None


def _base_in_file(shapes: Shapes) -> str | None:
    found = any(name.startswith(_SECOND) for name in shapes)
    return f"two text encoders ({_FIRST}… and {_SECOND}…)" if found else None


def _refiner_in_file(shapes: Shapes) -> str | None:
    found = any(name.startswith(_REFINER_ONLY) for name in shapes)
    return f"OpenCLIP as its only text encoder ({_REFINER_ONLY}…)" if found else None


def _base_numbers(hints: SizeHints, size: tuple[int, int], negative: bool) -> tuple[float, ...]:
    """Return the base model's six numbers: original size, top left corner of the crop, and target size.

    Each is height (or top) first, then width (or left).
    """
    return _original_and_crop(hints, size) + _turned(hints.target or size)


def _refiner_numbers(hints: SizeHints, size: tuple[int, int], negative: bool) -> tuple[float, ...]:
    """Return the refiner's five numbers: original size, top left corner of the crop, aesthetic score.

    The first two are height (or top) first, then width (or left).
    """
    usual = _NEGATIVE_AESTHETIC_SCORE if negative else _AESTHETIC_SCORE
    score = usual if hints.aesthetic_score is None else hints.aesthetic_score
    return (*_original_and_crop(hints, size), score)


def _original_and_crop(hints: SizeHints, size: tuple[int, int]) -> tuple[float, ...]:
    return _turned(hints.original or size) + _turned(hints.crop)


def _turned(pair: tuple[int, int]) -> tuple[float, ...]:
    return float(pair[1]), float(pair[0])


FAMILIES = (
    Family(
        name="sdxl",
        title="SDXL",
        architecture="stable-diffusion-xl-v1-base",
        lora_names=("stable-diffusion-xl-v1-base", "sdxl_base_v1-0"),
        pipelines=(
            "StableDiffusionXLPipeline",
            "StableDiffusionXLImg2ImgPipeline",
            "StableDiffusionXLInpaintPipeline",
        ),
        latents="sdxl",
        configs=_FOLDER / "base",
        network=UNET,
        roles=(
            EncoderRole(
                name="clip_l", component="text_encoder", tokenizer="tokenizer", least_skip=2, norm=False
            ),
            _OPEN_CLIP,
        ),
        recognise=_base_in_folder,
        layout=FileLayout(
            prefixes={"unet": _UNET, "vae": _VAE, "text_encoder": _FIRST, "text_encoder_2": _SECOND},
            tables={
                "unet": key_tables.unet,
                "vae": key_tables.vae,
                "text_encoder": key_tables.clip,
                "text_encoder_2": key_tables.open_clip,
            },
            recognise=_base_in_file,
        ),
        prediction=epsilon,
        sizes={"epsilon": 1024, "v_prediction": 1024},
        previews={2048: _COLOURS},
        settings={"force_zeros_for_empty_prompt": True},
        size_numbers=_base_numbers,
        original_lora_names=True,
        zeros_for_empty_negative=True,
    ),
    Family(
        name="sdxl-refiner",
        title="SDXL refiner",
        architecture="stable-diffusion-xl-v1-refiner",
        lora_names=("stable-diffusion-xl-v1-refiner", "sdxl_refiner_v1-0"),
        pipelines=("StableDiffusionXLImg2ImgPipeline", "StableDiffusionXLPipeline"),
        latents="sdxl",
        configs=_FOLDER / "refiner",
        network=UNET,
        roles=(_OPEN_CLIP,),
        recognise=_refiner_in_folder,
        layout=FileLayout(
            prefixes={"unet": _UNET, "vae": _VAE, "text_encoder_2": _REFINER_ONLY},
            tables={
                "unet": key_tables.unet,
                "vae": key_tables.vae,
                "text_encoder_2": key_tables.open_clip,
            },
            recognise=_refiner_in_file,
        ),
        prediction=epsilon,
        sizes={"epsilon": 1024, "v_prediction": 1024},
        previews={1280: _COLOURS},
        settings={"force_zeros_for_empty_prompt": False, "requires_aesthetics_score": True},
        size_numbers=_refiner_numbers,
    ),
)
