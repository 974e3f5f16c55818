"""ComfyUI's node types that load single networks, and its prompts and shifts for SDXL, SD 3 and FLUX.1."""

from __future__ import annotations

import math

from engine.document.graph import Entry, From
from nodes.files.checkpoints import PART_KINDS
from nodes.interchange.comfyui.conversion import ComfyConversion
from nodes.interchange.comfyui.encoded_prompt import encoded_prompt
from nodes.interchange.comfyui.graph_data import ComfyNode
from nodes.interchange.comfyui.node_type import NodeType, one_of, renamed
from nodes.interchange.graph_from_settings import entry
from nodes.interchange.local_files import bare_name
from nodes.model.load import LoadTextEncoder, LoadUnet, LoadVae
from nodes.prompt.distilled_guidance import SetDistilledGuidance
from nodes.prompt.size_hints import SetSizeHints
from nodes.sampling.flow_shift import SetShift
from nodes.sd.families.family import LARGE, SMALL, Component, Flow

_FLUX_SHIFT = ("max_shift", "base_shift", "width", "height")
PIXELS_PER_TOKEN = 256
"""The pixels that a token of FLUX.1 stands for."""
_FAMILIES = ("stable_diffusion", "sdxl", None)
"""The types of a CLIPLoader whose models Safelight runs; the older ones have no type."""


def _file(made: ComfyConversion, node: ComfyNode, name: str, part: Component) -> str:
    written = made.text(node, name)
    return made.files.network(PART_KINDS[part], written) or bare_name(written)


def _unet(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(LoadUnet, unet=_file(made, node, "unet_name", "unet"))


def _encoder(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(LoadTextEncoder, encoder=_file(made, node, "clip_name", "text_encoder"))


def _encoders(made: ComfyConversion, node: ComfyNode) -> Entry:
    first, second = (_file(made, node, name, "text_encoder") for name in ("clip_name1", "clip_name2"))
    return entry(LoadTextEncoder, encoder=first, second=second)


def _three_encoders(made: ComfyConversion, node: ComfyNode) -> Entry:
    files = (_file(made, node, f"clip_name{number}", "text_encoder") for number in (1, 2, 3))
    first, second, third = files
    return entry(LoadTextEncoder, encoder=first, second=second, third=third)


def _vae(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(LoadVae, vae=_file(made, node, "vae_name", "vae"))


def _one_text(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return whether both text encoders of SDXL read the same text."""
    return made.bind(node, "text_g") == made.bind(node, "text_l")


def _sdxl_prompt(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(
        SetSizeHints,
        prompt=_prompt(made, node, "text_g"),
        original_width=made.bind(node, "width"),
        original_height=made.bind(node, "height"),
        crop_left=made.bind(node, "crop_w"),
        crop_top=made.bind(node, "crop_h"),
        target_width=made.bind(node, "target_width"),
        target_height=made.bind(node, "target_height"),
    )


def _same_texts(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return whether all text encoders of SD 3 read the same text."""
    texts = [made.bind(node, name) for name in ("clip_l", "clip_g", "t5xxl")]
    return texts[0] == texts[1] == texts[2]


def _sd3_prompt(made: ComfyConversion, node: ComfyNode) -> Entry:
    return encoded_prompt(made, node, "clip_g")


def _one_text_for_flux(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return whether both text encoders of FLUX.1 read the same text."""
    return made.bind(node, "clip_l") == made.bind(node, "t5xxl")


def _flux_prompt(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(
        SetDistilledGuidance, prompt=_prompt(made, node, "t5xxl"), guidance=made.bind(node, "guidance")
    )


def _flux_shift(made: ComfyConversion, node: ComfyNode) -> Entry:
    """ComfyUI sets the shift by the logarithms for two sizes and by a size in pixels."""
    large, small, width, height = (made.value(node, name) for name in _FLUX_SHIFT)
    tokens = round(width * height / PIXELS_PER_TOKEN)
    flow = Flow(by_size=(small, large)).of_tokens(tokens)
    return entry(SetShift, model=made.bind(node, "model"), shift=round(flow.shift, 6))


def _has_flux_shift(made: ComfyConversion, node: ComfyNode) -> bool:
    """Return whether the settings of a ModelSamplingFlux are known before the run and give a usable shift."""
    given = [made.value(node, name) for name in _FLUX_SHIFT]
    if not all(type(number) in (int, float) and math.isfinite(number) for number in given):
        return False
    large, small, width, height = given
    exponent: float = small + (large - small) * (width * height / PIXELS_PER_TOKEN - SMALL) / (LARGE - SMALL)
    return math.log(0.01) <= exponent <= math.log(100)


def _refiner_prompt(made: ComfyConversion, node: ComfyNode) -> Entry:
    return entry(
        SetSizeHints,
        prompt=_prompt(made, node, "text"),
        original_width=made.bind(node, "width"),
        original_height=made.bind(node, "height"),
        aesthetic_score=made.bind(node, "ascore"),
    )


def _prompt(made: ComfyConversion, node: ComfyNode, name: str) -> From:
    """Add an EncodePrompt node, since ComfyUI's node both encodes the prompt and sets the size hints."""
    id = made.new_id("prompt", node.id)
    made.graph.nodes[id] = encoded_prompt(made, node, name)
    return From(id, "out")


NETWORK_NODE_TYPES = {
    "CLIPLoader": NodeType("encoder", _encoder, fits=one_of("type", *_FAMILIES)),
    "CLIPTextEncodeFlux": NodeType("guided", _flux_prompt, fits=_one_text_for_flux),
    "CLIPTextEncodeSD3": NodeType("text", _sd3_prompt, fits=_same_texts),
    "CLIPTextEncodeSDXL": NodeType("sized", _sdxl_prompt, fits=_one_text),
    "CLIPTextEncodeSDXLRefiner": NodeType("sized", _refiner_prompt),
    "DualCLIPLoader": NodeType("encoder", _encoders, fits=one_of("type", "sdxl", "flux")),
    "FluxGuidance": NodeType(
        "guided", renamed(SetDistilledGuidance, prompt="conditioning", guidance="guidance")
    ),
    "ModelSamplingFlux": NodeType("shift", _flux_shift, fits=_has_flux_shift),
    "ModelSamplingSD3": NodeType("shift", renamed(SetShift, model="model", shift="shift")),
    "TripleCLIPLoader": NodeType("encoder", _three_encoders),
    "UNETLoader": NodeType("unet", _unet),
    "VAELoader": NodeType("vae", _vae),
}
"""ComfyUI's node types that load single networks, and its prompts and shifts for SDXL, SD 3 and FLUX.1."""
