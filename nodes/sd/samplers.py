"""Samplers: ways down from noise to a picture, each one step at a time.

All work on x in the sigma form of arXiv:2206.00364, x = clean latent + sigma * noise, and ask a denoise model
D(x, sigma) for the clean latent it sees in x.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from itertools import pairwise
from typing import NamedTuple

import torch
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


def start(noise: Tensor, sigmas: Tensor, latent: Tensor | None = None) -> Tensor:
    """Where sampling begins: noise at the schedule's first level, over a given latent for img2img."""
    scaled = noise * sigmas[0]
    return scaled if latent is None else latent + scaled


def sample(
    name: str, denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """Take a latent down a schedule, giving each step as it is done; stop iterating to cancel.

    Args:
        name: one of `SAMPLERS`.
        denoise: the model.
        x: [batch, channels, height, width] at noise level `sigmas[0]`; see `start`.
        sigmas: [steps + 1] on the CPU, falling, the last one mostly 0.
        noise: what stochastic samplers add between steps; deterministic ones draw none.

    Raises:
        ValueError: at once, if the name is unknown, the sigmas do not fall, or noise is missing; at the last
            step, if the result holds NaN or infinity.
    """
    if name not in SAMPLERS:
        raise ValueError(f"There is no sampler {name!r}. Choose one of {', '.join(SAMPLERS)}.")
    if sigmas.ndim != 1 or len(sigmas) < 2 or not bool((sigmas[1:] < sigmas[:-1]).all()):
        raise ValueError("A sampler needs at least two sigmas, each below the one before it.")
    if name in STOCHASTIC and noise is None:
        raise ValueError(f"The sampler {name!r} adds noise between its steps. Give it a noise source.")
    return _finite(SAMPLERS[name](denoise, x, sigmas, noise), len(sigmas) - 2)


def _finite(steps: Iterator[Step], last: int) -> Iterator[Step]:
    for step in steps:
        # Only the last step is looked at: reading a value back would make a GPU wait at every step.
        if step.number == last and not torch.isfinite(step.x).all():
            raise ValueError(
                "Sampling ended in NaN or infinity. Run the model in float32, or lower the guidance or the"
                " weights of what is applied to it."
            )
        yield step


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Straight steps along the probability flow (arXiv:2206.00364, algorithm 2 without churn).

    The order of operations is that of diffusers' EulerDiscreteScheduler, bit for bit.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        x = x + slope * (target - sigma)
        yield Step(i, x, x0)


def euler_ancestral(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None, eta: float = 1.0
) -> Iterator[Step]:
    """Euler steps that fall below the target and come back up with fresh noise (k-diffusion, "Euler a").

    With eta 1 a step draws from the exact posterior of the diffusion (arXiv:2006.11239). The order of
    operations is that of diffusers' EulerAncestralDiscreteScheduler.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        up, down = ancestral(sigma, target, eta)
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
        up, down = ancestral(sigma, target, eta)
        x = x0 + (x - x0) / sigma * down
        if noise is not None and eta > 0 and target > 0:
            x = x + noise.like(x) * up
        yield Step(i, x, x0)


def dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Second order from one model call a step, by remembering the last (arXiv:2211.01095, algorithm 2).

    In lambda = -log sigma. The first step, and a last one down to 0, are of first order.
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


def ancestral(sigma: Tensor, target: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """How much noise a stochastic step adds, and the level it first falls to: up^2 + down^2 = target^2."""
    up = eta * (target**2 * (sigma**2 - target**2) / sigma**2) ** 0.5
    return up, (target**2 - up**2) ** 0.5


SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "dpmpp_2m": dpmpp_2m,
    "ddim": ddim,
}

STOCHASTIC = frozenset({"euler_ancestral"})
"""Those that need a noise source."""
