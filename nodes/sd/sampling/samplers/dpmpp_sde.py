"""SDE-DPM-Solver++ (arXiv:2211.01095, appendix): DPM-Solver++ along the reverse diffusion, with fresh noise.

With eta 0 each follows the probability flow and adds no noise. The noise is that of a Brownian path
(`NoiseSource.between`), as in k-diffusion, A1111 and ComfyUI.
"""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import Denoise, Step, ancestral_levels, toward


def dpmpp_2m_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """Second order with one model call a step, in the midpoint form."""
    return _multistep(denoise, x, sigmas, noise, eta, noise_scale, order=2, midpoint=True)


def dpmpp_2m_sde_heun(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """Second order with one model call a step, in the form after Heun."""
    return _multistep(denoise, x, sigmas, noise, eta, noise_scale, order=2)


def dpmpp_3m_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """Third order with one model call a step (k-diffusion's "DPM++ 3M SDE").

    The first step is of first order and the second of second order. diffusers' solver of third order uses
    other differences: 5 to 16 % away.
    """
    return _multistep(denoise, x, sigmas, noise, eta, noise_scale, order=3)


def _multistep(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    eta: float,
    noise_scale: float,
    *,
    order: int,
    midpoint: bool = False,
) -> Iterator[Step]:
    logs = -sigmas.double().log()
    path = noise.between(x, sigmas) if noise is not None and eta > 0 else None
    seen: list[Tensor] = []
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        seen = [x0, *seen][:order]
        if target == 0:
            x = x0
            yield Step(i, x, x0)
            continue
        h = logs[i + 1] - logs[i]
        reach = h * (1 + eta)
        kept = torch.exp(-eta * h)
        x = (target / sigma) * kept * x - torch.expm1(-reach) * x0
        if len(seen) > 1:
            bend = torch.expm1(-reach) / reach + 1
            newest = (seen[0] - seen[1]) / ((logs[i] - logs[i - 1]) / h)
            if len(seen) > 2:
                r0, r1 = (logs[i] - logs[i - 1]) / h, (logs[i - 1] - logs[i - 2]) / h
                change = (newest - (seen[1] - seen[2]) / r1) / (r0 + r1)
                x = x + bend * (newest + change * r0) - (bend / reach - 0.5) * change
            elif midpoint:
                x = x - 0.5 * torch.expm1(-reach) * newest
            else:
                x = x + bend * newest
        if path is not None:
            x = x + path(sigma, target) * (target * torch.sqrt(1 - kept**2) * noise_scale)
        yield Step(i, x, x0)


def dpmpp_sde(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """Two model calls a step along the reverse diffusion (k-diffusion's "DPM++ SDE", r = 1/2).

    The step to the middle and the whole step see one Brownian path.
    """
    path = noise.between(x, sigmas) if noise is not None and eta > 0 else None
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        if target == 0:
            yield Step(i, x0, x0)
            continue
        # Levels pass through their logarithms, as in k-diffusion: the path differs from one to the next.
        place, aim = sigma.log(), target.log()
        begin, middle, end = place.exp(), (place + (aim - place) * 0.5).exp(), aim.exp()
        down, up = ancestral_levels(sigma, middle, eta)
        halfway = toward(x, x0, sigma, down)
        if path is not None:
            halfway = halfway + path(begin, middle) * (up * noise_scale)
        clean = denoise(halfway, middle)
        down, up = ancestral_levels(sigma, target, eta)
        x = toward(x, clean, sigma, down)
        if path is not None:
            x = x + path(begin, end) * (up * noise_scale)
        yield Step(i, x, x0)
