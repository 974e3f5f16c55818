"""Recognises the kind of a model file by the names of its tensors."""

from __future__ import annotations

import re
from typing import Literal

from nodes.sd.formats.tensors import Tensors
from nodes.sd.formats.upscaler_names import is_upscaler

Kind = Literal[
    "embedding",
    "lora",
    "checkpoint",
    "vae",
    "hypernetwork",
    "unet",
    "text_encoder",
    "controlnet",
    "upscaler",
    "unknown",
]

_LORA = re.compile(
    r"lora_(up|down|A|B|mid|linear_layer|magnitude_vector)\b|_lora[12]?\.(up|down)\.|\.lora\.(up|down)\."
    r"|hada_[wt]\d|lokr_[wt]\d|oft_blocks|dora_scale|\.diff(_b)?$|\.[wb]_norm$|\.on_input$|\.[ab][12]\.weight$"
    r"|^bundle_emb\.|^(lora|lycoris|oft)_"
)
"""Parts of LoRA key names of every tool and algorithm (kohya, LyCORIS, peft, diffusers)."""

_CONTROLNET = re.compile(r"(control_model\.|controlnet_(cond_embedding|down_blocks)\.|input_hint_block\.)")
"""Beginnings of key names of ControlNets in Stability's code and in diffusers."""

_TRANSFORMERS = (
    "double_blocks.0.img_attn.qkv.weight",
    "single_transformer_blocks.0.proj_mlp.weight",
    "joint_blocks.0.x_block.attn.qkv.weight",
    "transformer_blocks.0.attn.add_k_proj.weight",
)
"""Tensors of a transformer in a file of its own, of FLUX.1 and SD 3, in their authors' code and diffusers."""

_CHECKPOINT = ("model.diffusion_model.", "first_stage_model.", "cond_stage_model.", "conditioner.embedders.")
_EMBEDDING_KEYS = {"emb_params", "emp_params", "clip_l", "clip_g", "t5", "t5xxl", "string_to_param"}
_TOKENS = 64
"""The greatest number of tensors in a diffusers embedding, which has one for each token."""


def kind_of(tensors: Tensors) -> Kind:
    """Recognise the kind of a model file, such as `lora`, by the names of its tensors."""
    names = list(tensors)
    tree = tensors.tree
    if isinstance(tree, dict):
        if _EMBEDDING_KEYS & {key for key in tree if isinstance(key, str)}:
            return "embedding"
        if any(isinstance(key, int) and isinstance(value, list) for key, value in tree.items()):
            return "hypernetwork"
    if any(_CONTROLNET.match(name) for name in names):
        return "controlnet"
    if any(name.startswith(_CHECKPOINT) for name in names):
        return "checkpoint"
    if any(_LORA.search(name) for name in names):
        return "lora"
    if "decoder.conv_in.weight" in tensors and "encoder.conv_in.weight" in tensors:
        return "vae"
    if "conv_in.weight" in tensors and any(name.startswith("down_blocks.") for name in names):
        return "unet"
    if "input_blocks.0.0.weight" in tensors and "out.2.weight" in tensors:
        return "unet"
    if any(name in tensors for name in _TRANSFORMERS):
        return "unet"
    if any(name.endswith(("embeddings.token_embedding.weight", "token_embedding.weight")) for name in names):
        return "text_encoder"
    if "shared.weight" in tensors and any(name.startswith("encoder.block.") for name in names):  # T5
        return "text_encoder"
    if is_upscaler(names):
        return "upscaler"
    if "redux_up.weight" in tensors:  # of few tensors, as an embedding is
        return "unknown"
    flat = isinstance(tree, dict) and list(map(str, tree)) == names
    if (flat and 0 < len(names) <= _TOKENS) or (isinstance(tree, list) and names):
        return "embedding"
    return "unknown"
