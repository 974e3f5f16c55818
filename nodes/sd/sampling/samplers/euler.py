"""Samplers of first order: straight steps toward the clean latent, with or without fresh noise."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import NO_CHURN, Churn, Denoise, Step, ancestral_levels, ancestry, both


def euler(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None, *, churn: Churn = NO_CHURN
) -> Iterator[Step]:
    """Straight steps along the probability flow (arXiv:2206.00364, algorithm 2 without its second half).

    The order of operations is that of diffusers' EulerDiscreteScheduler, bit for bit.
    """
    for i, (level, target) in enumerate(pairwise(sigmas)):
        x, sigma = churn.raised(x, level, len(sigmas) - 1, noise)
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        x = x + slope * (target - sigma)
        yield Step(i, x, x0)


def euler_ancestral(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
    flow: bool = False,
) -> Iterator[Step]:
    """Euler steps down, then noise up to the next level (k-diffusion, A1111's "Euler a").

    The order of operations is that of diffusers' EulerAncestralDiscreteScheduler, bit for bit.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        down, up, keep = ancestry(sigma, target, eta, flow=flow)
        slope = (x - x0) / sigma
        x = x + slope * (down - sigma)
        if noise is not None and up > 0:
            x = keep * x + noise.like(x) * (up * noise_scale)
        yield Step(i, x, x0)


def ddim(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None = None,
    *,
    eta: float = 0.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """DDIM: mix the predicted clean latent and noise for the next level (arXiv:2010.02502, eq. 12).

    Divided by the square root of alpha, the paper's step is this one, and its eta is the ancestral eta. All
    steps run, and the last ends at no noise (ComfyUI; diffusers' `set_alpha_to_one=True`). A1111 ends at
    training step 1: its schedule is `ddim_a1111`.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        down, up = ancestral_levels(sigma, target, eta)
        x = x0 + (x - x0) / sigma * down
        if noise is not None and up > 0:
            x = x + noise.like(x) * (up * noise_scale)
        yield Step(i, x, x0)


def ddpm(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, *, noise_scale: float = 1.0
) -> Iterator[Step]:
    """Steps of the reverse diffusion itself (arXiv:2006.11239, algorithm 2), on any subset of its levels.

    With the variance of the posterior this is `ddim` with eta 1 (arXiv:2010.02502).
    """
    return ddim(denoise, x, sigmas, noise, eta=1.0, noise_scale=noise_scale)


def lcm(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, *, noise_scale: float = 1.0
) -> Iterator[Step]:
    """LCM: each step predicts the clean latent, and adds noise for the next level (arXiv:2310.04378).

    For latent consistency models, in 2 to 8 steps.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x = x0 = denoise(x, sigma)
        if noise is not None and target > 0:
            x = x0 + noise.like(x0) * (target * noise_scale)
        yield Step(i, x, x0)


def euler_ancestral_cfg_pp(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """CFG++ (arXiv:2406.08070, algorithm 2): the guided clean latent, and the noise of the unguided one.

    The guidance is from 0 to 1 here, not above 1.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0, unguided = both(denoise, x, sigma)
        down, up = ancestral_levels(sigma, target, eta)
        x = x0 + (x - unguided) / sigma * down
        if noise is not None and up > 0:
            x = x + noise.like(x) * (up * noise_scale)
        yield Step(i, x, x0)


def euler_cfg_pp(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """`euler_ancestral_cfg_pp` without fresh noise."""
    return euler_ancestral_cfg_pp(denoise, x, sigmas, None, eta=0.0)


def gradient_estimation(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """Euler steps along twice the new direction less the one before (arXiv:2306.04848, with gamma 2)."""
    before: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        if target == 0:
            x = x0
        else:
            ahead = slope if before is None else 2 * slope - before
            x = x + ahead * (target - sigma)
        before = slope
        yield Step(i, x, x0)


def gradient_estimation_cfg_pp(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """`gradient_estimation` with CFG++ (arXiv:2406.08070), as in ComfyUI."""
    before: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0, unguided = both(denoise, x, sigma)
        slope = (x - unguided) / sigma
        x = x0 + slope * target
        if before is not None and target > 0:
            x = x + (slope - before) * (target - sigma)
        before = slope
        yield Step(i, x, x0)
