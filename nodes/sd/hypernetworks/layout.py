"""The layers of a hypernetwork, as A1111 describes and names them."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from itertools import pairwise

import torch
from torch import Tensor, nn

from nodes.sd.formats.json_file import ModelError

_WIDEST = 1 << 14
_DEEPEST = 64
ACTIVATIONS: Mapping[str, type[nn.Module]] = {
    kind.__name__.lower(): kind
    for kind in (
        *(nn.CELU, nn.ELU, nn.GELU, nn.Hardshrink, nn.Hardsigmoid, nn.Hardswish, nn.Hardtanh, nn.LeakyReLU),
        *(nn.LogSigmoid, nn.Mish, nn.PReLU, nn.ReLU, nn.ReLU6, nn.RReLU, nn.SELU, nn.SiLU, nn.Sigmoid),
        *(nn.Softplus, nn.Softshrink, nn.Softsign, nn.Tanh, nn.Tanhshrink),
    )
} | {"swish": nn.Hardswish}
"""The activations by their names in A1111: torch's names in lower case, and `swish`."""


@dataclass(frozen=True)
class Layout:
    """The layers of each network of a hypernetwork."""

    structure: tuple[float, ...] = (1, 2, 1)
    """The widths of the layers, as multiples of the width of the input; 1 at both ends."""
    activation: str = "linear"
    """A name in `ACTIVATIONS`; `linear` and `none` for none."""
    activates_output: bool = True
    """Whether the activation follows the last layer, too."""
    norm: bool = False
    """Whether a LayerNorm follows each layer."""
    dropout: tuple[float, ...] = ()
    """The dropout at each width of `structure`; the first has no effect. Empty for none."""


def fits(structure: Sequence[object], width: int) -> bool:
    """Return whether a structure begins and ends with 1, and no layer is too narrow or wide.

    Args:
        structure: the widths of the layers, as multiples of `width`.
        width: the width of the input.
    """
    return (
        2 <= len(structure) <= _DEEPEST
        and all(isinstance(size, int | float) and 1 <= size * width <= _WIDEST for size in structure)
        and structure[0] == structure[-1] == 1
    )


def layers(
    layout: Layout, width: int, dropout: Callable[[float], nn.Module] = lambda share: nn.Identity()
) -> nn.Sequential:
    """Build one network of a hypernetwork; the places of its layers are the numbers in A1111's names.

    Args:
        layout: the layers.
        width: the width of the input.
        dropout: makes a dropout layer for a probability; by default such a layer has no effect.
    """
    made: list[nn.Module] = []
    last = len(layout.structure) - 2
    for number, (before, after) in enumerate(pairwise(layout.structure)):
        made.append(nn.Linear(int(width * before), int(width * after)))
        if layout.activation in ACTIVATIONS and (layout.activates_output or number < last):
            made.append(ACTIVATIONS[layout.activation]())
        if layout.norm:
            made.append(nn.LayerNorm(int(width * after)))
        if number + 1 < len(layout.dropout) and layout.dropout[number + 1] > 0:
            made.append(dropout(layout.dropout[number + 1]))
    return nn.Sequential(*made)


def loaded(place: str, layout: Layout, width: int, state: Mapping[str, Tensor]) -> nn.Sequential:
    """Build a network with given tensors, frozen, in eval mode.

    Args:
        place: the origin of the tensors, for messages.
        layout: the layers of the network.
        width: the width of the input.
        state: the tensors by A1111's names, such as `linear.0.weight`.

    Raises:
        ModelError: the tensors do not fit the layers.
    """
    with torch.device("meta"):
        network = layers(layout, width)
    wanted = {f"linear.{name}": tuple(tensor.shape) for name, tensor in network.state_dict().items()}
    if wanted != {name: tuple(tensor.shape) for name, tensor in state.items()}:
        raise ModelError(f"{place}: its tensors do not fit the layers that it describes.")
    network.load_state_dict(
        {name.removeprefix("linear."): tensor for name, tensor in state.items()}, assign=True
    )
    return network.eval().requires_grad_(False)
