"""Adds adapters in training to a copy of a network; all other tensors are shared with the original."""

from __future__ import annotations

from collections.abc import Mapping
from typing import TypeVar

from torch import nn

from nodes.sd.fine_tuning.adapters import AdaptedLayer
from nodes.sd.fine_tuning.dropout import Dropout
from nodes.sd.lora.adapter import Adapter
from nodes.sd.lora.patched import shared_copy

N = TypeVar("N", bound=nn.Module)


def adapted(network: N, adapters: Mapping[str, Adapter], dropout: Dropout) -> N:
    """Return a copy of a network with adapters at some of its layers; the given network is not changed.

    Args:
        network: the network; the copy shares its tensors.
        adapters: the adapters by the names of their layers.
        dropout: the dropout of the inputs of all adapters.
    """
    result = shared_copy(network, adapters)
    for name, adapter in adapters.items():
        path, _, last = name.rpartition(".")
        parent = result.get_submodule(path)
        layer = parent._modules[last]
        assert layer is not None
        parent._modules[last] = AdaptedLayer(layer, adapter, dropout)
    return result
