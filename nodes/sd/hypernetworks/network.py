"""Hypernetworks (A1111): small networks before the keys and values of the attention."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.tensors import Named, Tensors
from nodes.sd.lora.patched import shared_copy

N = TypeVar("N", bound=nn.Module)

_OLD_NAMES = {"linear1": "linear.0", "linear2": "linear.1"}
_WIDEST = 1 << 14
_DEEPEST = 64
_LARGEST = 1e6
_ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    kind.__name__.lower(): kind
    for kind in (
        *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU),
        *(nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid),
        *(nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink),
    )
} | {"swish": nn.Hardswish}
"""The activations by their names in A1111: torch's names in lower case, and `swish`."""


class Branch(nn.Module):
    """The change x + f(x) of the input of the keys or values."""

    def __init__(self, inner: nn.Sequential, strength: float = 1.0) -> None:
        super().__init__()
        self.inner, self.strength = inner, strength

    def forward(self, x: Tensor) -> Tensor:
        """The input plus `strength` times the change, in the input's dtype."""
        like = next(self.inner.parameters())
        change: Tensor = self.inner(x.to(like.dtype))
        return x + change.to(x.dtype) * self.strength


@dataclass(frozen=True)
class Hypernetwork:
    """The networks for keys and values, by the width of their input."""

    pairs: Mapping[int, tuple[nn.Sequential, nn.Sequential]]
    name: str = ""

    @property
    def nbytes(self) -> int:
        """The number of bytes of the weights."""
        return sum(
            tensor.nbytes for pair in self.pairs.values() for one in pair for tensor in one.parameters()
        )


def read(path: Path) -> Hypernetwork:
    """Read a hypernetwork from a file.

    Raises:
        ModelError: it is not a hypernetwork, is damaged, or contains NaN or infinity.
    """
    tensors = read_tensors(path)
    tree = tensors.tree
    widths = {key: pair for key, pair in tree.items() if type(key) is int} if isinstance(tree, dict) else {}
    if not widths:
        raise ModelError(f"{path} is not a hypernetwork: it contains no pair of networks.")
    pairs = {}
    for width, pair in widths.items():
        if not (isinstance(pair, list | tuple) and len(pair) == 2 and 1 <= width <= _WIDEST):
            raise ModelError(f"{path}: the entry for the width {width} is not a pair of networks.")
        first, second = (_network(path, tensors, tree, width, one) for one in pair)
        pairs[width] = (first, second)
    return Hypernetwork(pairs, str(tree.get("name") or ""))


def apply(unet: N, stack: Sequence[tuple[float, Hypernetwork]]) -> tuple[N, int]:
    """Return a copy of a UNet with hypernetworks before the keys and values of its attention.

    Args:
        unet: the UNet; the copy shares all its tensors.
        stack: strengths and hypernetworks, in order of application.

    Returns:
        the copy, and the additional bytes on the UNet's device.
    """
    if not stack:
        return unet, 0
    device = next(unet.parameters()).device
    placed = [(strength, _on(hypernetwork, device)) for strength, hypernetwork in stack]
    attentions = [
        name for name, module in unet.named_modules() if hasattr(module, "to_k") and hasattr(module, "to_v")
    ]
    result = shared_copy(unet, attentions)
    for name in attentions:
        attention = result.get_submodule(name)
        for place, side in enumerate(("to_k", "to_v")):
            linear = attention.get_submodule(side)
            width = int(linear.get_parameter("weight").shape[1])
            chain = [
                Branch(hypernetwork.pairs[width][place], strength)
                for strength, hypernetwork in placed
                if width in hypernetwork.pairs
            ]
            if chain:
                setattr(attention, side, nn.Sequential(*chain, linear))
    return result, added_bytes(unet, stack)


def added_bytes(unet: nn.Module, stack: Sequence[tuple[float, Hypernetwork]]) -> int:
    """The additional bytes that `apply` takes on the UNet's device."""
    if next(unet.parameters()).device.type == "cpu":
        return 0
    return sum(hypernetwork.nbytes for _, hypernetwork in stack)


def _on(hypernetwork: Hypernetwork, device: torch.device) -> Hypernetwork:
    """Copy a hypernetwork to a device; returns the same object on the host."""
    if device.type == "cpu":
        return hypernetwork
    pairs = copy.deepcopy(dict(hypernetwork.pairs))  # `Module.to` would move the original
    return Hypernetwork({width: (k.to(device), v.to(device)) for width, (k, v) in pairs.items()})


def _network(path: Path, tensors: Tensors, tree: dict[Any, Any], width: int, state: Any) -> nn.Sequential:
    place = f"{path}, width {width}"
    if not isinstance(state, dict):
        raise ModelError(f"{place}: its network is not a table of tensors.")
    given: dict[str, Tensor] = {}
    for name, held in state.items():
        if not (isinstance(name, str) and isinstance(held, Named)):
            raise ModelError(f"{place}: its network is not a table of tensors.")
        head, _, rest = name.partition(".")
        tensor = tensors[held.name].float()
        if tensor.numel() and not tensor.abs().max() <= _LARGEST:  # also false for NaN
            raise ModelError(f"{place}: {name[:80]!r} contains NaN, infinity or huge numbers.")
        given[f"{_OLD_NAMES[head]}.{rest}" if head in _OLD_NAMES else name] = tensor
    with torch.device("meta"):
        network = nn.Sequential(*_layers(place, tree, width))
    wanted = {f"linear.{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    found = {name: tuple(tensor.shape) for name, tensor in given.items()}
    if wanted != found:
        raise ModelError(f"{place}: its tensors do not fit the layers that it describes.")
    network.load_state_dict(
        {name.removeprefix("linear."): tensor for name, tensor in given.items()}, assign=True
    )
    return network.eval().requires_grad_(False)


def _layers(place: str, tree: dict[Any, Any], width: int) -> list[nn.Module]:
    structure = tree.get("layer_structure") or [1, 2, 1]
    if not (
        isinstance(structure, list)
        and 2 <= len(structure) <= _DEEPEST
        and all(isinstance(size, int | float) and 0 < size * width <= _WIDEST for size in structure)
        and structure[0] == structure[-1] == 1
    ):
        raise ModelError(
            f"{place}: its layer structure must begin and end with 1 and have small numbers between."
        )
    activation = str(tree.get("activation_func") or "linear").lower()
    if activation not in _ACTIVATIONS and activation not in ("linear", "none"):
        raise ModelError(f"{place}: its activation {activation[:40]!r} is unknown.")
    last_too = bool(tree.get("activate_output", True))
    norm = bool(tree.get("is_layer_norm", False))
    dropout = tree.get("dropout_structure")
    if dropout is None and tree.get("use_dropout"):
        dropout = [0, *[0.3] * (len(structure) - 3), 0.3 if tree.get("last_layer_dropout") else 0, 0]
    layers: list[nn.Module] = []
    for number, (before, after) in enumerate(pairwise(structure)):
        layers.append(nn.Linear(int(width * before), int(width * after)))
        if activation in _ACTIVATIONS and (last_too or number < len(structure) - 2):
            layers.append(_ACTIVATIONS[activation]())
        if norm:
            layers.append(nn.LayerNorm(int(width * after)))
        if isinstance(dropout, list) and number + 1 < len(dropout) and dropout[number + 1] > 0:
            layers.append(
                nn.Identity()
            )  # dropout has no effect here, but it is counted in the names of the tensors
    return layers
