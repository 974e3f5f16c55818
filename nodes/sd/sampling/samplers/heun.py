"""Samplers after Heun: the slope at the start of a step averaged with slopes further down."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import NO_CHURN, Churn, Denoise, Step


def heun(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None, *, churn: Churn = NO_CHURN
) -> Iterator[Step]:
    """Euler steps with the slope averaged over both ends (arXiv:2206.00364, algorithm 2).

    Two model calls a step; a last step down to 0 takes one.
    """
    for i, (level, target) in enumerate(pairwise(sigmas)):
        x, sigma = churn.raised(x, level, len(sigmas) - 1, noise)
        x, x0 = _heun_step(denoise, x, sigma, target)
        yield Step(i, x, x0)


def heunpp2(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None, *, churn: Churn = NO_CHURN
) -> Iterator[Step]:
    """Heun++ of second order: slopes at up to three levels, weighted by the levels (ComfyUI's "heunpp2").

    Three model calls a step, two in the last but one, one in the last.
    """
    last = len(sigmas) - 2
    for i, (level, target) in enumerate(pairwise(sigmas)):
        x, sigma = churn.raised(x, level, len(sigmas) - 1, noise)
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        if i < last:
            ahead = x + slope * (target - sigma)
            second = (ahead - denoise(ahead, target)) / target
            if i == last - 1:
                share = target / (2 * sigmas[0])
                slope = (1 - share) * slope + share * second
            else:
                beyond = sigmas[i + 2]
                further = ahead + second * (beyond - target)
                third = (further - denoise(further, beyond)) / beyond
                shares = target / (3 * sigmas[0]), beyond / (3 * sigmas[0])
                slope = (1 - sum(shares)) * slope + shares[0] * second + shares[1] * third
        x = x + slope * (target - sigma)
        yield Step(i, x, x0)


RESTART_LOW, RESTART_HIGH = 0.1, 2.0
"""Between these levels the picture goes up and down again."""


def restart(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, *, noise_scale: float = 1.0
) -> Iterator[Step]:
    """Heun steps that go back up with fresh noise and down again (arXiv:2306.14878), as in A1111.

    From 20 steps on, some of the steps are spent between the levels 0.1 and 2, once or, from 36 steps on,
    twice; the levels are then spaced as in the Karras schedule, whatever schedule is chosen. With fewer steps
    this is `heun`. Two model calls a step.
    """
    reached: Tensor | None = None
    for i, (sigma, target) in enumerate(restart_steps(sigmas)):
        if noise is not None and reached is not None and sigma > reached:
            x = x + noise.like(x) * ((sigma**2 - reached**2) ** 0.5 * noise_scale)
        x, x0 = _heun_step(denoise, x, sigma, target)
        reached = target
        yield Step(i, x, x0)


def restart_steps(sigmas: Tensor) -> list[tuple[Tensor, Tensor]]:
    """The steps of `restart`, each from a level to a level. Noise is added before one that begins higher."""
    steps = len(sigmas) - 1
    if steps < 20:
        return list(pairwise(sigmas))
    spent, times = (steps // 4, 2) if steps >= 36 else (9, 1)
    levels = torch.cat([_karras(steps - spent * times, sigmas[-2], sigmas[0]), sigmas.new_zeros(1)])
    low = int((levels - RESTART_LOW).abs().argmin())
    high = int((levels - RESTART_HIGH).abs().argmin())
    once_more = list(pairwise(_karras(spent + 1, levels[low], levels[high]))) if high < low else []
    whole = list(pairwise(levels))
    return [*whole[:low], *(once_more * times), *whole[low:]]


def _heun_step(denoise: Denoise, x: Tensor, sigma: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    """x at the target, and the clean latent that the model saw first."""
    x0 = denoise(x, sigma)
    slope = (x - x0) / sigma
    ahead = x + slope * (target - sigma)
    if target > 0:
        slope = (slope + (ahead - denoise(ahead, target)) / target) / 2
        ahead = x + slope * (target - sigma)
    return ahead, x0


def _karras(count: int, low: Tensor, high: Tensor, rho: float = 7.0) -> Tensor:
    """Falling levels, even in sigma^(1/7) (arXiv:2206.00364, equation 5)."""
    ramp = torch.linspace(0, 1, count, dtype=low.dtype)
    return (high ** (1 / rho) + ramp * (low ** (1 / rho) - high ** (1 / rho))) ** rho
