"""Networks changed by LoRAs: new weights where they act, all else shared with the network they came to."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from nodes.sd.json_file import ModelError
from nodes.sd.lora.adapter import Adapter
from nodes.sd.lora.arena import alike

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Layer:
    """One LoRA over a network."""

    name: str
    """What to call it in messages."""
    digest: str
    """What makes it the same as another of another name."""
    adapters: Mapping[str, Adapter]
    """By the module that each changes."""
    strengths: Mapping[str, float]
    """By module; a module that is missing has 0."""


@torch.no_grad()
def patched(network: N, layers: Sequence[Layer]) -> tuple[N, int]:
    """A network with LoRAs over it; the given one stays as it is, to the bit.

    The change is computed in float32 and rounded once, to the dtype of the network. Where all LoRAs over a
    module merely add to it, they are added in one order whichever order they are given in, so that the
    order makes no difference to the last bit.

    Args:
        network: shares with the result every tensor that no LoRA changes.
        layers: the LoRAs, the first one first.

    Returns:
        the network, and the bytes that its own tensors take.

    Raises:
        ModelError: a weight is no longer finite.
    """
    touched = {
        name: acting
        for name in dict.fromkeys(chain.from_iterable(layer.adapters for layer in layers))
        if (acting := _acting(layers, name))
    }
    result = shared_copy(network, touched)
    weights = {
        name: _weight_of(result, name)
        for name, acting in touched.items()
        if any(adapter.has_weight for _, adapter, _ in acting)
    }
    fresh = alike(weights)
    size = 0
    for name, acting in touched.items():
        module = result.get_submodule(name)
        B, bias = None, module._parameters.get("bias")
        if name in weights:
            size += _put(module, "weight", _changed(weights[name], acting, fresh[name]), acting[-1][0].name)
        for _, adapter, strength in acting:
            if (change := adapter.bias_delta()) is not None and bias is not None:
                B = torch.add(bias.float() if B is None else B, change.to(bias.device), alpha=strength)
        if B is not None and bias is not None:
            size += _put(module, "bias", B.to(bias.dtype), acting[-1][0].name)
    return result, size


Acting = list[tuple[Layer, Adapter, float]]
"""What acts on one module: whose it is, the adapter, and how strong."""


def _acting(layers: Sequence[Layer], name: str) -> Acting:
    acting = [
        (layer, layer.adapters[name], layer.strengths[name])
        for layer in layers
        if name in layer.adapters and layer.strengths.get(name)
    ]
    if all(adapter.is_added for _, adapter, _ in acting):
        acting.sort(key=lambda one: (one[0].digest, one[2]))
    return acting


def _weight_of(network: nn.Module, name: str) -> Tensor:
    weight = network.get_submodule(name)._parameters["weight"]
    assert weight is not None
    return weight


def _changed(before: Tensor, acting: Acting, fresh: Tensor) -> Tensor:
    """A weight with what acts on it, written into `fresh`, which is of its shape and dtype."""
    W = before.float()
    place = fresh if fresh.dtype == torch.float32 else torch.empty(W.shape, device=W.device)
    for _, adapter, strength in acting:
        if adapter.has_weight:
            W = adapter.added(W, strength, place)
    return fresh.copy_(W) if place is not fresh else place


def shared_copy(network: N, paths: Iterable[str]) -> N:
    """A network over the same tensors, whose modules at some paths may get others without the first's notice.

    Only these modules and those around them are new; all others are the first network's own.
    """
    result = _twin(network)
    fresh = {id(result)}
    for path in paths:
        module: nn.Module = result
        for name in path.split("."):
            child = module._modules[name]
            assert child is not None
            if id(child) not in fresh:
                child = module._modules[name] = _twin(child)
                fresh.add(id(child))
            module = child
    return result


def _twin(module: N) -> N:
    twin = module.__class__.__new__(module.__class__)
    for name, held in module.__dict__.items():  # among them the tables of parameters, children and hooks
        twin.__dict__[name] = held.copy() if type(held) in (dict, OrderedDict) else held
    return twin


def _put(module: nn.Module, kind: str, tensor: Tensor, name: str) -> int:
    # In float32 nothing overflows: `file` bounds every number that is read.
    if tensor.dtype != torch.float32 and not torch.isfinite(tensor.sum(dtype=torch.float32)):
        raise ModelError(f"{name} makes a weight infinite in {tensor.dtype}. Give it a smaller weight.")
    module._parameters[kind] = nn.Parameter(tensor, requires_grad=False)
    return tensor.nbytes
