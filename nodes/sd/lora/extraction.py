"""Converts the difference of two networks to adapters: whole, or as a LoRA (singular value decomposition)."""

from __future__ import annotations

from collections.abc import Iterator, Mapping

import torch
from torch import Tensor, nn

from nodes.sd.lora.adapter import Adapter


class UnlikeNetworksError(ValueError):
    """Raised if two networks differ in layers or shapes, or have tensors that LoRA files cannot hold."""


def differences(tuned: nn.Module, base: nn.Module) -> dict[str, Tensor]:
    """Subtract the tensors of `base` from those of `tuned`, in float32; equal tensors are left out.

    Raises:
        UnlikeNetworksError: the networks differ in their tensors or shapes.
    """
    first, second = dict(tuned.named_parameters()), dict(base.named_parameters())
    for name in first.keys() | second.keys():
        shapes = [list(state[name].shape) if name in state else "none" for state in (first, second)]
        if shapes[0] != shapes[1]:
            raise UnlikeNetworksError(f"the models are not alike: {name} is {shapes[0]} and {shapes[1]}")
    changes = {
        name: tensor.detach().float() - second[name].detach().float() for name, tensor in first.items()
    }
    return {name: change for name, change in changes.items() if change.any()}


def extracted(changes: Mapping[str, Tensor], rank: int) -> Iterator[tuple[str, Adapter, float]]:
    """Compute the best LoRA of a rank for each change of a weight (Eckart and Young, 1936).

    Both matrices are scaled by the roots of the singular values, so that both keep their precision in
    float16.

    Args:
        changes: the changes of the weights of linear layers and convolutions, by layer.
        rank: the rank; that of a layer is at most its smaller side.

    Yields:
        the name of the layer, its adapter, and the sum of the squares of the adapter's change.
    """
    for name, change in changes.items():
        U, S, V = torch.linalg.svd(change.flatten(1), full_matrices=False)
        count = min(rank, len(S))
        root = S[:count].sqrt()
        up = (U[:, :count] * root).reshape(change.shape[0], count, *[1] * (change.ndim - 2))
        down = (root[:, None] * V[:count]).reshape(count, *change.shape[1:])
        tensors = {"up": up.contiguous(), "down": down.contiguous()}
        yield name, Adapter("lora", tensors, float(count)), float(S[:count].square().sum())


def whole_adapters(changes: Mapping[str, Tensor], network: nn.Module) -> dict[str, Adapter]:
    """Convert changes of weights and biases to adapters of LyCORIS' kinds `full` and `norm`, by layer.

    Raises:
        UnlikeNetworksError: a tensor is neither a weight nor a bias.
    """
    found: dict[str, dict[str, Tensor]] = {}
    for name, change in changes.items():
        layer, _, kind = name.rpartition(".")
        norm = isinstance(network.get_submodule(layer), nn.GroupNorm | nn.LayerNorm)
        part = (_NORM_PARTS if norm else _PARTS).get(kind)
        if part is None:
            raise UnlikeNetworksError(f"{name} is neither a weight nor a bias, so its change cannot be kept")
        found.setdefault(layer, {})[part] = change
    return {
        layer: Adapter("norm" if tensors.keys() <= set(_NORM_PARTS.values()) else "full", tensors)
        for layer, tensors in found.items()
    }


_PARTS = {"weight": "diff", "bias": "diff_b"}
_NORM_PARTS = {"weight": "w_norm", "bias": "b_norm"}
