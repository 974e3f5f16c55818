"""Makes new hypernetworks to train, initialised by A1111's methods."""

from __future__ import annotations

from collections.abc import Callable
from typing import Literal

import torch
from torch import Tensor, nn

from nodes.sd.hypernetworks.layout import Layout, layers

WeightInit = Literal["Normal", "XavierUniform", "XavierNormal", "KaimingUniform", "KaimingNormal"]
_DEVIATION = 0.01


def new_network(
    layout: Layout,
    width: int,
    weight_init: WeightInit,
    generator: torch.Generator,
    dropout: Callable[[Tensor], Tensor],
) -> nn.Sequential:
    """Make one network of a new hypernetwork, in float32 on the CPU, with parameters to train.

    Args:
        layout: the layers.
        width: the width of the input.
        weight_init: how the weights are drawn; those of LayerNorms are always drawn as by `Normal`.
        generator: a random generator on the CPU.
        dropout: the function of the dropout layers.
    """
    network = layers(layout, width, lambda share: _Applied(dropout))
    for layer in network:
        if isinstance(layer, nn.Linear | nn.LayerNorm):
            kind = "Normal" if isinstance(layer, nn.LayerNorm) else weight_init
            _draw(layer.weight, kind, layout.activation, generator)
            nn.init.zeros_(layer.bias)
    return network


class _Applied(nn.Module):
    """A layer that applies a function."""

    def __init__(self, function: Callable[[Tensor], Tensor]) -> None:
        super().__init__()
        self._function = function

    def forward(self, x: Tensor) -> Tensor:
        return self._function(x)


def _draw(weight: Tensor, kind: WeightInit, activation: str, generator: torch.Generator) -> None:
    rectifier: Literal["leaky_relu", "relu"] = "leaky_relu" if activation == "leakyrelu" else "relu"
    match kind:
        case "Normal":
            nn.init.normal_(weight, std=_DEVIATION, generator=generator)
        case "XavierUniform":
            nn.init.xavier_uniform_(weight, generator=generator)
        case "XavierNormal":
            nn.init.xavier_normal_(weight, generator=generator)
        case "KaimingUniform":
            nn.init.kaiming_uniform_(weight, nonlinearity=rectifier, generator=generator)
        case "KaimingNormal":
            nn.init.kaiming_normal_(weight, nonlinearity=rectifier, generator=generator)
