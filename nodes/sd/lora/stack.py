"""A stack of LoRAs over one network of a model: files matched to its modules, weights and blocks applied."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import TypeVar

from torch import nn

from nodes.sd.lora import blocks
from nodes.sd.lora.file import Lora, Shape, match
from nodes.sd.lora.keys import Part, Target, key_map
from nodes.sd.lora.patch import LoraPatch
from nodes.sd.lora.patched import Layer, patched

N = TypeVar("N", bound=nn.Module)


def apply(network: N, part: Part, stack: Sequence[tuple[LoraPatch, Lora]]) -> tuple[N, int]:
    """The network with the LoRAs over it, and the bytes that its own tensors take; see `patched`.

    Raises:
        ModelError: a LoRA does not fit it, or makes a weight infinite.
    """
    shapes = module_shapes({name: tuple(tensor.shape) for name, tensor in network.named_parameters()})
    table = key_map({part: shapes})
    known = {Target(part, name): shape for name, shape in shapes.items()}
    layers = []
    for patch, lora in stack:
        matched = match(lora, table, known, patch.source.name)
        adapters = {target.module: one.cut(patch.ranks) for target, one in matched.targets.items()}
        inside = (
            blocks.in_unet(patch.blocks, list(shapes)) if part == "unet" else dict.fromkeys(adapters, 1.0)
        )
        strengths = {name: patch.weight * inside[name] for name in adapters}
        layers.append(Layer(patch.source.name, patch.source.digest, adapters, strengths))
    return patched(network, layers)


def module_shapes(tensors: Mapping[str, tuple[int, ...]]) -> dict[str, Shape]:
    """The modules that have a weight, out of the names and shapes of a network's tensors."""
    return {
        name.removesuffix(".weight"): Shape(shape, name.removesuffix("weight") + "bias" in tensors)
        for name, shape in tensors.items()
        if name.endswith(".weight")
    }
