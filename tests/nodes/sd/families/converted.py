"""The networks of a single file as the converters of diffusers read them."""

from __future__ import annotations

from collections.abc import Mapping
from types import FunctionType
from typing import Any

import torch
from diffusers.loaders.single_file_utils import (
    convert_flux_transformer_checkpoint_to_diffusers,
    convert_ldm_clip_checkpoint,
    convert_ldm_unet_checkpoint,
    convert_ldm_vae_checkpoint,
    convert_open_clip_checkpoint,
    convert_sd3_t5_checkpoint_to_diffusers,
    convert_sd3_transformer_checkpoint_to_diffusers,
)
from torch import Tensor

from nodes.sd.families.family import Component, Family
from nodes.sd.models import weights

TEXT: dict[str, dict[Component, tuple[str, bool]]] = {
    "sd1": {"text_encoder": ("cond_stage_model.", False)},
    "sd2": {"text_encoder": ("cond_stage_model.", True)},
    "sdxl": {
        "text_encoder": ("conditioner.embedders.0.", False),
        "text_encoder_2": ("conditioner.embedders.1.", True),
    },
    "sd3": {
        "text_encoder": ("text_encoders.clip_l.", False),
        "text_encoder_2": ("text_encoders.clip_g.", False),
    },
    "flux": {"text_encoder": ("text_encoders.clip_l.", False)},
    "flux-schnell": {"text_encoder": ("text_encoders.clip_l.", False)},
    "sdxl-refiner": {"text_encoder_2": ("conditioner.embedders.0.", True)},
}
"""The prefix of each text encoder, and whether it is one of OpenCLIP."""


def converted(
    family: Family, part: Component, stored: Mapping[str, Tensor], config: dict[str, Any]
) -> dict[str, Tensor]:
    """The tensors of one network, by the names that the network has, and in its shapes."""
    with torch.device("meta"):
        network = weights.build(family, part, config)
    if part == "unet":
        found = convert_ldm_unet_checkpoint(dict(stored), config)
    elif part == "transformer":
        prefix = family.layout.prefixes[part]
        own = {name: tensor for name, tensor in stored.items() if name.startswith(prefix)}
        if family.latents == "flux":
            width = config["num_attention_heads"] * config["attention_head_dim"]
            found = flux_converter(width)(own)
        else:
            found = convert_sd3_transformer_checkpoint_to_diffusers(own)
    elif part == "vae":
        found = convert_ldm_vae_checkpoint(dict(stored), config)
    elif any(role.component == part and role.name == "t5" for role in family.roles):
        found = convert_sd3_t5_checkpoint_to_diffusers(dict(stored))
    else:
        prefix, is_open_clip = TEXT[family.name][part]
        if is_open_clip:
            found = convert_open_clip_checkpoint(network, dict(stored), f"{prefix}model.")
        else:
            found = convert_ldm_clip_checkpoint(dict(stored), remove_prefix=f"{prefix}transformer.")
    bare = {name.removeprefix("text_model."): tensor for name, tensor in found.items()}
    return {
        name: bare[name.removeprefix("text_model.")].reshape(tensor.shape).contiguous()
        for name, tensor in network.state_dict().items()
        if not name.endswith(("position_ids", "encoder.embed_tokens.weight"))
    }


def flux_converter(width: int) -> Any:
    """diffusers' converter of FLUX.1's transformer, for another width than that of the published models.

    The width 3072 is a constant in its code.
    """
    given = convert_flux_transformer_checkpoint_to_diffusers
    constants = tuple(width if constant == 3072 else constant for constant in given.__code__.co_consts)
    assert 3072 in given.__code__.co_consts
    return FunctionType(given.__code__.replace(co_consts=constants), given.__globals__)
