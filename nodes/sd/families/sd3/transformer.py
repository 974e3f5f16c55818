"""The transformer of Stable Diffusion 3: its config, its call, and its tensors in single files."""

from __future__ import annotations

import math
import re
from collections.abc import Iterable, Mapping
from typing import Any

from nodes.sd.families.family import Configs, DenoisingNetwork, EncoderRole, Shapes, columns
from nodes.sd.families.key_tables import THIRDS, Stored, Ways

_HEAD = 64
"""The width of an attention head."""
_BLOCK_OF = re.compile(r"(joint_blocks|transformer_blocks)\.(\d+)\.")


def _mismatch(configs: Configs, roles: tuple[EncoderRole, ...]) -> str | None:
    transformer, channels = configs["transformer"], configs["vae"]["latent_channels"]
    if (transformer["in_channels"], transformer["out_channels"]) != (channels, channels):
        return "the transformer's channels do not match the VAE's latent channels"
    width = transformer["joint_attention_dim"]
    clips = [configs[role.component] for role in roles if role.along == "width"]
    narrow = sum(config["hidden_size"] for config in clips)
    others = [configs[role.component]["d_model"] for role in roles if role.along == "tokens"]
    if narrow > width or any(other != width for other in others):
        return (
            f"joint_attention_dim {width} does not match the text encoders, which are {narrow} wide"
            f" (CLIP){f' and {others[0]} (T5)' if others else ''}. The parts come from different models"
        )
    pooled = sum(config.get("projection_dim", 512) for config in clips)
    if transformer["pooled_projection_dim"] != pooled:
        return (
            f"pooled_projection_dim {transformer['pooled_projection_dim']} does not match the width {pooled}"
            " of the pooled vectors. The parts come from different models"
        )
    return None


def _sized(shapes: Shapes) -> dict[str, Any]:
    """Determine the depth and the widths, which differ between SD 3 medium, SD 3.5 medium and SD 3.5 large.

    The result is empty if the tensors for the picture or its positions are missing.
    """
    kernel = shapes.get("x_embedder.proj.weight") or shapes.get("pos_embed.proj.weight")
    positions = shapes.get("pos_embed") or shapes.get("pos_embed.pos_embed")
    if kernel is None or positions is None:
        return {}
    blocks = {int(found[2]) for name in shapes if (found := _BLOCK_OF.match(name))}
    dual = {int(found[2]) for name in shapes if (found := _BLOCK_OF.match(name)) and ".attn2." in name}
    normed = any(name.endswith((".ln_q.weight", ".norm_q.weight")) for name in shapes)
    return {
        "num_layers": len(blocks),
        "num_attention_heads": kernel[0] // _HEAD,
        "attention_head_dim": _HEAD,
        "caption_projection_dim": kernel[0],
        "pos_embed_max_size": math.isqrt(positions[1]),
        "qk_norm": "rms_norm" if normed else None,
        "dual_attention_layers": sorted(dual),
    }


def _widths(shapes: Shapes) -> tuple[int | None, int | None]:
    vectors = ("y_embedder.mlp.0.weight", "time_text_embed.text_embedder.linear_1.weight")
    return columns(shapes, ("context_embedder.weight",)), columns(shapes, vectors)


def _arguments(vectors: Mapping[str, Any]) -> dict[str, Any]:
    return {"pooled_projections": vectors["text_embeds"]}


def _most_cells(config: Mapping[str, Any]) -> int:
    """Return how many cells in height and width the table of positions covers."""
    cells: int = config["pos_embed_max_size"] * config["patch_size"]
    return cells


TRANSFORMER = DenoisingNetwork(
    component="transformer",
    module="diffusers.models.transformers.transformer_sd3",
    kind="SD3Transformer2DModel",
    noun="transformer",
    context="joint_attention_dim",
    vectors="pooled_projection_dim",
    limits={
        "num_layers": 128,
        "attention_head_dim": 512,
        "num_attention_heads": 256,
        "joint_attention_dim": 16384,
        "caption_projection_dim": 16384,
        "pooled_projection_dim": 16384,
        "pos_embed_max_size": 1024,
        "patch_size": 2,
        "in_channels": 64,
        "out_channels": 64,
    },
    mismatch=_mismatch,
    sized=_sized,
    widths=_widths,
    anchor="pos_embed.proj.weight",
    arguments=_arguments,
    reads_pooled=True,
    patch=2,
    most_cells=_most_cells,
)

_OUTSIDE = {
    "pos_embed.pos_embed": "pos_embed",
    "pos_embed.proj": "x_embedder.proj",
    "time_text_embed.timestep_embedder.linear_1": "t_embedder.mlp.0",
    "time_text_embed.timestep_embedder.linear_2": "t_embedder.mlp.2",
    "time_text_embed.text_embedder.linear_1": "y_embedder.mlp.0",
    "time_text_embed.text_embedder.linear_2": "y_embedder.mlp.2",
    "context_embedder": "context_embedder",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
_PICTURE, _TEXT = "x_block", "context_block"
_INSIDE = {
    "attn.to_out.0": f"{_PICTURE}.attn.proj",
    "attn.norm_q": f"{_PICTURE}.attn.ln_q",
    "attn.norm_k": f"{_PICTURE}.attn.ln_k",
    "attn.to_add_out": f"{_TEXT}.attn.proj",
    "attn.norm_added_q": f"{_TEXT}.attn.ln_q",
    "attn.norm_added_k": f"{_TEXT}.attn.ln_k",
    "attn2.to_out.0": f"{_PICTURE}.attn2.proj",
    "attn2.norm_q": f"{_PICTURE}.attn2.ln_q",
    "attn2.norm_k": f"{_PICTURE}.attn2.ln_k",
    "norm1.linear": f"{_PICTURE}.adaLN_modulation.1",
    "norm1_context.linear": f"{_TEXT}.adaLN_modulation.1",
    "ff.net.0.proj": f"{_PICTURE}.mlp.fc1",
    "ff.net.2": f"{_PICTURE}.mlp.fc2",
    "ff_context.net.0.proj": f"{_TEXT}.mlp.fc1",
    "ff_context.net.2": f"{_TEXT}.mlp.fc2",
}
_THIRDS = {
    "attn.to_q": (f"{_PICTURE}.attn.qkv", 0),
    "attn.to_k": (f"{_PICTURE}.attn.qkv", 1),
    "attn.to_v": (f"{_PICTURE}.attn.qkv", 2),
    "attn.add_q_proj": (f"{_TEXT}.attn.qkv", 0),
    "attn.add_k_proj": (f"{_TEXT}.attn.qkv", 1),
    "attn.add_v_proj": (f"{_TEXT}.attn.qkv", 2),
    "attn2.to_q": (f"{_PICTURE}.attn2.qkv", 0),
    "attn2.to_k": (f"{_PICTURE}.attn2.qkv", 1),
    "attn2.to_v": (f"{_PICTURE}.attn2.qkv", 2),
}
_BLOCK = re.compile(r"transformer_blocks\.(\d+)\.(.+)")


def stored_names(names: Iterable[str]) -> Ways:
    """Map the tensor names of the transformer to those of Stability's code (MMDiT).

    In the output layer and in the last block's norm of the text, scale and shift are the two halves of a
    tensor; files store them in the opposite order.
    """
    given = list(names)
    last = max((int(found[1]) for name in given if (found := _BLOCK.match(name))), default=-1)
    return {name: (_stored(name, last),) for name in given}


def _stored(name: str, last: int) -> Stored:
    if name in _OUTSIDE:
        return Stored(_OUTSIDE[name])
    module, _, kind = name.rpartition(".")
    if (found := _BLOCK.fullmatch(module)) is None:
        return Stored(f"{_OUTSIDE[module]}.{kind}", swapped=module == "norm_out.linear")
    number, inner = int(found[1]), found[2]
    if inner in _THIRDS:
        place, third = _THIRDS[inner]
        return Stored(f"joint_blocks.{number}.{place}.{kind}", rows=THIRDS[third])
    swapped = inner == "norm1_context.linear" and number == last
    return Stored(f"joint_blocks.{number}.{_INSIDE[inner]}.{kind}", swapped=swapped)
