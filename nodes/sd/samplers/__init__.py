"""Samplers: ways down from noise to a picture, each one step at a time.

All work on x in the sigma form of arXiv:2206.00364, x = clean latent + sigma * noise, and ask a denoise model
D(x, sigma) for the clean latent it sees in x.
"""

from __future__ import annotations

from collections.abc import Iterator

import torch
from torch import Tensor

from nodes.sd.noise import NoiseSource
from nodes.sd.samplers.ancestral import ddim, dpmpp_2s_ancestral, euler_ancestral
from nodes.sd.samplers.dpmpp import dpmpp_2m, dpmpp_2m_sde, dpmpp_sde
from nodes.sd.samplers.flow import dpm2, euler, heun, lms
from nodes.sd.samplers.step import Denoise, Sampler, Step

__all__ = ["SAMPLERS", "STOCHASTIC", "Denoise", "Sampler", "Step", "sample", "start"]

SAMPLERS: dict[str, Sampler] = {
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "heun": heun,
    "dpm2": dpm2,
    "lms": lms,
    "ddim": ddim,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "dpmpp_sde": dpmpp_sde,
    "dpmpp_2s_ancestral": dpmpp_2s_ancestral,
}

STOCHASTIC = frozenset({"euler_ancestral", "dpmpp_2m_sde", "dpmpp_sde", "dpmpp_2s_ancestral"})
"""Those that need a noise source."""


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
