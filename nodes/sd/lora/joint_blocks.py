"""The layers of SD 3's transformer in Stability's code, by which LoRAs name them."""

from __future__ import annotations

import re

_PREFIX = r"(?:lora_unet_|lycoris_|(?:model\.)?diffusion_model\.|base_model\.model\.)?"
_BLOCK = re.compile(_PREFIX + r"joint_blocks[._](\d+)[._](x|context)_block[._](.+)")
_LAYERS = {
    "x": {
        "attn.qkv": ("attn.to_q", "attn.to_k", "attn.to_v"),
        "attn.proj": ("attn.to_out.0",),
        "attn2.qkv": ("attn2.to_q", "attn2.to_k", "attn2.to_v"),
        "attn2.proj": ("attn2.to_out.0",),
        "adaLN_modulation.1": ("norm1.linear",),
        "mlp.fc1": ("ff.net.0.proj",),
        "mlp.fc2": ("ff.net.2",),
    },
    "context": {
        "attn.qkv": ("attn.add_q_proj", "attn.add_k_proj", "attn.add_v_proj"),
        "attn.proj": ("attn.to_add_out",),
        "adaLN_modulation.1": ("norm1_context.linear",),
        "mlp.fc1": ("ff_context.net.0.proj",),
        "mlp.fc2": ("ff_context.net.2",),
    },
}
"""The layers of diffusers in each layer of a block, for the picture (`x`) and for the text (`context`)."""
TEXT_MODULATION = "norm1_context.linear"
"""The layer of which the last block has the halves for scale and shift in the reverse order of diffusers."""
_SPELLED = {name.replace(".", "_"): name for layers in _LAYERS.values() for name in layers}


def layers_of(prefix: str) -> list[tuple[str, int, tuple[int, ...]]] | None:
    """Find the layers of diffusers in a layer that a LoRA names as Stability does; None for other names.

    Returns:
        for each layer its name, the number of equal shares of the rows, and the shares that are its own.
    """
    block = _BLOCK.fullmatch(prefix)
    if block is None:
        return None
    number, side, spelled = block.groups()
    layers = _LAYERS[side].get(_SPELLED.get(spelled.replace(".", "_"), ""), ())
    return [
        (f"transformer_blocks.{number}.{layer}", len(layers), (at,)) for at, layer in enumerate(layers)
    ] or None
