"""The UNet of Stable Diffusion 1, 2 and XL."""

from __future__ import annotations

from collections.abc import Mapping
from typing import Any

from nodes.sd.families.family import Configs, DenoisingNetwork, EncoderRole, Shapes, columns

_UNKNOWN_KINDS = {
    "class_embed_type": "a UNet with class labels",
    "encoder_hid_dim": "a UNet with an image encoder",
    "time_cond_proj_dim": "a distilled model with guidance built in",
}
_PURPOSES = {5: "read a depth map", 7: "enlarge pictures", 8: "edit pictures by instructions"}
"""The purpose of UNets of SD 1 and 2, by their number of input channels."""
_FIRST_KERNELS = ("input_blocks.0.0.weight", "conv_in.weight")
"""The first tensor in single files and in diffusers."""


def _mismatch(configs: Configs, roles: tuple[EncoderRole, ...]) -> str | None:
    unet, vae = configs["unet"], configs["vae"]
    for key, kind in _UNKNOWN_KINDS.items():
        if unet.get(key) is not None:
            return f"it describes {kind} ({key} is set), which Safelight does not run"
    channels = vae["latent_channels"]
    inpainting = 2 * channels + 1  # it also reads the mask, and the latent of the masked picture
    if unet["out_channels"] != channels or unet["in_channels"] not in (channels, inpainting):
        reads = unet["in_channels"]
        purpose = f", as models that {_PURPOSES[reads]} do" if reads in _PURPOSES else ""
        return (
            f"the UNet reads {reads} channels and returns {unet['out_channels']}{purpose}. Safelight runs"
            f" UNets that read the {channels} of the VAE's latents, or {inpainting} for inpainting"
        )
    width = sum(configs[role.component]["hidden_size"] for role in roles)
    if unet["cross_attention_dim"] != width:
        several = "s" if len(roles) > 1 else ""
        return (
            f"cross_attention_dim {unet['cross_attention_dim']} does not match the width {width} of the text"
            f" encoder{several}. The parts come from different models"
        )
    return None


def _sized(shapes: Shapes) -> dict[str, Any]:
    """Determine the number of input channels, which is larger in inpainting models."""
    first = next((shapes[name] for name in _FIRST_KERNELS if name in shapes), ())
    return {"in_channels": first[1]} if len(first) == 4 else {}


def _widths(shapes: Shapes) -> tuple[int | None, int | None]:
    vectors = ("label_emb.0.0.weight", "add_embedding.linear_1.weight")
    return columns(shapes, ("attn2.to_k.weight",)), columns(shapes, vectors)


def _arguments(vectors: Mapping[str, Any]) -> dict[str, Any]:
    return {"added_cond_kwargs": vectors} if vectors else {}


UNET = DenoisingNetwork(
    component="unet",
    module="diffusers.models.unets.unet_2d_condition",
    kind="UNet2DConditionModel",
    noun="UNet",
    context="cross_attention_dim",
    vectors="projection_class_embeddings_input_dim",
    limits={
        "block_out_channels": 8192,
        "cross_attention_dim": 8192,
        "layers_per_block": 8,
        "in_channels": 64,
        "out_channels": 64,
    },
    mismatch=_mismatch,
    sized=_sized,
    widths=_widths,
    anchor="conv_in.weight",
    arguments=_arguments,
    is_unet=True,
)
