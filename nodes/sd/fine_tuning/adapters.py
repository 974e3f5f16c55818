"""The adapters that a LoRA training trains: additional weights for some layers of a network."""

from __future__ import annotations

import math
from collections.abc import Iterable, Mapping
from dataclasses import dataclass
from fnmatch import fnmatchcase
from typing import Literal, get_args

import torch
from torch import Tensor, nn

from nodes.sd.fine_tuning.dropout import Dropout
from nodes.sd.lora.adapter import Adapter

Kind = Literal["lora", "loha", "lokr"]
TRAINED_KINDS: tuple[str, ...] = get_args(Kind)
Targets = Literal["attention", "transformer", "all"]

PATTERNS: Mapping[Targets, tuple[str, ...]] = {
    "attention": (
        *("*.to_q", "*.to_k", "*.to_v", "*.to_out.0", "*.self_attn.*_proj"),
        *("*.add_q_proj", "*.add_k_proj", "*.add_v_proj", "*.to_add_out"),
    ),
    "transformer": (
        *("*.attentions.*", "*.self_attn.*_proj", "*.mlp.fc?"),
        *("transformer_blocks.*.attn*", "transformer_blocks.*.ff*"),
        *("single_transformer_blocks.*.attn*", "single_transformer_blocks.*.proj_*"),
    ),
    "all": (
        *("down_blocks.*", "mid_block.*", "up_blocks.*", "*.self_attn.*_proj", "*.mlp.fc?"),
        *("transformer_blocks.*", "single_transformer_blocks.*"),
    ),
}
"""The layers of each choice of targets, as patterns of their names in diffusers and transformers."""


class UnfitRankError(ValueError):
    """Raised if a layer is smaller than the rank."""


@dataclass(frozen=True)
class AdapterSettings:
    """The kind and the size of new adapters."""

    kind: Kind = "lora"
    rank: int = 16
    alpha: float = 16.0
    dora: bool = False
    """True to train the lengths of the rows of each weight apart from their directions (DoRA)."""
    factor: int = -1
    """The size of the first factor of LoKr; -1 for the most even split."""


def layers_to_train(network: nn.Module, patterns: Iterable[str]) -> dict[str, nn.Module]:
    """Return the linear layers and convolutions whose names match one of the patterns (`*` and `?`)."""
    wanted = list(patterns)
    return {
        name: module
        for name, module in network.named_modules()
        if type(module) in (nn.Linear, nn.Conv2d) and any(fnmatchcase(name, pattern) for pattern in wanted)
    }


def new_adapters(
    layers: Mapping[str, nn.Module], settings: AdapterSettings, generator: torch.Generator
) -> dict[str, Adapter]:
    """Make adapters that do not yet change their layers.

    They are initialised as in kohya's sd-scripts (LoRA) and LyCORIS (LoHa, LoKr).

    Args:
        layers: the layers by name.
        settings: the kind and the size of the adapters.
        generator: a random generator on the CPU.

    Raises:
        UnfitRankError: a layer is smaller than the rank.
    """
    return {name: _new_adapter(name, layer, settings, generator) for name, layer in layers.items()}


def _new_adapter(
    name: str, layer: nn.Module, settings: AdapterSettings, generator: torch.Generator
) -> Adapter:
    weight = layer.weight
    assert isinstance(weight, Tensor)
    outputs, inputs = weight.shape[0], weight[0].numel()
    rank = settings.rank
    if settings.kind != "lokr" and rank > min(outputs, inputs):
        raise UnfitRankError(
            f"the rank {rank} is larger than the layer {name}, which is {outputs} x {inputs}"
        )

    def normal(deviation: float, *shape: int) -> Tensor:
        return torch.randn(shape, generator=generator) * deviation

    def uniform(*shape: int) -> Tensor:
        """Draw uniform numbers within ±1 / sqrt(inputs), as `nn.Linear` is initialised."""
        limit = 1 / math.sqrt(math.prod(shape[1:]))
        return (torch.rand(shape, generator=generator) * 2 - 1) * limit

    if settings.kind == "lora":
        ones = [1] * (weight.ndim - 2)
        tensors = {"down": uniform(rank, *weight.shape[1:]), "up": torch.zeros(outputs, rank, *ones)}
    elif settings.kind == "loha":
        tensors = {
            "w1_a": normal(0.1, outputs, rank),
            "w1_b": normal(1.0, rank, inputs),
            "w2_a": torch.zeros(outputs, rank),
            "w2_b": normal(1.0, rank, inputs),
        }
    else:
        kernel = math.prod(weight.shape[2:])
        rows, more_rows = factors(outputs, settings.factor)
        columns, more_columns = factors(inputs // kernel, settings.factor)
        tensors = {"kw1": uniform(rows, columns)}
        if rank < max(more_rows, more_columns) / 2:
            tensors["kw2_a"] = uniform(more_rows, rank)
            tensors["kw2_b"] = torch.zeros(rank, more_columns * kernel)
        else:
            tensors["kw2"] = torch.zeros(more_rows, more_columns, *weight.shape[2:])
    if settings.dora:
        sides = [outputs, *[1] * (weight.ndim - 1)]
        tensors["dora_scale"] = weight.detach().float().cpu().flatten(1).norm(dim=1).reshape(sides)
    return Adapter(settings.kind, tensors, settings.alpha)


def factors(size: int, factor: int = -1) -> tuple[int, int]:
    """Split a size into two factors, the smaller one first, as LyCORIS does for LoKr.

    Args:
        size: the number of rows or columns.
        factor: the factor to use if it divides the size, and the largest that the smaller one may be
            otherwise; -1 for no limit.
    """
    if factor > 0 and size % factor == 0:
        return min(factor, size // factor), max(factor, size // factor)
    limit = size if factor < 0 else factor
    small = max(n for n in range(1, math.isqrt(size) + 1) if size % n == 0 and (n <= limit or n == 1))
    return small, size // small


class AdaptedLayer(nn.Module):
    """A frozen layer with an adapter in training.

    Args:
        base: a linear layer or a convolution, whose weight is not changed.
        adapter: its adapter, whose tensors are trained.
        dropout: the dropout of the adapter's input.
    """

    def __init__(self, base: nn.Module, adapter: Adapter, dropout: Dropout) -> None:
        super().__init__()
        self.base = base
        self._adapter, self._dropout = adapter, dropout
        self._is_branch = adapter.kind == "lora" and "dora_scale" not in adapter.tensors

    def forward(self, x: Tensor) -> Tensor:
        """Compute the output of the layer with the adapter at strength 1."""
        if self._is_branch:
            inner = self._layer(self._dropout(x), self._adapter.tensors["down"], None)
            up = self._adapter.tensors["up"].to(inner)
            outer = inner @ up.flatten(1).T if x.ndim != 4 else nn.functional.conv2d(inner, up)
            answer: Tensor = self.base(x) + outer * self._adapter.factor
            return answer
        assert isinstance(self.base, nn.Linear | nn.Conv2d)
        weight, bias = self.base.weight, self.base.bias
        like = next(iter(self._adapter.tensors.values()))
        delta = self._adapter.delta(weight.to(like))
        if self._dropout.is_on:
            answer = self.base(x) + self._layer(self._dropout(x), delta, None)
            return answer
        return self._layer(x, weight + delta, bias)

    def _layer(self, x: Tensor, weight: Tensor, bias: Tensor | None) -> Tensor:
        """Apply the operation of the base layer with another weight and bias."""
        if isinstance(self.base, nn.Conv2d):
            base = self.base
            stride, padding, dilation = base.stride, base.padding, base.dilation
            return nn.functional.conv2d(x, weight.to(x), bias, stride, padding, dilation)
        return nn.functional.linear(x, weight.to(x), bias)


def parameters(adapters: Mapping[str, Adapter], device: torch.device) -> dict[str, Adapter]:
    """Copy adapters to a device, with float32 parameters to train in place of their tensors."""
    return {
        name: Adapter(
            adapter.kind,
            {part: nn.Parameter(tensor.to(device).float()) for part, tensor in adapter.tensors.items()},
            adapter.alpha,
            adapter.scale,
        )
        for name, adapter in adapters.items()
    }


def as_module(adapters: Mapping[str, Adapter]) -> nn.ParameterDict:
    """Collect the parameters of adapters in one module, named by layer and part, with `/` instead of `.`."""
    found = nn.ParameterDict()
    for name, adapter in adapters.items():
        for part, tensor in adapter.tensors.items():
            found[f"{name.replace('.', '/')}/{part}"] = tensor
    return found
