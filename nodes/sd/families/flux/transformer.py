"""The transformer of FLUX.1: its config and its call, with and without distilled guidance."""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace
from typing import TYPE_CHECKING, Any

from nodes.sd.families.family import Configs, DenoisingNetwork, EncoderRole, Shapes, columns

if TYPE_CHECKING:
    from torch import Tensor

_SIDE = 2
"""The height and width, in cells of the latent, of the patches that are one token each."""
_DOUBLE = re.compile(r"(?:double_blocks|transformer_blocks)\.(\d+)\.")
_SINGLE = re.compile(r"(?:single_blocks|single_transformer_blocks)\.(\d+)\.")
_HEAD_NORMS = ("double_blocks.0.img_attn.norm.query_norm.scale", "transformer_blocks.0.attn.norm_q.weight")
_GUIDANCE = ("guidance_in.in_layer.weight", "time_text_embed.guidance_embedder.linear_1.weight")
_VECTORS = ("vector_in.in_layer.weight", "time_text_embed.text_embedder.linear_1.weight")
_CONTEXT = ("txt_in.weight", "context_embedder.weight")
_FIRST = ("img_in.weight", "x_embedder.weight")
_LAST = ("final_layer.linear.weight", "proj_out.weight")


def _mismatch(configs: Configs, roles: tuple[EncoderRole, ...]) -> str | None:
    transformer = configs["transformer"]
    channels = _SIDE**2 * configs["vae"]["latent_channels"]
    reads, returns = transformer["in_channels"], transformer.get("out_channels")
    returns = reads if returns is None else returns
    if (reads, returns) != (channels, channels):
        return (
            f"the transformer reads {reads} channels and returns {returns}. Safelight runs those with"
            f" {channels} of them, not FLUX.1 Fill, Depth and Canny"
        )
    if transformer.get("patch_size", 1) != 1 or type(transformer.get("guidance_embeds", False)) is not bool:
        return "patch_size must be 1, and guidance_embeds true or false"
    axes = transformer.get("axes_dims_rope", [16, 56, 56])
    if not (isinstance(axes, list) and len(axes) == 3 and all(type(axis) is int for axis in axes)):
        return "axes_dims_rope must be three whole numbers"
    if any(axis <= 0 or axis % 2 for axis in axes) or sum(axes) != transformer["attention_head_dim"]:
        return "axes_dims_rope must be even numbers that add up to attention_head_dim"
    for role in roles:
        is_t5 = role.name == "t5"
        key = "joint_attention_dim" if is_t5 else "pooled_projection_dim"
        width = configs[role.component]["d_model" if is_t5 else "hidden_size"]
        if transformer[key] != width:
            return (
                f"{key} {transformer[key]} does not match the width {width} of the text encoder. The parts"
                " come from different models"
            )
    return None


def _sized(shapes: Shapes) -> dict[str, Any]:
    """Determine the depth and the widths, which differ between FLUX.1 and models cut down from it.

    The result is empty if the first or the last tensor is missing.
    """
    first = next((shapes[name] for name in _FIRST if name in shapes), ())
    last = next((shapes[name] for name in _LAST if name in shapes), ())
    norm = next((shapes[name] for name in _HEAD_NORMS if name in shapes), ())
    if len(first) != 2 or len(last) != 2:
        return {}
    head = norm[0] if len(norm) == 1 and norm[0] else 128
    blocks = [{found[1] for name in shapes if (found := kind.match(name))} for kind in (_DOUBLE, _SINGLE)]
    return {
        "num_layers": len(blocks[0]),
        "num_single_layers": len(blocks[1]),
        "num_attention_heads": first[0] // head,
        "attention_head_dim": head,
        "in_channels": first[1],
        "out_channels": last[0],
        "guidance_embeds": _has_guidance(shapes),
    }


def _has_guidance(shapes: Shapes) -> bool:
    return any(name.endswith(_GUIDANCE) for name in shapes)


def _widths(shapes: Shapes, guidance: bool) -> tuple[int | None, int | None]:
    if _has_guidance(shapes) != guidance:
        return None, None
    return columns(shapes, _CONTEXT), columns(shapes, _VECTORS)


def _arguments(vectors: Mapping[str, Any]) -> dict[str, Any]:
    return {"pooled_projections": vectors["text_embeds"], "guidance": vectors.get("guidance")}


def _call(network: Any, latents: Tensor, timestep: Tensor, **arguments: Any) -> Tensor:
    """Call the transformer with latents as tokens: one for each patch, in rows from the top left corner.

    The position of a token is its row and its column; that of all tokens of the text is 0. Odd sides, which
    parts of a picture may have, are continued by their beginning, as in ComfyUI.
    """
    import torch

    batch, channels, height, width = latents.shape
    rows, across = -(-height // _SIDE), -(-width // _SIDE)
    missing = (0, across * _SIDE - width, 0, rows * _SIDE - height)
    whole = torch.nn.functional.pad(latents, missing, mode="circular") if any(missing) else latents
    patches = whole.reshape(batch, channels, rows, _SIDE, across, _SIDE).permute(0, 2, 4, 1, 3, 5)
    places = torch.zeros(rows, across, 3, device=latents.device)
    places[..., 1] = torch.arange(rows, device=latents.device)[:, None]
    places[..., 2] = torch.arange(across, device=latents.device)
    text = arguments["encoder_hidden_states"]
    answer: Tensor = network(
        patches.reshape(batch, rows * across, channels * _SIDE**2),
        timestep=timestep / 1000,  # it multiplies by 1,000 again
        img_ids=places.reshape(-1, 3),
        txt_ids=torch.zeros(text.shape[1], 3, device=latents.device),
        return_dict=False,
        **arguments,
    )[0]
    found = answer.reshape(batch, rows, across, channels, _SIDE, _SIDE).permute(0, 3, 1, 4, 2, 5)
    return found.reshape(batch, channels, rows * _SIDE, across * _SIDE)[..., :height, :width]


GUIDED = DenoisingNetwork(
    component="transformer",
    module="diffusers.models.transformers.transformer_flux",
    kind="FluxTransformer2DModel",
    noun="transformer",
    context="joint_attention_dim",
    vectors="pooled_projection_dim",
    limits={
        "num_layers": 128,
        "num_single_layers": 128,
        "attention_head_dim": 512,
        "num_attention_heads": 256,
        "joint_attention_dim": 16384,
        "pooled_projection_dim": 16384,
        "in_channels": 1024,
    },
    mismatch=_mismatch,
    sized=_sized,
    widths=lambda shapes: _widths(shapes, guidance=True),
    anchor="x_embedder.weight",
    arguments=_arguments,
    call=_call,
    reads_pooled=True,
    patch=_SIDE,
    channel_factor=_SIDE**2,
    distilled_guidance=3.5,
    is_distilled=True,
)
"""The transformer of FLUX.1 dev, which reads a guidance."""

UNGUIDED = replace(GUIDED, widths=lambda shapes: _widths(shapes, guidance=False), distilled_guidance=None)
"""The transformer of FLUX.1 schnell, which reads none."""
