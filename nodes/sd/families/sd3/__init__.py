"""Stable Diffusion 3 and 3.5 (arXiv:2403.03206): a transformer that predicts a flow, two CLIPs and T5."""

from __future__ import annotations

from pathlib import Path

from nodes.sd.families import key_tables
from nodes.sd.families.family import (
    Colours,
    Configs,
    EncoderRole,
    Family,
    FileLayout,
    Flow,
    ModelClues,
    Shapes,
)
from nodes.sd.families.sd3.transformer import TRANSFORMER, stored_names
from nodes.sd.sampling.names import Prediction

_TRANSFORMER = "model.diffusion_model."

_COLOURS: Colours = (
    (-0.0922, -0.0175, 0.0749),
    (0.0311, 0.0633, 0.0954),
    (0.1994, 0.0927, 0.0458),
    (0.0856, 0.0339, 0.0902),
    (0.0587, 0.0272, -0.0496),
    (-0.0006, 0.1104, 0.0309),
    (0.0978, 0.0306, 0.0427),
    (-0.0042, 0.1038, 0.1358),
    (-0.0194, 0.0020, 0.0669),
    (-0.0488, 0.0130, -0.0268),
    (0.0922, 0.0988, 0.0951),
    (-0.0278, 0.0524, -0.0542),
    (0.0332, 0.0456, 0.0895),
    (-0.0069, -0.0030, -0.0810),
    (-0.0596, -0.0465, -0.0293),
    (-0.1448, -0.1463, -0.1189),
    (0.2394, 0.2135, 0.1925),
)
"""As in comfy/latent_formats.py of ComfyUI."""


def _in_folder(configs: Configs) -> str | None:
    return "a transformer with two CLIPs and optionally T5 as text encoders"


def _in_file(shapes: Shapes) -> str | None:
    found = any(name.startswith(f"{_TRANSFORMER}joint_blocks.") for name in shapes)
    return f"a transformer with joint blocks ({_TRANSFORMER}joint_blocks…)" if found else None


def _prediction(clues: ModelClues) -> Prediction:
    return "flow"


FAMILIES = (
    Family(
        name="sd3",
        title="SD 3",
        architecture="stable-diffusion-v3",
        lora_names=("stable-diffusion-3", "sd3"),
        pipelines=(
            "StableDiffusion3Pipeline",
            "StableDiffusion3Img2ImgPipeline",
            "StableDiffusion3InpaintPipeline",
        ),
        latents="sd3",
        configs=Path(__file__).parent,
        network=TRANSFORMER,
        roles=(
            EncoderRole(
                name="clip_l",
                component="text_encoder",
                tokenizer="tokenizer",
                network="CLIPTextModelWithProjection",
                least_skip=2,
                norm=False,
                pooled=True,
            ),
            EncoderRole(
                name="clip_g",
                component="text_encoder_2",
                tokenizer="tokenizer_2",
                network="CLIPTextModelWithProjection",
                least_skip=2,
                norm=False,
                pad=0,
                pooled=True,
            ),
            EncoderRole(
                name="t5",
                component="text_encoder_3",
                tokenizer="tokenizer_3",
                network="T5EncoderModel",
                optional=True,
                along="tokens",
                length=256,
            ),
        ),
        recognise=_in_folder,
        layout=FileLayout(
            prefixes={
                "transformer": _TRANSFORMER,
                "vae": "first_stage_model.",
                "text_encoder": "text_encoders.clip_l.",
                "text_encoder_2": "text_encoders.clip_g.",
                "text_encoder_3": "text_encoders.t5xxl.transformer.",
            },
            tables={
                "transformer": stored_names,
                "vae": key_tables.vae,
                "text_encoder": key_tables.clip,
                "text_encoder_2": key_tables.clip,
                "text_encoder_3": key_tables.t5_in_transformers,
            },
            recognise=_in_file,
        ),
        prediction=_prediction,
        sizes={"flow": 1024},
        noise=Flow(shift=3.0),
        previews={4096: _COLOURS},
    ),
)
