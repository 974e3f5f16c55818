"""Stable Diffusion 2: one OpenCLIP text encoder, and models that predict the noise or the velocity."""

from __future__ import annotations

from pathlib import Path
from typing import TYPE_CHECKING

from nodes.sd.families import key_tables
from nodes.sd.families.colours import SD_COLOURS
from nodes.sd.families.family import Configs, EncoderRole, Family, FileLayout, ModelClues, Shapes
from nodes.sd.families.unet import UNET
from nodes.sd.sampling.names import Prediction

if TYPE_CHECKING:
    from torch import Tensor

_UNET = "model.diffusion_model."
_TEXT = "cond_stage_model.model."
_LAST_ATTENTION = (
    f"{_UNET}output_blocks.11.1.transformer_blocks.0.norm1.bias",
    "output_blocks.11.1.transformer_blocks.0.norm1.bias",
    "up_blocks.3.attentions.2.transformer_blocks.0.norm1.bias",
)
_FIRST_KERNEL = (f"{_UNET}input_blocks.0.0.weight", "input_blocks.0.0.weight", "conv_in.weight")
"""The names of tensors in checkpoints, in UNets alone, and in UNets of diffusers."""
_VELOCITY_DEVIATION = 0.09


def _in_folder(configs: Configs) -> str | None:
    unet, text = configs["unet"], configs["text_encoder"]
    if unet.get("addition_embed_type") is not None or unet.get("transformer_layers_per_block", 1) != 1:
        return None
    return "one text encoder, OpenCLIP ViT-H" if text.get("hidden_act") == "gelu" else None


def _in_file(shapes: Shapes) -> str | None:
    found = any(name.startswith(f"{_TEXT}transformer.resblocks.") for name in shapes)
    return f"the text encoder OpenCLIP ViT-H ({_TEXT}…)" if found else None


def _prediction(clues: ModelClues) -> Prediction:
    """Determine the prediction type from the weights, by the rule of ComfyUI's comfy/supported_models.py.

    The model predicts velocity if the biases of the last attention's norm have a standard deviation above
    0.09. Inpainting models always predict the noise.
    """
    inpainting = any(clues.shapes[name][1] != 4 for name in _FIRST_KERNEL if name in clues.shapes)
    biases = [name for name in _LAST_ATTENTION if name in clues.shapes]
    if inpainting or not biases:
        return "epsilon"
    return "v_prediction" if clues.deviation(biases[0]) > _VELOCITY_DEVIATION else "epsilon"


def _last_layer(tensors: dict[str, Tensor]) -> dict[str, Tensor]:
    """Create the text encoder's unused last layer and projection, which other tools expect.

    As in kohya's scripts, the last layer is a copy of the one before, and the projection is all ones.
    """
    import torch

    before, last = (f"{_TEXT}transformer.resblocks.{number}." for number in (22, 23))
    made = {name.replace(before, last): tensor.clone() for name, tensor in tensors.items() if before in name}
    like = tensors[f"{_TEXT}positional_embedding"]
    width = like.shape[1]
    return made | {
        f"{_TEXT}text_projection": torch.ones(width, width, dtype=like.dtype),
        f"{_TEXT}logit_scale": torch.tensor(1.0, dtype=like.dtype),
    }


FAMILIES = (
    Family(
        name="sd2",
        title="SD 2",
        architecture="stable-diffusion-v2",
        lora_names=("stable-diffusion-v2-768-v", "sd_v2"),
        pipelines=(
            "StableDiffusionPipeline",
            "StableDiffusionImg2ImgPipeline",
            "StableDiffusionInpaintPipeline",
        ),
        latents="sd",
        configs=Path(__file__).parent,
        network=UNET,
        roles=(
            EncoderRole(
                name="clip_h",
                component="text_encoder",
                tokenizer="tokenizer",
                least_skip=2,
                missing_layers=1,
                pad=0,
            ),
        ),
        recognise=_in_folder,
        layout=FileLayout(
            prefixes={"unet": _UNET, "vae": "first_stage_model.", "text_encoder": _TEXT},
            tables={"unet": key_tables.unet, "vae": key_tables.vae, "text_encoder": key_tables.open_clip},
            recognise=_in_file,
            unused=(f"{_TEXT}transformer.resblocks.23.",),
            added=_last_layer,
        ),
        prediction=_prediction,
        sizes={"epsilon": 512, "v_prediction": 768},
        previews={1024: SD_COLOURS},
    ),
)
