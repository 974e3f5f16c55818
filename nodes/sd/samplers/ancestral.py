"""Samplers that fall below the level aimed at and come back up with fresh noise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from nodes.sd.noise import NoiseSource
from nodes.sd.samplers.step import Denoise, Step


def split(sigma: Tensor, target: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """How much noise a step adds and the level it falls to before: up^2 + down^2 = target^2.

    With eta 1 this is the posterior of the diffusion (arXiv:2006.11239); with 0 nothing is added.
    """
    up = eta * (target**2 * (sigma**2 - target**2) / sigma**2) ** 0.5
    return up, (target**2 - up**2) ** 0.5


def euler_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, eta: float = 1.0
) -> Iterator[Step]:
    """Euler steps down, noise up (k-diffusion, "Euler a").

    The order of operations is that of diffusers' EulerAncestralDiscreteScheduler, bit for bit.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        up, down = split(sigma, target, eta)
        slope = (x - x0) / sigma
        x = x + slope * (down - sigma)
        if noise is not None and target > 0:
            x = x + noise.like(x) * up
        yield Step(i, x, x0)


def ddim(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None, eta: float = 0.0
) -> Iterator[Step]:
    """The clean latent and the noise seen in x, mixed anew for the next level (arXiv:2010.02502, eq. 12).

    Divided by the square root of alpha, the paper's step is this one, and its eta is the ancestral eta. All
    steps run and the last ends at no noise (ComfyUI; diffusers' `set_alpha_to_one=True`).
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        up, down = split(sigma, target, eta)
        x = x0 + (x - x0) / sigma * down
        if noise is not None and eta > 0 and target > 0:
            x = x + noise.like(x) * up
        yield Step(i, x, x0)


def dpmpp_2s_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, eta: float = 1.0
) -> Iterator[Step]:
    """DPM-Solver++(2S) steps down (arXiv:2211.01095, algorithm 1 with r = 1/2), noise up (k-diffusion).

    Two model calls a step; a last step down to 0 takes one.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        up, down = split(sigma, target, eta)
        aim = x0
        if target > 0:
            middle = (sigma * down) ** 0.5
            halfway = x0 + (middle / sigma) * (x - x0)
            aim = denoise(halfway, middle)
        x = aim + (down / sigma) * (x - aim)
        if noise is not None and target > 0:
            x = x + noise.like(x) * up
        yield Step(i, x, x0)
