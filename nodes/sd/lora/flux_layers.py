"""The layers of FLUX.1's transformer in the code of its authors, by which files and LoRAs name them."""

from __future__ import annotations

import re

OUTSIDE = {
    "time_in.in_layer": "time_text_embed.timestep_embedder.linear_1",
    "time_in.out_layer": "time_text_embed.timestep_embedder.linear_2",
    "vector_in.in_layer": "time_text_embed.text_embedder.linear_1",
    "vector_in.out_layer": "time_text_embed.text_embedder.linear_2",
    "guidance_in.in_layer": "time_text_embed.guidance_embedder.linear_1",
    "guidance_in.out_layer": "time_text_embed.guidance_embedder.linear_2",
    "txt_in": "context_embedder",
    "img_in": "x_embedder",
    "final_layer.adaLN_modulation.1": "norm_out.linear",
    "final_layer.linear": "proj_out",
}
"""The layer of diffusers of each layer outside of the blocks."""
SWAPPED = "final_layer.adaLN_modulation.1"
"""The layer whose two halves of the rows, scale and shift, diffusers has in reverse order."""

DOUBLE = {
    "img_mod.lin": ("norm1.linear",),
    "txt_mod.lin": ("norm1_context.linear",),
    "img_attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
    "txt_attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
    "img_attn.proj": ("attn.to_out.0",),
    "txt_attn.proj": ("attn.to_add_out",),
    "img_attn.norm.query_norm": ("attn.norm_q",),
    "img_attn.norm.key_norm": ("attn.norm_k",),
    "txt_attn.norm.query_norm": ("attn.norm_added_q",),
    "txt_attn.norm.key_norm": ("attn.norm_added_k",),
    "img_mlp.0": ("ff.net.0.proj",),
    "img_mlp.2": ("ff.net.2",),
    "txt_mlp.0": ("ff_context.net.0.proj",),
    "txt_mlp.2": ("ff_context.net.2",),
}
"""The layers of diffusers in each layer of a double block, in the order of the rows."""
SINGLE = {
    "modulation.lin": ("norm.linear",),
    "linear1": ("attn.to_q", "attn.to_k", "attn.to_v", "proj_mlp"),
    "linear2": ("proj_out",),
    "norm.query_norm": ("attn.norm_q",),
    "norm.key_norm": ("attn.norm_k",),
}
"""The layers of diffusers in each layer of a single block, in the order of the rows."""
_SHARES = {"proj_mlp": 4}
"""How many times as many rows as the others a layer has."""

_NAME = re.compile(
    r"(?:lora_unet_|lycoris_|(?:model\.)?diffusion_model\.|base_model\.model\.)?"
    r"(?:(double|single)_blocks[._](\d+)[._])?(.+)"
)


def shares(layers: tuple[str, ...]) -> list[tuple[int, int, int]]:
    """Return the first, the last and the number of equal shares of the rows for layers stored as one."""
    sizes = [_SHARES.get(layer, 1) for layer in layers]
    ends = [sum(sizes[: number + 1]) for number in range(len(sizes))]
    return [(end - size, end, sum(sizes)) for size, end in zip(sizes, ends, strict=True)]


def _spelled(layers: dict[str, tuple[str, ...]]) -> dict[str, tuple[str, ...]]:
    return {name.replace(".", "_"): found for name, found in layers.items()}


_XLABS_SINGLE = {"qkv": ("attn.to_q", "attn.to_k", "attn.to_v"), "proj": ("proj_out",)}
"""The names of XLabs' LoRAs for a part of `linear1` and for `linear2`."""
_LAYERS = {"double": _spelled(DOUBLE), "single": _spelled(SINGLE) | _XLABS_SINGLE}
_BLOCKS = {"double": "transformer_blocks", "single": "single_transformer_blocks"}
_OUTSIDE = {name.replace(".", "_"): name for name in OUTSIDE}


def layers_of(prefix: str) -> list[tuple[str, int, tuple[int, ...]]] | None:
    """Find the layers of diffusers in a layer that a LoRA names as FLUX.1's authors do; None for other names.

    Returns:
        for each layer its name, the number of equal shares of the rows, and the shares that are its own.
    """
    found = _NAME.fullmatch(prefix)
    if found is None:
        return None
    kind, number, spelled = found.groups()
    if kind is not None:
        layers = _LAYERS[kind].get(spelled.replace(".", "_"), ())
        return [
            (f"{_BLOCKS[kind]}.{number}.{layer}", whole, tuple(range(first, last)))
            for layer, (first, last, whole) in zip(layers, shares(layers), strict=True)
        ] or None
    outside = _OUTSIDE.get(spelled.replace(".", "_"))
    if outside is None:
        return None
    return [(OUTSIDE[outside], *((2, (1, 0)) if outside == SWAPPED else (1, (0,))))]
