"""RES (arXiv:2308.02157): an exponential integrator of second order that reuses the previous prediction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import Denoise, Step, ancestral_levels, both


def res_multistep(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """Second order with one model call a step (ComfyUI's "res_multistep")."""
    return _res(denoise, x, sigmas, None, 0.0, 1.0, cfg_pp=False)


def res_multistep_ancestral(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """`res_multistep` down below the next level, then noise up to it."""
    return _res(denoise, x, sigmas, noise, eta, noise_scale, cfg_pp=False)


def res_multistep_cfg_pp(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """`res_multistep` with CFG++ (arXiv:2406.08070), as in ComfyUI."""
    return _res(denoise, x, sigmas, None, 0.0, 1.0, cfg_pp=True)


def res_multistep_ancestral_cfg_pp(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """`res_multistep_ancestral` with CFG++ (arXiv:2406.08070), as in ComfyUI."""
    return _res(denoise, x, sigmas, noise, eta, noise_scale, cfg_pp=True)


def _res(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    eta: float,
    noise_scale: float,
    *,
    cfg_pp: bool,
) -> Iterator[Step]:
    before: Tensor | None = None
    reached = sigmas[0]
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0, unguided = both(denoise, x, sigma) if cfg_pp else (denoise(x, sigma),) * 2
        down, up = ancestral_levels(sigma, target, eta)
        if down == 0 or before is None:
            x = x0 + (x - unguided) / sigma * down
        else:
            place, aim = -sigma.double().log(), -down.double().log()
            h = aim - place
            c2 = (-sigmas[i - 1].double().log() + reached.double().log()) / h
            phi_1 = torch.expm1(-h) / -h
            phi_2 = (phi_1 - 1) / -h
            newer, older = phi_1 - phi_2 / c2, phi_2 / c2
            x = torch.exp(-h) * (x + (x0 - unguided)) + h * (newer * unguided + older * before)
        if noise is not None and up > 0:
            x = x + noise.like(x) * (up * noise_scale)
        before, reached = unguided, down
        yield Step(i, x, x0)
