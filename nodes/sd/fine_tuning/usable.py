"""Checks whether weights in training are still usable."""

from __future__ import annotations

from collections.abc import Iterable

import torch
from torch import Tensor


def usable(weights: Iterable[Tensor], largest: float) -> bool:
    """Return whether all numbers of the weights are finite and at most `largest` in absolute value."""
    norms = torch._foreach_norm([weight.detach() for weight in weights], float("inf"))
    return bool(torch.stack(norms).max() <= largest)  # also false for NaN
