"""Writes LoRA files with the names of kohya's sd-scripts, or with those of peft and diffusers."""

from __future__ import annotations

import json
from collections.abc import Mapping
from typing import Any

import torch
from safetensors.torch import save
from torch import Tensor

from engine.values import sha256
from nodes.sd.formats.safetensors_header import LENGTH
from nodes.sd.formats.safetensors_metadata import with_metadata
from nodes.sd.lora.adapter import Adapter
from nodes.sd.lora.grouped import grouped
from nodes.sd.lora.keys import T5, Target
from nodes.sd.lora.lora_value import LoRA

PARTS = {
    "up": "lora_up.weight",
    "down": "lora_down.weight",
    **{part: f"hada_{part}" for part in ("w1_a", "w1_b", "w2_a", "w2_b")},
    **{f"k{part}": f"lokr_{part}" for part in ("w1", "w1_a", "w1_b", "w2", "w2_a", "w2_b")},
    **{part: part for part in ("dora_scale", "diff", "diff_b", "w_norm", "b_norm", "alpha")},
}
"""The names of the parts of an adapter in kohya's and LyCORIS' files."""


def named_tensors(adapters: Mapping[Target, Adapter]) -> dict[str, Tensor]:
    """Copy the tensors of adapters to the CPU, in float32, named as NETWORK.LAYER.PART with kohya's parts."""
    tensors = {}
    for target, adapter in adapters.items():
        prefix = f"{target.part}.{target.module}"
        for part, tensor in adapter.tensors.items():
            tensors[f"{prefix}.{PARTS[part]}"] = tensor.detach().cpu().float().contiguous().clone()
        alpha = adapter.factor * (adapter.rank or 1) if adapter.alpha is None else adapter.alpha
        tensors[f"{prefix}.alpha"] = torch.tensor(float(alpha))
    return dict(sorted(tensors.items()))


def as_kohya(lora: LoRA, dtype: torch.dtype = torch.float32) -> bytes:
    """Write a LoRA file as kohya's sd-scripts and LyCORIS do, for A1111, ComfyUI and InvokeAI.

    The layers of a transformer have OneTrainer's names, which ComfyUI reads, too; kohya's names are for a
    model whose queries, keys and values are one layer. The metadata gets `sshs_model_hash`, the sha256 of the
    weights, by which A1111 finds the file.
    """
    several = any(name.startswith(("text_encoder_2.", "transformer.")) for name in lora.tensors)
    first = "lora_te1_" if lora.original_names or several else "lora_te_"
    prefixes = {"unet": "lora_unet_", "transformer": "lora_transformer_", "text_encoder": first}
    prefixes |= {"text_encoder_2": "lora_te2_", "text_encoder_3": "lora_te3_"}
    named = {}
    for name, tensor in lora.tensors.items():
        part, module, end = split(name)
        prefix, path = prefixes[part], lora.original_names.get(module, _path(part, module))
        named[f"{prefix}{path.replace('.', '_')}.{end}"] = tensor.to(dtype).contiguous()
    data = save(named)
    length = int.from_bytes(data[:LENGTH], "little")
    weights_hash = sha256(data[LENGTH + length :])
    hashes = {"sshs_model_hash": weights_hash, "sshs_legacy_hash": weights_hash[:8]}
    return with_metadata(data, {**lora.metadata, **hashes})


def as_peft(lora: LoRA, dtype: torch.dtype = torch.float32) -> bytes:
    """Write a LoRA file as diffusers' `save_lora_weights` does; the metadata has the ranks and alphas.

    Raises:
        ValueError: the adapters are neither LoRA nor DoRA.
    """
    named, config = {}, dict[str, Any]()
    for prefix, keys in grouped(lora.tensors).modules.items():
        if not {"up", "down"} <= keys.keys():
            raise ValueError("peft's format is for LoRA and DoRA only; save LoHa and LoKr as kohya")
        part, module, _ = split(f"{prefix}.alpha")
        path = _path(part, module)
        own = {role: lora.tensors[key] for role, key in keys.items()}
        named[f"{part}.{path}.lora_A.weight"] = own["down"].to(dtype).contiguous()
        named[f"{part}.{path}.lora_B.weight"] = own["up"].to(dtype).contiguous()
        if "dora_scale" in own:
            shape = (-1,) if own["down"].ndim == 2 else (1, -1, 1, 1)
            magnitude = own["dora_scale"].reshape(shape)
            named[f"{part}.{path}.lora_magnitude_vector"] = magnitude.to(dtype).contiguous()
        _add_to_config(config, part, module.removeprefix("text_model."), own)
    text = json.dumps(config, sort_keys=True)
    return with_metadata(save(named), {**lora.metadata, "format": "pt", "lora_adapter_metadata": text})


def _add_to_config(config: dict[str, Any], part: str, module: str, own: Mapping[str, Tensor]) -> None:
    """Add a layer to the peft config of its network."""
    rank, alpha = own["down"].shape[0], float(own["alpha"])
    number = int(alpha) if alpha.is_integer() else alpha
    if f"{part}.r" not in config:
        config |= {f"{part}.r": rank, f"{part}.lora_alpha": number, f"{part}.target_modules": []}
        config |= {f"{part}.rank_pattern": {}, f"{part}.alpha_pattern": {}}
        config[f"{part}.use_dora"] = "dora_scale" in own
    config[f"{part}.target_modules"].append(module)
    if rank != config[f"{part}.r"]:
        config[f"{part}.rank_pattern"][module] = rank
    if number != config[f"{part}.lora_alpha"]:
        config[f"{part}.alpha_pattern"][module] = number


def _path(part: str, module: str) -> str:
    """Return the name of a layer in files, where CLIP has the level `text_model` (gone in transformers 5)."""
    is_clip = part in _CLIPS and not module.startswith(T5)
    return f"text_model.{module.removeprefix('text_model.')}" if is_clip else module


_CLIPS = ("text_encoder", "text_encoder_2")


def split(name: str) -> tuple[str, str, str]:
    """Split a tensor's name into network, layer and part: `unet`, `conv_in`, `lora_up.weight`."""
    end = next(end for end in PARTS.values() if name.endswith(f".{end}"))
    part, _, module = name.removesuffix(f".{end}").partition(".")
    return part, module, end
