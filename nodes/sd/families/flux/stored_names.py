"""The names of FLUX's tensors in the code of its authors, Black Forest Labs, which single files use."""

from __future__ import annotations

import re
from collections.abc import Iterable

from nodes.sd.families.key_tables import THIRDS, Rows, Stored, Ways

OUTSIDE = {
    "time_text_embed.timestep_embedder.linear_1": "time_in.in_layer",
    "time_text_embed.timestep_embedder.linear_2": "time_in.out_layer",
    "time_text_embed.text_embedder.linear_1": "vector_in.in_layer",
    "time_text_embed.text_embedder.linear_2": "vector_in.out_layer",
    "time_text_embed.guidance_embedder.linear_1": "guidance_in.in_layer",
    "time_text_embed.guidance_embedder.linear_2": "guidance_in.out_layer",
    "context_embedder": "txt_in",
    "x_embedder": "img_in",
    "norm_out.linear": "final_layer.adaLN_modulation.1",
    "proj_out": "final_layer.linear",
}
_DOUBLE = {
    "norm1.linear": "img_mod.lin",
    "norm1_context.linear": "txt_mod.lin",
    "attn.to_out.0": "img_attn.proj",
    "attn.to_add_out": "txt_attn.proj",
    "attn.norm_q": "img_attn.norm.query_norm",
    "attn.norm_k": "img_attn.norm.key_norm",
    "attn.norm_added_q": "txt_attn.norm.query_norm",
    "attn.norm_added_k": "txt_attn.norm.key_norm",
    "ff.net.0.proj": "img_mlp.0",
    "ff.net.2": "img_mlp.2",
    "ff_context.net.0.proj": "txt_mlp.0",
    "ff_context.net.2": "txt_mlp.2",
}
_SINGLE = {
    "norm.linear": "modulation.lin",
    "attn.norm_q": "norm.query_norm",
    "attn.norm_k": "norm.key_norm",
    "proj_out": "linear2",
}
_DOUBLE_PARTS = {
    **dict(zip(("attn.to_q", "attn.to_k", "attn.to_v"), THIRDS, strict=True)),
    **dict(zip(("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"), THIRDS, strict=True)),
}
_SINGLE_PARTS = {
    "attn.to_q": Rows(0, 1, 7),
    "attn.to_k": Rows(1, 2, 7),
    "attn.to_v": Rows(2, 3, 7),
    "proj_mlp": Rows(3, 7, 7),
}
"""Queries, keys, values, and the first layer of the MLP, which is four times as wide."""
_BLOCK = re.compile(r"(single_)?transformer_blocks\.(\d+)\.(.+)")


def stored_names(names: Iterable[str]) -> Ways:
    """Map the names of the transformer's tensors in diffusers to those in the code of its authors."""
    return {name: (_stored(name),) for name in names}


def _stored(name: str) -> Stored:
    module, _, kind = name.rpartition(".")
    if (found := _BLOCK.fullmatch(module)) is None:
        return Stored(f"{OUTSIDE[module]}.{kind}", swapped=module == "norm_out.linear")
    single, number, inner = found.groups()
    block = f"{'single' if single else 'double'}_blocks.{number}"
    if single and inner in _SINGLE_PARTS:
        return Stored(f"{block}.linear1.{kind}", rows=_SINGLE_PARTS[inner])
    if not single and inner in _DOUBLE_PARTS:
        side = "txt" if "add_" in inner else "img"
        return Stored(f"{block}.{side}_attn.qkv.{kind}", rows=_DOUBLE_PARTS[inner])
    layer = (_SINGLE if single else _DOUBLE)[inner]
    return Stored(f"{block}.{layer}.{'scale' if layer.endswith('_norm') else kind}")
