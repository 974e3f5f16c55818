"""Stable Diffusion 1: one CLIP text encoder, latents of 4 channels, noise prediction, 512 pixels."""

from __future__ import annotations

from pathlib import Path

from nodes.sd.families import key_tables
from nodes.sd.families.colours import SD_COLOURS
from nodes.sd.families.family import Configs, EncoderRole, Family, FileLayout, Shapes, epsilon
from nodes.sd.families.unet import UNET

_TEXT = "cond_stage_model.transformer."


def _in_folder(configs: Configs) -> str | None:
    unet, text = configs["unet"], configs["text_encoder"]
    if unet.get("addition_embed_type") is not None or unet.get("transformer_layers_per_block", 1) != 1:
        return None
    is_openai = text.get("hidden_act", "quick_gelu") == "quick_gelu"  # the default of transformers
    return "one text encoder, CLIP of OpenAI" if is_openai else None


def _in_file(shapes: Shapes) -> str | None:
    return f"the text encoder CLIP of OpenAI ({_TEXT}…)" if any(map(_is_text, shapes)) else None


def _is_text(name: str) -> bool:
    return name.startswith(_TEXT)


FAMILIES = (
    Family(
        name="sd1",
        title="SD 1",
        architecture="stable-diffusion-v1",
        lora_names=("stable-diffusion-v1", "sd_v1"),
        pipelines=(
            "StableDiffusionPipeline",
            "StableDiffusionImg2ImgPipeline",
            "StableDiffusionInpaintPipeline",
        ),
        latents="sd",
        configs=Path(__file__).parent,
        network=UNET,
        roles=(EncoderRole(name="clip_l", component="text_encoder", tokenizer="tokenizer"),),
        recognise=_in_folder,
        layout=FileLayout(
            prefixes={
                "unet": "model.diffusion_model.",
                "vae": "first_stage_model.",
                "text_encoder": "cond_stage_model.",
            },
            tables={"unet": key_tables.unet, "vae": key_tables.vae, "text_encoder": key_tables.clip},
            recognise=_in_file,
        ),
        prediction=epsilon,
        sizes={"epsilon": 512, "v_prediction": 768},
        previews={
            768: SD_COLOURS,
            # safelight-tiny: least squares over 48 rendered scenes, which leaves 3 % of the variance.
            64: (
                (0.6237, 0.0871, -0.0341),
                (0.0314, 0.4549, 0.0710),
                (0.0137, 0.0372, 0.5771),
                (0.0106, 0.0013, -0.0063),
                (0.1328, -0.0047, -0.0745),
            ),
        },
    ),
)
