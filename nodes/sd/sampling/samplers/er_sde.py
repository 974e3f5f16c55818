"""ER-SDE-Solver (arXiv:2309.06169): multistep steps along an extended reverse diffusion."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import Denoise, Step

POINTS = 200
"""Points at which the integrals of a step are summed, as in the paper's code."""


def er_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, *, noise_scale: float = 1.0
) -> Iterator[Step]:
    """ER-SDE-Solver-3 with one model call a step (ComfyUI's "er_sde").

    How much noise is added between two levels follows from the paper's function phi(x) = x (e^(x^0.3) + 10).
    """
    levels = sigmas.double()
    before: Tensor | None = None
    slope: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(levels)):
        x0 = denoise(x, sigmas[i])
        if target == 0:
            x = x0
            yield Step(i, x, x0)
            continue
        kept = _phi(target) / _phi(sigma)
        x = kept * x + (1 - kept) * x0
        if before is not None:
            change = target - sigma
            width = -change / POINTS
            places = target + torch.arange(POINTS, dtype=levels.dtype) * width
            first = (1 / _phi(places)).sum() * width
            new_slope = (x0 - before) / (sigma - levels[i - 1])
            x = x + (change + first * _phi(target)) * new_slope
            if slope is not None:
                second = ((places - sigma) / _phi(places)).sum() * width
                bend = (new_slope - slope) / ((sigma - levels[i - 2]) / 2)
                x = x + (change**2 / 2 + second * _phi(target)) * bend
            slope = new_slope
        if noise is not None:
            added = torch.clamp(target**2 - sigma**2 * kept**2, min=0) ** 0.5
            x = x + noise.like(x) * (added * noise_scale)
        before = x0
        yield Step(i, x, x0)


def _phi(level: Tensor) -> Tensor:
    return level * (torch.exp(level**0.3) + 10)
