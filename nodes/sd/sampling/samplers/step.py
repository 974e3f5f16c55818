"""The interface of samplers: the denoise model, the settings, and the state after each step."""

from __future__ import annotations

import math
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource

Denoise = Callable[[Tensor, Tensor], Tensor]
"""D(x, sigma): the clean latent in x [batch, channels, height, width]; sigma is a scalar on the CPU.

For the CFG++ samplers it also has a method `both(x, sigma)`: the clean latent with guidance, and the one with
the negative prompt alone.
"""


class Step(NamedTuple):
    """The state of a picture after a step."""

    number: int
    """The number of the step, from 0."""
    x: Tensor
    """The latent at the noise level that the step reached; after the last step, the result."""
    x0: Tensor
    """The clean latent that the model predicted in the step, for previews."""


@dataclass(frozen=True)
class Churn:
    """Noise that is added before each step, at unchanged final noise (arXiv:2206.00364, algorithm 2)."""

    amount: float = 0.0
    """S_churn, spread over all steps; 0 adds none."""
    low: float = 0.0
    high: float = math.inf
    """Only steps from a level within these are churned: S_tmin and S_tmax."""
    noise_scale: float = 1.0
    """S_noise, the standard deviation of the noise."""

    def raised(
        self, x: Tensor, sigma: Tensor, steps: int, noise: NoiseSource | None
    ) -> tuple[Tensor, Tensor]:
        """x with noise added, and the level that it reaches; both unchanged if this step is not churned."""
        if self.amount <= 0 or noise is None or not self.low <= float(sigma) <= self.high:
            return x, sigma
        raised = sigma * (1 + min(self.amount / steps, math.sqrt(2) - 1))
        added = (raised**2 - sigma**2) ** 0.5
        return x + noise.like(x) * self.noise_scale * added, raised


NO_CHURN = Churn()


class Levels(NamedTuple):
    """A range of noise levels, both ends included."""

    low: float = 0.0
    high: float = math.inf


ANY_LEVEL = Levels()


def ancestral_levels(sigma: Tensor, target: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """The level that a step goes down to, and the noise that it adds to reach the target.

    down^2 + up^2 = target^2. With eta 1 this is the posterior of the diffusion (arXiv:2006.11239); with 0
    nothing is added.
    """
    up = torch.minimum(target, eta * (target**2 * (sigma**2 - target**2) / sigma**2) ** 0.5)
    return (target**2 - up**2) ** 0.5, up


class Ancestry(NamedTuple):
    """One step of an ancestral sampler: down to a level, then x * `keep` + noise * `up`."""

    down: Tensor
    up: Tensor
    keep: Tensor | float


def ancestry(sigma: Tensor, target: Tensor, eta: float, *, flow: bool) -> Ancestry:
    """A step of an ancestral sampler to a target.

    For a flow, eta shortens the level to go down to, and the signal is scaled so that the variance of the
    target's noise results, as in the samplers of ComfyUI whose names end in `_RF`.
    """
    if not flow:
        return Ancestry(*ancestral_levels(sigma, target, eta), keep=1.0)
    down = target * torch.clamp(1 + (target / sigma - 1) * eta, min=0)
    keep = (1 - target) / (1 - down)
    return Ancestry(down, torch.clamp(target**2 - (down * keep) ** 2, min=0) ** 0.5, keep)


def toward(x: Tensor, clean: Tensor, sigma: Tensor, target: Tensor) -> Tensor:
    """x taken from one level to a lower one, straight toward a clean latent.

    An Euler step of the probability flow, and the exact flow if the model always answered `clean`
    (DPM-Solver++ of first order, arXiv:2211.01095).
    """
    return clean + (target / sigma) * (x - clean)


def both(denoise: Denoise, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
    """The clean latents with guidance and with the negative prompt alone (for CFG++).

    Raises:
        ValueError: the model does not provide both.
    """
    method = getattr(denoise, "both", None)
    if method is None:
        raise ValueError("CFG++ samplers need a model with a negative prompt.")
    guided, unguided = method(x, sigma)
    return guided, unguided


Run = Callable[..., Iterator[Step]]
"""Takes a model, x at `sigmas[0]`, the falling sigmas [steps + 1], the noise source or None, and settings by
name (`eta`, `noise_scale`, `churn`); yields the steps."""
