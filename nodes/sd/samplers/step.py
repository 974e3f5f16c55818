"""The seams of a sampler: what it asks, what it gives after each step, and its shape."""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import NamedTuple

from torch import Tensor

from nodes.sd.noise import NoiseSource

Denoise = Callable[[Tensor, Tensor], Tensor]
"""D(x, sigma): the clean latent seen in x [batch, channels, height, width]; sigma is a scalar on the CPU."""


class Step(NamedTuple):
    """Where a picture stands after a step."""

    number: int
    """The step just done, from 0."""
    x: Tensor
    """The latent at the noise level reached; after the last step, the result."""
    x0: Tensor
    """The clean latent the model last saw in it: what a preview shows."""


Sampler = Callable[[Denoise, Tensor, Tensor, NoiseSource | None], Iterator[Step]]
"""From a model, x at `sigmas[0]`, the falling sigmas [steps + 1], and what noise to add on the way."""
