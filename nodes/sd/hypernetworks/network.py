"""Hypernetworks (A1111): small networks before the keys and values of the attention."""

from __future__ import annotations

import copy
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any, TypeVar

import torch
from torch import Tensor, nn

from nodes.sd.formats.json_file import ModelError
from nodes.sd.formats.read import read_tensors
from nodes.sd.formats.tensors import Named, Tensors
from nodes.sd.hypernetworks.layout import ACTIVATIONS, Layout, fits, loaded
from nodes.sd.lora.patched import shared_copy

N = TypeVar("N", bound=nn.Module)

_OLD_NAMES = {"linear1": "linear.0", "linear2": "linear.1"}
_WIDEST = 1 << 14
_LARGEST = 1e6


class Branch(nn.Module):
    """A network f before the keys or values: changes their input x to x + strength * f(x)."""

    def __init__(self, inner: nn.Sequential, strength: float = 1.0) -> None:
        super().__init__()
        self.inner, self.strength = inner, strength

    def forward(self, x: Tensor) -> Tensor:
        """Compute x + strength * f(x), in the dtype of x."""
        like = next(self.inner.parameters())
        change: Tensor = self.inner(x.to(like.dtype))
        return x + change.to(x.dtype) * self.strength


@dataclass(frozen=True)
class LoadedHypernetwork:
    """The networks for keys and values, by the width of their input."""

    pairs: Mapping[int, tuple[nn.Sequential, nn.Sequential]]
    name: str = ""

    @property
    def nbytes(self) -> int:
        """The size of the weights in bytes."""
        return sum(
            tensor.nbytes for pair in self.pairs.values() for one in pair for tensor in one.parameters()
        )


def read(path: Path) -> LoadedHypernetwork:
    """Read a hypernetwork from a file.

    Raises:
        ModelError: the file is not a hypernetwork, is damaged, or contains NaN, infinity or huge numbers.
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
        layout = _layout(f"{path}, width {width}", tree, width)
        states = [_states(path, tensors, width, one) for one in pair]
        first, second = (loaded(f"{path}, width {width}", layout, width, one) for one in states)
        pairs[width] = (first, second)
    return LoadedHypernetwork(pairs, str(tree.get("name") or ""))


def apply(unet: N, stack: Sequence[tuple[float, LoadedHypernetwork]]) -> tuple[N, int]:
    """Return a copy of a UNet with hypernetworks before the keys and values of its attention.

    Args:
        unet: the UNet; the copy shares all its tensors.
        stack: the hypernetworks in order of application, each after its strength.

    Returns:
        the copy, and the additional bytes on the UNet's device.
    """
    if not stack:
        return unet, 0
    device = next(unet.parameters()).device
    placed = [(strength, _on(hypernetwork, device)) for strength, hypernetwork in stack]
    attentions = _attentions(unet)
    result = shared_copy(unet, attentions)
    for name in attentions:
        attention = result.get_submodule(name)
        for place, side in enumerate(("to_k", "to_v")):
            linear = attention.get_submodule(side)
            width = _width(linear)
            chain = [
                Branch(hypernetwork.pairs[width][place], strength)
                for strength, hypernetwork in placed
                if width in hypernetwork.pairs
            ]
            if chain:
                setattr(attention, side, nn.Sequential(*chain, linear))
    return result, added_bytes(unet, stack)


def attention_widths(unet: nn.Module) -> list[int]:
    """Return the input widths of the keys and values of a UNet's attention, in rising order."""
    attentions = [unet.get_submodule(name) for name in _attentions(unet)]
    return sorted({_width(one.get_submodule(side)) for one in attentions for side in ("to_k", "to_v")})


def _attentions(unet: nn.Module) -> list[str]:
    """Return the names of the attention modules of a UNet."""
    return [
        name for name, module in unet.named_modules() if hasattr(module, "to_k") and hasattr(module, "to_v")
    ]


def _width(projection: nn.Module) -> int:
    """Return the input width of a projection of keys or values, which may have hypernetworks before it."""
    linear = projection[-1] if isinstance(projection, nn.Sequential) else projection
    return int(linear.get_parameter("weight").shape[1])


def added_bytes(unet: nn.Module, stack: Sequence[tuple[float, LoadedHypernetwork]]) -> int:
    """Return the additional bytes that `apply` takes on the UNet's device; 0 on the CPU."""
    if next(unet.parameters()).device.type == "cpu":
        return 0
    return sum(hypernetwork.nbytes for _, hypernetwork in stack)


def _on(hypernetwork: LoadedHypernetwork, device: torch.device) -> LoadedHypernetwork:
    """Copy a hypernetwork to a device; return the same object if it is there already."""
    if all(
        weight.device == device for pair in hypernetwork.pairs.values() for weight in pair[0].parameters()
    ):
        return hypernetwork
    pairs = copy.deepcopy(dict(hypernetwork.pairs))  # `Module.to` would move the original
    return LoadedHypernetwork({width: (k.to(device), v.to(device)) for width, (k, v) in pairs.items()})


def _states(path: Path, tensors: Tensors, width: int, state: Any) -> dict[str, Tensor]:
    """Read the tensors of one network of a file, by name.

    Raises:
        ModelError: the network is not a dict of tensors, or contains NaN, infinity or huge numbers.
    """
    place = f"{path}, width {width}"
    if not isinstance(state, dict):
        raise ModelError(f"{place}: its network is not a dict of tensors.")
    given: dict[str, Tensor] = {}
    for name, held in state.items():
        if not (isinstance(name, str) and isinstance(held, Named)):
            raise ModelError(f"{place}: its network is not a dict of tensors.")
        head, _, rest = name.partition(".")
        tensor = tensors[held.name].float()
        if tensor.numel() and not tensor.abs().max() <= _LARGEST:  # also false for NaN
            raise ModelError(f"{place}: {name[:80]!r} contains NaN, infinity or huge numbers.")
        given[f"{_OLD_NAMES[head]}.{rest}" if head in _OLD_NAMES else name] = tensor
    return given


def _layout(place: str, tree: dict[Any, Any], width: int) -> Layout:
    """Return the layers that a file describes.

    Raises:
        ModelError: the structure or the activation is unknown.
    """
    structure = tree.get("layer_structure") or [1, 2, 1]
    if not (isinstance(structure, list) and fits(structure, width)):
        raise ModelError(
            f"{place}: its layer structure must begin and end with 1 and have small numbers between."
        )
    activation = str(tree.get("activation_func") or "linear").lower()
    if activation not in ACTIVATIONS and activation not in ("linear", "none"):
        raise ModelError(f"{place}: its activation {activation[:40]!r} is unknown.")
    dropout = tree.get("dropout_structure")
    if dropout is None and tree.get("use_dropout"):
        dropout = [0, *[0.3] * (len(structure) - 3), 0.3 if tree.get("last_layer_dropout") else 0, 0]
    return Layout(
        tuple(structure),
        activation,
        bool(tree.get("activate_output", True)),
        bool(tree.get("is_layer_norm", False)),
        tuple(dropout) if isinstance(dropout, list) else (),
    )
