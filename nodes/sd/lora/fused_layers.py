"""LoRAs of SD 3 and FLUX.1 with the layers of their authors' code, as kohya's sd-scripts writes them.

There the queries, keys and values of an attention are one layer, which is three in diffusers.
"""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import replace

import torch

from nodes.sd.formats.json_file import ModelError
from nodes.sd.lora import flux_layers, joint_blocks
from nodes.sd.lora.adapter import Adapter

_BY_ROW = ("up", "w1_a", "w2_a", "dora_scale", "diff", "diff_b", "rescale")
"""The tensors of an adapter with a row for each output of the layer; the others are for all outputs."""
_KRONECKER = ("kw1", "kw1_a", "kw1_b", "kw2", "kw2_a", "kw2_b")
_SHARED = ("down", "w1_b", "w2_b", "oft_blocks", *_KRONECKER)


def as_in_diffusers(adapters: Mapping[str, Adapter], place: str) -> dict[str, Adapter]:
    """Rename adapters to the layers of diffusers; an adapter of several layers is split.

    Other adapters, and kinds that cannot be split by rows, are returned unchanged.

    Args:
        adapters: the adapters by their prefixes in the file.
        place: the file's name in messages.

    Raises:
        ModelError: two adapters are for the same layer, or the rows of an adapter cannot be split.
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
    layers = joint_blocks.layers_of(prefix) or flux_layers.layers_of(prefix)
    if layers is None or not adapter.tensors.keys() <= {*_BY_ROW, *_SHARED}:
        return {prefix: adapter}
    counts = _rows(adapter)
    if len(counts) != 1:
        return {prefix: adapter}
    rows = counts.pop()
    if layers[0][0].endswith(joint_blocks.TEXT_MODULATION) and "joint_blocks" in prefix:
        if adapter.kind == "oft":  # its tensors do not tell which block it is for
            return {prefix: adapter}
        if _is_last(adapter, rows):
            layers = [(layers[0][0], 2, (1, 0))]
    count = layers[0][1]
    if rows % count:
        message = f"has {rows:,} rows, which cannot be divided into {count} parts"
        raise ModelError(f"{place}: {prefix[:200]!r} {message}.")
    if adapter.kind == "oft":
        blocks = adapter.tensors["oft_blocks"]
        if blocks.ndim != 3 or len(blocks) % count:  # its rotations mix the rows of several layers
            return {prefix: adapter}
        adapter = _unlimited(adapter, rows)
    return {f"transformer.{layer}": _part(adapter, count, chosen) for layer, count, chosen in layers}


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
