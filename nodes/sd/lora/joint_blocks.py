"""LoRAs of SD 3 whose layers have the names of Stability's code, as kohya's sd-scripts writes them.

There the queries, keys and values of an attention are one layer, which is three in diffusers.
"""

from __future__ import annotations

import re
from collections.abc import Mapping
from dataclasses import replace

import torch

from nodes.sd.formats.json_file import ModelError
from nodes.sd.lora.adapter import Adapter

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
_SPELLED = {name.replace(".", "_"): name for layers in _LAYERS.values() for name in layers}

_BY_ROW = ("up", "w1_a", "w2_a", "dora_scale", "diff", "diff_b", "rescale")
"""The tensors of an adapter with a row for each output of the layer; the others are for all outputs."""
_KRONECKER = ("kw1", "kw1_a", "kw1_b", "kw2", "kw2_a", "kw2_b")
_SHARED = ("down", "w1_b", "w2_b", "oft_blocks", *_KRONECKER)


def as_in_diffusers(adapters: Mapping[str, Adapter], place: str) -> dict[str, Adapter]:
    """Rename adapters of joint blocks to the layers of diffusers; an adapter of three layers is split.

    Other adapters, and kinds that cannot be split by rows, are returned unchanged.

    Args:
        adapters: the adapters by their prefixes in the file.
        place: the file's name in messages.

    Raises:
        ModelError: two adapters are for the same layer, or an adapter cannot be split into three.
    """
    found: dict[str, Adapter] = {}
    for prefix, adapter in adapters.items():
        for name, part in _split(prefix, adapter, place).items():
            if name in found:
                raise ModelError(f"{place} changes {name!r} twice, the second time as {prefix[:200]!r}.")
            found[name] = part
    return found


def _split(prefix: str, adapter: Adapter, place: str) -> dict[str, Adapter]:
    """The adapters of the layers of diffusers in one layer."""
    block = _BLOCK.fullmatch(prefix)
    if block is None or not adapter.tensors.keys() <= {*_BY_ROW, *_SHARED}:
        return {prefix: adapter}
    number, side, spelled = block.groups()
    layers = _LAYERS[side].get(_SPELLED.get(spelled.replace(".", "_"), ""))
    counts = _rows(adapter)
    if layers is None or len(counts) != 1:
        return {prefix: adapter}
    if (rows := counts.pop()) % len(layers):
        message = f"has {rows:,} rows, which cannot be divided among {len(layers)} layers"
        raise ModelError(f"{place}: {prefix[:200]!r} {message}.")
    count = len(layers)
    pieces: list[tuple[int, ...]] = [(at,) for at in range(count)]
    if layers == ("norm1_context.linear",):
        if adapter.kind == "oft":  # its tensors do not tell which block it is for
            return {prefix: adapter}
        if _is_last(adapter, rows):
            count, pieces = 2, [(1, 0)]
    if adapter.kind == "oft":
        blocks = adapter.tensors["oft_blocks"]
        if blocks.ndim != 3 or len(blocks) % count:  # its rotations mix the rows of several layers
            return {prefix: adapter}
        adapter = _unlimited(adapter, rows)
    return {
        f"transformer.transformer_blocks.{number}.{layer}": _part(adapter, count, chosen)
        for layer, chosen in zip(layers, pieces, strict=True)
    }


def _rows(adapter: Adapter) -> set[int]:
    """The numbers of outputs of the layer, by the tensors of an adapter; a sound one has one number."""
    have = adapter.tensors
    counts = {len(tensor) for name, tensor in have.items() if name in _BY_ROW and tensor.ndim}
    if adapter.kind == "lokr":
        sides = [have[f"kw{n}"] if f"kw{n}" in have else have[f"kw{n}_a"] for n in (1, 2)]
        counts |= {len(sides[0]) * len(sides[1])} if all(side.ndim == 2 for side in sides) else {0, 1}
    if adapter.kind == "oft":
        counts.add(
            have["oft_blocks"].shape[-1] * have["oft_blocks"].shape[-3] if have["oft_blocks"].ndim > 2 else 0
        )
    return counts


def _part(adapter: Adapter, count: int, chosen: tuple[int, ...]) -> Adapter:
    """The adapter of some of `count` equal parts of the rows of a layer, in the order of `chosen`."""
    split = (*_BY_ROW, "oft_blocks")
    tensors = {
        name: torch.cat([tensor.chunk(count)[number] for number in chosen]) if name in split else tensor
        for name, tensor in adapter.tensors.items()
    }
    return replace(adapter, tensors=tensors, rows=(count, chosen) if adapter.kind == "lokr" else adapter.rows)


def _unlimited(adapter: Adapter, rows: int) -> Adapter:
    """An OFT whose limit, which holds for all blocks together, is applied to the blocks."""
    if not adapter.alpha:
        return adapter
    blocks = adapter.tensors["oft_blocks"].float()
    length = torch.linalg.vector_norm(blocks - blocks.mT)
    limit = adapter.alpha * rows
    scaled = blocks * (limit / length.clamp_min(limit))
    return replace(adapter, tensors={**adapter.tensors, "oft_blocks": scaled}, alpha=None)


def _is_last(adapter: Adapter, rows: int) -> bool:
    """Whether a modulation of the text is that of the last block, which has two outputs for each input, not
    six. Its halves for scale and shift are stored in the reverse order of diffusers'."""
    have = adapter.tensors
    if adapter.kind == "lokr":
        sides = [have[f"kw{n}"] if f"kw{n}" in have else have[f"kw{n}_b"] for n in (1, 2)]
        return rows == 2 * sides[0].shape[-1] * sides[1].shape[-1]
    up, down = adapter.tensors.get("up"), adapter.tensors.get("down")
    if up is None or down is None:
        up, down = adapter.tensors.get("w1_a"), adapter.tensors.get("w1_b")
    if up is not None and down is not None:
        return up.shape[0] == 2 * down.shape[1]
    whole = adapter.tensors.get("diff")
    return whole is not None and whole.ndim == 2 and whole.shape[0] == 2 * whole.shape[1]
