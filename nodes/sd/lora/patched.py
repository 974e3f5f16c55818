"""Patches networks with LoRAs: creates new weights where a LoRA acts, and shares all other tensors."""

from __future__ import annotations

from collections import OrderedDict
from collections.abc import Iterable, Mapping, Sequence
from dataclasses import dataclass
from itertools import chain
from typing import TypeVar

import torch
from torch import Tensor, nn

from nodes.sd.formats.json_file import ModelError
from nodes.sd.lora.adapter import Adapter
from nodes.sd.lora.huge_pages import empty_like

N = TypeVar("N", bound=nn.Module)


@dataclass(frozen=True)
class Layer:
    """One LoRA that is applied to a network."""

    name: str
    """The name of the LoRA in messages."""
    digest: str
    """The sha256 of the file."""
    adapters: Mapping[str, Adapter]
    """The adapters by module."""
    strengths: Mapping[str, float]
    """The strength by module; a missing module has the strength 0."""


@torch.no_grad()
def patched(network: N, layers: Sequence[Layer]) -> tuple[N, int]:
    """Return a copy of a network with LoRAs applied; the given network is not changed.

    Changes are computed in float32 and rounded once, to the dtype of the network. If all LoRAs on a module
    are additive, they are added in a sorted order, so that their given order does not affect the result.

    Args:
        network: the network; the copy shares every tensor that no LoRA changes.
        layers: the LoRAs, in order of application.

    Returns:
        the patched network, and the bytes that it does not share with the given one.

    Raises:
        ModelError: a changed weight is not finite.
    """
    touched = _touched(layers)
    result = shared_copy(network, touched)
    modules = {name: result.get_submodule(name) for name in touched}
    weights = {
        name: _weight_of(modules[name])
        for name, acting in touched.items()
        if any(adapter.has_weight for _, adapter, _ in acting)
    }
    fresh = empty_like(weights)
    size = 0
    for name, acting in touched.items():
        module = modules[name]
        B, bias = None, module._parameters.get("bias")
        if name in weights:
            size += _put(module, "weight", _changed(weights[name], acting, fresh[name]), acting[-1][0].name)
        for _, adapter, strength in acting:
            if (change := adapter.bias_delta()) is not None and bias is not None:
                B = torch.add(bias.float() if B is None else B, change.to(bias.device), alpha=strength)
        if B is not None and bias is not None:
            size += _put(module, "bias", B.to(bias.dtype), acting[-1][0].name)
    return result, size


def changed_bytes(network: nn.Module, layers: Sequence[Layer]) -> int:
    """Compute how many bytes the tensors that `patched` creates take, without creating them."""
    size = 0
    for name, acting in _touched(layers).items():
        module = network.get_submodule(name)
        bias = module._parameters.get("bias")
        if any(adapter.has_weight for _, adapter, _ in acting):
            size += _weight_of(module).nbytes
        if bias is not None and any(adapter.bias_delta() is not None for _, adapter, _ in acting):
            size += bias.nbytes
    return size


Acting = list[tuple[Layer, Adapter, float]]
"""The changes of one module: the LoRA, its adapter for the module, and the strength."""


def _touched(layers: Sequence[Layer]) -> dict[str, Acting]:
    """Collect the modules that any of the LoRAs changes, with the changes of each module."""
    return {
        name: acting
        for name in dict.fromkeys(chain.from_iterable(layer.adapters for layer in layers))
        if (acting := _acting(layers, name))
    }


def _acting(layers: Sequence[Layer], name: str) -> Acting:
    acting = [
        (layer, layer.adapters[name], layer.strengths[name])
        for layer in layers
        if name in layer.adapters and layer.strengths.get(name)
    ]
    if all(adapter.is_added for _, adapter, _ in acting):
        acting.sort(key=lambda item: (item[0].digest, item[2]))
    return acting


def _weight_of(module: nn.Module) -> Tensor:
    weight = module._parameters["weight"]
    assert weight is not None
    return weight


def _changed(before: Tensor, acting: Acting, fresh: Tensor) -> Tensor:
    """Compute a changed weight into `fresh`, which has its shape and dtype."""
    W = before.float()
    place = fresh if fresh.dtype == torch.float32 else torch.empty(W.shape, device=W.device)
    for _, adapter, strength in acting:
        if adapter.has_weight:
            W = adapter.added(W, strength, place)
    return fresh.copy_(W) if place is not fresh else place


def shared_copy(network: N, paths: Iterable[str]) -> N:
    """Copy a network so that its modules at `paths` can be changed; all tensors are shared.

    Only these modules and the modules that contain them are new objects; all others belong to both networks.
    """
    result = shallow_copy(network)
    fresh = {id(result)}
    for path in paths:
        module: nn.Module = result
        for name in path.split("."):
            child = module._modules[name]
            assert child is not None
            if id(child) not in fresh:
                child = module._modules[name] = shallow_copy(child)
                fresh.add(id(child))
            module = child
    return result


def shallow_copy(module: N) -> N:
    """Copy one module; its tensors and the modules inside it belong to both."""
    made = module.__class__.__new__(module.__class__)
    for name, held in module.__dict__.items():  # including the tables of parameters, children and hooks
        made.__dict__[name] = held.copy() if type(held) in (dict, OrderedDict) else held
    made.__dict__.pop("_compiled_call_impl", None)  # it would use the original network's weights
    return made


def _put(module: nn.Module, kind: str, tensor: Tensor, name: str) -> int:
    # In float32 nothing overflows, since `file` limits every number that is read.
    if tensor.dtype != torch.float32 and not torch.isfinite(tensor.sum(dtype=torch.float32)):
        raise ModelError(f"{name} makes a weight infinite in {tensor.dtype}. Use a smaller strength.")
    module._parameters[kind] = nn.Parameter(tensor, requires_grad=False)
    return tensor.nbytes
