"""Applies several LoRAs to one network: matches their keys to its modules, and computes the strengths."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import NamedTuple, TypeVar

from torch import nn

from nodes.sd.lora import blocks
from nodes.sd.lora.file import Lora, Shape, match
from nodes.sd.lora.keys import Part, Target, key_map
from nodes.sd.lora.patched import Layer, changed_bytes, patched

N = TypeVar("N", bound=nn.Module)


class WeightedLora(NamedTuple):
    """A LoRA with its strength, for one network."""

    lora: Lora
    name: str
    """The name of its file, for messages."""
    digest: str
    """The sha256 of its file."""
    strength: float
    blocks: tuple[float, ...] = ()
    """The factor of each block of a UNet (see `blocks`); empty for 1."""
    ranks: int | None = None
    """The number of ranks to use; None for all."""


def apply(network: N, part: Part, stack: Sequence[WeightedLora]) -> tuple[N, int]:
    """Apply LoRAs to a copy of a network; return it and the bytes that it does not share (see `patched`).

    Raises:
        ModelError: a LoRA does not fit the network, or makes a weight infinite.
    """
    return patched(network, _layers(network, part, stack))


def added_bytes(network: nn.Module, part: Part, stack: Sequence[WeightedLora]) -> int:
    """Compute the additional bytes that `apply` takes.

    Raises:
        ModelError: a LoRA does not fit the network.
    """
    return changed_bytes(network, _layers(network, part, stack))


def module_shapes(tensors: Mapping[str, tuple[int, ...]]) -> dict[str, Shape]:
    """Return the modules that have a weight, from the names and shapes of a network's tensors."""
    return {
        name.removesuffix(".weight"): Shape(shape, name.removesuffix("weight") + "bias" in tensors)
        for name, shape in tensors.items()
        if name.endswith(".weight")
    }


def _layers(network: nn.Module, part: Part, stack: Sequence[WeightedLora]) -> list[Layer]:
    if not stack:
        return []
    shapes = module_shapes({name: tuple(tensor.shape) for name, tensor in network.named_parameters()})
    table = key_map({part: shapes})
    known = {Target(part, name): shape for name, shape in shapes.items()}
    layers = []
    for item in stack:
        matched = match(item.lora, table, known, item.name)
        adapters = {target.module: adapter.cut(item.ranks) for target, adapter in matched.targets.items()}
        factors = (
            blocks.in_unet(item.blocks, list(shapes)) if part == "unet" else dict.fromkeys(adapters, 1.0)
        )
        strengths = {name: item.strength * factors[name] for name in adapters}
        layers.append(Layer(item.name, item.digest, adapters, strengths))
    return layers
