"""DPM-Solver++ (arXiv:2211.01095): steps toward the clean latent, in lambda = -log sigma.

Between lambda and lambda + h the flow takes x to e^-h x + (1 - e^-h) D if the clean latent D stays the same;
the solvers differ in how they estimate D during the step.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import Denoise, Step, ancestral_levels, ancestry, both, toward


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Second order with one model call a step, because it reuses the previous prediction (algorithm 2).

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


def dpmpp_2m_cfg_pp(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """`dpmpp_2m` with CFG++ (arXiv:2406.08070), as in ComfyUI."""
    logs = -sigmas.double().log()
    before: Tensor | None = None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0, unguided = both(denoise, x, sigma)
        h = logs[i + 1] - logs[i]
        x = x0 + (target / sigma) * (x - unguided)
        if before is not None and target > 0:
            r = (logs[i] - logs[i - 1]) / h
            x = x - torch.expm1(-h) / (2 * r) * (x0 - before)
        before = unguided
        yield Step(i, x, x0)


def dpmpp_2s_ancestral(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
    flow: bool = False,
) -> Iterator[Step]:
    """Steps by way of their middle (algorithm 1 with r = 1/2) down, then noise up (k-diffusion).

    Two model calls a step; a last step down to 0 takes one. The middle is that of the log of the ratio of
    noise to signal.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        down, up, keep = ancestry(sigma, target, eta, flow=flow)
        aim = x0
        if down > 0:
            middle = _middle_of_flow(sigma, down) if flow else (sigma * down) ** 0.5
            aim = denoise(toward(x, x0, sigma, middle), middle)
        x = toward(x, aim, sigma, down)
        if noise is not None and up > 0:
            x = keep * x + noise.like(x) * (up * noise_scale)
        yield Step(i, x, x0)


def _middle_of_flow(sigma: Tensor, down: Tensor) -> Tensor:
    """The level in the middle; 0.9999 in a step from noise alone, as in ComfyUI."""
    return torch.sigmoid((sigma.logit() + down.logit()) / 2) if sigma < 1 else torch.full_like(sigma, 0.9999)


def dpmpp_2s_ancestral_cfg_pp(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """`dpmpp_2s_ancestral` with CFG++ (arXiv:2406.08070), as in ComfyUI.

    The slope uses the unguided prediction; the guidance offset is added after the step.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0, unguided = both(denoise, x, sigma)
        added = x0 - unguided
        down, up = ancestral_levels(sigma, target, eta)
        if down > 0:
            middle = (sigma * down) ** 0.5
            _, unguided = both(denoise, toward(x, unguided, sigma, middle), middle)
        x = toward(x, unguided, sigma, down)
        if noise is not None and up > 0:
            x = x + noise.like(x) * (up * noise_scale)
        x = x + added
        yield Step(i, x, x0)
