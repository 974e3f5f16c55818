"""Merges networks of one architecture: the weighted sum of their tensors."""

from __future__ import annotations

from collections.abc import Sequence
from typing import TypeVar

import torch
from torch import Tensor, nn

from nodes.sd.lora import blocks as block_weights

N = TypeVar("N", bound=nn.Module)

Weight = tuple[float, tuple[float, ...]]
"""The weight of a network, and its weight in each block of a UNet; empty for the same in all blocks."""


@torch.no_grad()
def weighted_sum(networks: Sequence[N], weights: Sequence[Weight]) -> N:
    """Add networks in float32, tensor by tensor: `w1 * A + w2 * B + …`, as A1111 does.

    If the first network reads more channels than another one (an inpainting model merged with an ordinary
    one), the additional channels keep their weights.

    Args:
        networks: float32, on the CPU. The first one is changed and returned; the others stay as they are.
        weights: the weight of each network.

    Raises:
        ValueError: a tensor of the first network is missing in another one or has another shape there, or a
            sum is infinite.
    """
    first, *others = networks
    by_name = [_by_tensor(network, *weight) for network, weight in zip(networks, weights, strict=True)]
    states = [dict(network.named_parameters()) for network in others]
    for name, tensor in first.named_parameters():
        total = tensor * by_name[0][name]
        for state, weight in zip(states, by_name[1:], strict=True):
            other = state.get(name)
            if other is None:
                raise ValueError(f"the models cannot be merged: one of them has no {name}")
            total = _added(name, total, tensor, other, weight[name])
        if not torch.isfinite(total).all():
            raise ValueError(f"the merged model has infinite numbers in {name}; use smaller amounts")
        tensor.copy_(total)
    return first


def _added(name: str, total: Tensor, first: Tensor, other: Tensor, weight: float) -> Tensor:
    if other.shape == total.shape:
        return total.add_(other * weight)
    channels = other.shape[1] if other.ndim == 4 else 0
    if not channels or channels > total.shape[1] or total[:, :channels].shape != other.shape:
        shapes = f"{list(total.shape)} and {list(other.shape)}"
        raise ValueError(f"the models cannot be merged: {name} has different shapes, {shapes}")
    total[:, :channels] += other * weight
    total[:, channels:] = first[:, channels:]
    return total


def _by_tensor(network: nn.Module, weight: float, blocks: tuple[float, ...]) -> dict[str, float]:
    """Return the weight of each tensor of a network, by name."""
    names = [name for name, _ in network.named_parameters()]
    if not blocks:
        return dict.fromkeys(names, weight)
    modules = list(dict.fromkeys(name.rpartition(".")[0] for name in names))
    by_module = block_weights.in_unet(blocks, modules)
    return {name: by_module[name.rpartition(".")[0]] for name in names}
