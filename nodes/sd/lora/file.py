"""Reads LoRA files: the adapter of each module, embeddings in the file, and unknown keys."""

from __future__ import annotations

import json
import math
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import NamedTuple

import torch
from torch import Tensor

from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.read import read_tensors
from nodes.sd.lora.adapter import Adapter, Misfit
from nodes.sd.lora.fused_layers import as_in_diffusers
from nodes.sd.lora.grouped import grouped, kind_of
from nodes.sd.lora.keys import Target

_NUMBERS = ("alpha", "scale", "on_input")
_LARGEST = 1e6
"""The greatest absolute value of a number. Products of such numbers cannot overflow float32."""
_PEFT_PARTS = ("unet", "transformer", "text_encoder", "text_encoder_2", "text_encoder_3")


@dataclass(frozen=True)
class Lora:
    """The content of a LoRA file."""

    adapters: Mapping[str, Adapter]
    """The adapters by their prefixes in the file; those of SD 3 and FLUX.1 by their names in diffusers."""
    bundled: Mapping[str, Mapping[str, Tensor]]
    """The embeddings in the file, by name: their tensors, such as `clip_l`."""
    unknown: tuple[str, ...]
    """The keys with unknown meaning."""

    @property
    def nbytes(self) -> int:
        """The size of the adapters' tensors in bytes."""
        return sum(t.nbytes for adapter in self.adapters.values() for t in adapter.tensors.values())


class Shape(NamedTuple):
    """The shape of a module's weight, and whether the module has a bias."""

    weight: tuple[int, ...]
    biased: bool


@dataclass(frozen=True)
class Matched:
    """The adapters of a LoRA for the modules of a model."""

    targets: Mapping[Target, Adapter]
    unmatched: tuple[str, ...]
    """The prefixes and keys for which the model has no module."""


def read(path: Path) -> Lora:
    """Read a LoRA from a safetensors file or a pickle, whose code is not executed.

    Raises:
        ModelError: the file is not a LoRA, is damaged, or contains NaN, infinity or huge numbers.
    """
    tensors = read_tensors(path)
    return lora(tensors.some(tensors), tensors.metadata, str(path))


def lora(tensors: Mapping[str, Tensor], metadata: Mapping[str, str], place: str) -> Lora:
    """Make a LoRA from tensors; `place` is their origin in messages.

    Raises:
        ModelError: as `read`.
    """
    found = grouped(tensors)
    if not found.modules and not found.bundled:
        shown = ", ".join(repr(key[:80]) for key in list(tensors)[:3]) or "nothing"
        raise ModelError(f"{place} is not a LoRA of a known kind. It contains {shown}.")
    peft = _peft(metadata)
    adapters = {}
    for prefix, parts in found.modules.items():
        for key in parts.values():
            _check(key, tensors[key], place)
        own = {part: tensors[key] for part, key in parts.items() if part not in _NUMBERS}
        numbers = {part: _number(tensors[parts[part]], place) for part in _NUMBERS if part in parts}
        adapter = Adapter(
            kind_of(parts) or "",
            own,
            numbers.get("alpha"),
            numbers.get("scale"),
            bool(numbers.get("on_input")),
        )
        if adapter.alpha is None and adapter.scale is None and (rank := adapter.rank):
            adapter = Adapter(adapter.kind, own, None, peft(prefix, rank), adapter.on_input)
        adapters[prefix] = adapter
    bundled = {
        name: {part: tensors[key] for part, key in parts.items()} for name, parts in found.bundled.items()
    }
    return Lora(as_in_diffusers(adapters, place), bundled, tuple(found.unknown))


def match(lora: Lora, table: Mapping[str, Target], shapes: Mapping[Target, Shape], place: str) -> Matched:
    """Find the module of each adapter.

    Args:
        lora: the content of the file.
        table: the model's key map; see `key_map`.
        shapes: the shape of each module in the key map.
        place: the file's name in messages.

    Raises:
        ModelError: an adapter does not fit its module, or two adapters are for the same module.
    """
    targets: dict[Target, Adapter] = {}
    misfits: list[str] = []
    unmatched = list(lora.unknown)
    for prefix, adapter in lora.adapters.items():
        target = table.get(prefix)
        if target is None:
            unmatched.append(prefix)
            continue
        if target in targets:
            raise ModelError(f"{place} changes {target.module!r} twice, the second time as {prefix[:200]!r}.")
        targets[target] = adapter
        try:
            adapter.check(*shapes[target])
        except Misfit as error:
            misfits.append(f"{prefix[:200]!r} ({error})")
    if misfits:
        raise ModelError(
            f"{place} was made for another kind of model: {len(misfits)} of its {len(lora.adapters)} modules"
            f" do not fit, first {misfits[0]}."
        )
    return Matched(targets, tuple(unmatched))


def _check(key: str, tensor: Tensor, place: str) -> None:
    last = key.rpartition(".")[2]
    if not tensor.is_floating_point() and (last not in _NUMBERS or tensor.is_complex()):
        raise ModelError(f"{place}: {key[:200]!r} has the type {tensor.dtype}, not floating-point numbers.")
    if not tensor.numel():
        return
    least, most = torch.aminmax(tensor.float())
    if not (-_LARGEST <= least and most <= _LARGEST):  # also false for NaN
        raise ModelError(
            f"{place}: {key[:200]!r} contains NaN, infinity or huge numbers. Train or download it again."
        )


def _number(tensor: Tensor, place: str) -> float:
    if tensor.numel() != 1:
        raise ModelError(f"{place}: an alpha, scale or on_input has {tensor.numel()} numbers instead of one.")
    return float(tensor.item())


def _peft(metadata: Mapping[str, str]) -> Callable[[str, int], float | None]:
    """Make a function that returns the factor alpha / rank of a module, from peft's metadata.

    The function takes the prefix and the rank of the module; it returns None if the metadata has no alpha.
    """
    try:
        config = json.loads(metadata.get("lora_adapter_metadata", "{}"))
    except (ValueError, RecursionError):
        config = {}
    config = config if isinstance(config, dict) else {}

    def factor(prefix: str, rank: int) -> float | None:
        part = next((part for part in _PEFT_PARTS if prefix.startswith(f"{part}.")), None)
        if part is None:
            return None
        patterns = config.get(f"{part}.alpha_pattern")
        alpha = config.get(f"{part}.lora_alpha")
        for name, own in patterns.items() if isinstance(patterns, dict) else ():
            if prefix.endswith(f".{name.lstrip('^')}"):
                alpha = own
        if not isinstance(alpha, int | float) or not abs(alpha) <= _LARGEST:
            return None
        return alpha / (math.sqrt(rank) if config.get(f"{part}.use_rslora") is True else rank)

    return factor
