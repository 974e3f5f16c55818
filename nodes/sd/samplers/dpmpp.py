"""The DPM-Solver++ family (arXiv:2211.01095), in lambda = -log sigma and in terms of the clean latent.

Between lambda and lambda + h the flow takes x to e^-h x - (e^-h - 1) D, were D to stay the same; each solver
is a better guess of D on the way.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nodes.sd.noise import NoiseSource
from nodes.sd.samplers.ancestral import split
from nodes.sd.samplers.step import Denoise, Step


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Second order from one model call a step, by remembering the last (algorithm 2).

    The first step, and a last one down to 0, are of first order.
    """
    logs = -sigmas.double().log()
    before: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        h = logs[i + 1] - logs[i]
        aim = x0
        if before is not None and target > 0:
            r = (logs[i] - logs[i - 1]) / h
            aim = (1 + 1 / (2 * r)) * x0 - 1 / (2 * r) * before
        x = (target / sigma) * x - torch.expm1(-h) * aim
        before = x0
        yield Step(i, x, x0)


def dpmpp_2m_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, eta: float = 1.0
) -> Iterator[Step]:
    """`dpmpp_2m` along the reverse diffusion instead of the flow (SDE-DPM-Solver++(2M), midpoint form)."""
    logs = -sigmas.double().log()
    before: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        h = logs[i + 1] - logs[i]
        aim = x0
        if before is not None and target > 0:
            aim = x0 + (x0 - before) * h / (2 * (logs[i] - logs[i - 1]))
        kept = torch.exp(-eta * h) if target > 0 else torch.zeros(())
        x = (target / sigma) * kept * x + (1 - (target / sigma) * kept) * aim
        if noise is not None and target > 0:
            x = x + noise.like(x) * target * torch.sqrt(1 - kept**2)
        before = x0
        yield Step(i, x, x0)


def dpmpp_sde(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, eta: float = 1.0
) -> Iterator[Step]:
    """Two model calls a step along the reverse diffusion (k-diffusion's "DPM++ SDE", r = 1/2).

    The step to the middle and the whole step see one Brownian path. k-diffusion draws it from a tree over all
    sigmas, this from one draw for each half of a step: equal in distribution, other pictures for a seed.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        if target == 0:
            yield Step(i, x0, x0)
            continue
        middle = (sigma * target) ** 0.5
        first, second = (noise.like(x), noise.like(x)) if noise is not None else (0.0, 0.0)
        up, down = split(sigma, middle, eta)
        halfway = x0 + (down / sigma) * (x - x0) + up * first
        aim = denoise(halfway, middle)
        up, down = split(sigma, target, eta)
        path = ((sigma - middle) ** 0.5 * first + (middle - target) ** 0.5 * second) / (sigma - target) ** 0.5
        x = aim + (down / sigma) * (x - aim) + up * path
        yield Step(i, x, x0)
