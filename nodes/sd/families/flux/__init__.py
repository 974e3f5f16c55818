"""FLUX.1 dev and schnell of Black Forest Labs: a transformer that predicts a flow, CLIP and T5."""

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
from nodes.sd.families.flux.stored_names import stored_names
from nodes.sd.families.flux.transformer import GUIDED, UNGUIDED
from nodes.sd.sampling.names import Prediction

_FOLDER = Path(__file__).parent
_TRANSFORMER = "model.diffusion_model."
_FIRST, _GUIDANCE = f"{_TRANSFORMER}double_blocks.0.img_attn.qkv.weight", f"{_TRANSFORMER}guidance_in."
_NEEDED = {
    _FIRST,
    f"{_TRANSFORMER}single_blocks.0.linear1.weight",
    f"{_TRANSFORMER}vector_in.in_layer.weight",
}

_COLOURS: Colours = (
    (-0.0346, 0.0244, 0.0681),
    (0.0034, 0.0210, 0.0687),
    (0.0275, -0.0668, -0.0433),
    (-0.0174, 0.0160, 0.0617),
    (0.0859, 0.0721, 0.0329),
    (0.0004, 0.0383, 0.0115),
    (0.0405, 0.0861, 0.0915),
    (-0.0236, -0.0185, -0.0259),
    (-0.0245, 0.0250, 0.1180),
    (0.1008, 0.0755, -0.0421),
    (-0.0515, 0.0201, 0.0011),
    (0.0428, -0.0012, -0.0036),
    (0.0817, 0.0765, 0.0749),
    (-0.1264, -0.0522, -0.1103),
    (-0.0280, -0.0881, -0.0499),
    (-0.1262, -0.0982, -0.0778),
    (-0.0329, -0.0718, -0.0851),
)
"""As in comfy/latent_formats.py of ComfyUI."""


def _in_folder(configs: Configs, guidance: bool) -> str | None:
    if bool(configs["transformer"].get("guidance_embeds", False)) != guidance:
        return None
    return f"a transformer {'with' if guidance else 'without'} distilled guidance, CLIP and T5"


def _in_file(shapes: Shapes, guidance: bool) -> str | None:
    if not shapes.keys() >= _NEEDED or any(map(_is_guidance, shapes)) != guidance:
        return None
    suffix = f" and distilled guidance ({_GUIDANCE}…)" if guidance else " and no distilled guidance"
    return f"a transformer with double blocks ({_FIRST}){suffix}"


def _is_guidance(name: str) -> bool:
    return name.startswith(_GUIDANCE)


def _prediction(clues: ModelClues) -> Prediction:
    return "flow"


def _family(name: str, title: str, architecture: str, *, guidance: bool, length: int, noise: Flow) -> Family:
    """Make one of the two families, which differ in the guidance, the length of prompts and the shift."""
    return Family(
        name=name,
        title=title,
        architecture=architecture,
        vae_file="ae",
        lora_names=(architecture, "flux1"),
        pipelines=("FluxPipeline", "FluxImg2ImgPipeline", "FluxInpaintPipeline"),
        latents="flux",
        configs=_FOLDER / ("dev" if guidance else "schnell"),
        network=GUIDED if guidance else UNGUIDED,
        roles=(
            EncoderRole(
                name="clip_l",
                component="text_encoder",
                tokenizer="tokenizer",
                along=None,
                pooled=True,
            ),
            EncoderRole(
                name="t5",
                component="text_encoder_2",
                tokenizer="tokenizer_2",
                network="T5EncoderModel",
                along="tokens",
                length=length,
                comfy_length=256,
            ),
        ),
        recognise=lambda configs: _in_folder(configs, guidance),
        layout=FileLayout(
            prefixes={
                "transformer": _TRANSFORMER,
                "vae": "vae.",
                "text_encoder": "text_encoders.clip_l.",
                "text_encoder_2": "text_encoders.t5xxl.transformer.",
            },
            tables={
                "transformer": stored_names,
                "vae": key_tables.vae,
                "text_encoder": key_tables.clip,
                "text_encoder_2": key_tables.t5_in_transformers,
            },
            recognise=lambda shapes: _in_file(shapes, guidance),
        ),
        prediction=_prediction,
        sizes={"flow": 1024},
        noise=noise,
        previews={4096: _COLOURS},
    )


FAMILIES = (
    _family(
        "flux",
        "FLUX.1",
        "flux-1-dev",
        guidance=True,
        length=512,
        noise=Flow(by_size=(0.5, 1.15), levels=10_000),
    ),
    _family(
        "flux-schnell", "FLUX.1 schnell", "flux-1-schnell", guidance=False, length=256, noise=Flow(shift=1.0)
    ),
)
