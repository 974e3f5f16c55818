"""Noise levels: the table a model was trained with, and the steps a sampler takes down through it."""

from __future__ import annotations

import math
from collections.abc import Callable
from dataclasses import dataclass

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodes.sd.folder import Betas

Floats = NDArray[np.float64]


class NoiseTable:
    """The noise of each training step, as sigma: its standard deviation beside a latent of scale 1.

    Computed in float32 in the order diffusers computes it, so that equal settings give equal bits.
    """

    def __init__(self, betas: Betas | None = None) -> None:
        given = betas or Betas()
        if given.schedule == "scaled_linear":
            rising = torch.linspace(given.start**0.5, given.end**0.5, given.steps, dtype=torch.float32) ** 2
        else:
            rising = torch.linspace(given.start, given.end, given.steps, dtype=torch.float32)
        if given.zero_snr:
            rising = _zero_snr(rising)
        kept = torch.cumprod(1.0 - rising, dim=0)
        if given.zero_snr:
            kept[-1] = 2**-24  # in place of 0, to keep the last sigma finite: 4096
        self.sigmas: NDArray[np.float32] = (((1 - kept) / kept) ** 0.5).numpy()
        self.log_sigmas: NDArray[np.float32] = np.log(self.sigmas)

    def __len__(self) -> int:
        return len(self.sigmas)

    @property
    def sigma_min(self) -> float:
        """The least noise the model knows, 0.0292 for SD 1."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """The most noise the model knows, 14.6146 for SD 1."""
        return float(self.sigmas[-1])

    def timesteps(self, sigmas: Floats) -> Floats:
        """The training steps that belong to some sigmas: fractions, straight between entries in log sigma.

        Sigmas beyond the table get its first or last step. As in k-diffusion and in A1111; ComfyUI rounds.
        """
        logs = np.log(np.maximum(sigmas, 1e-10))
        low = np.searchsorted(self.log_sigmas, logs, side="right").astype(np.int64) - 1
        low = np.clip(low, 0, len(self) - 2)
        below, above = self.log_sigmas[low], self.log_sigmas[low + 1]
        share = np.clip((below - logs) / (below - above), 0, 1)
        return np.asarray((1 - share) * low + share * (low + 1))

    def at(self, timesteps: Floats) -> Floats:
        """The sigmas of some training steps, the inverse of `timesteps`: straight in log sigma."""
        return np.exp(np.interp(timesteps, np.arange(len(self)), self.log_sigmas.astype(np.float64)))


@dataclass(frozen=True, eq=False)
class Schedule:
    """The noise levels a picture passes through, from the first step to none."""

    table: NoiseTable
    sigmas: Tensor
    """float32 [steps + 1] on the CPU, falling."""
    exact: Tensor
    """float32 [steps] on the CPU: the training step of every sigma but the last."""

    @property
    def steps(self) -> int:
        """How many steps a sampler takes."""
        return len(self.exact)

    def timestep(self, sigma: Tensor) -> Tensor:
        """The training step, a float32 scalar, to ask the model at: the schedule's own, or interpolated."""
        own = (self.sigmas[:-1] == sigma).nonzero()
        if len(own):
            return self.exact[own[0, 0]]
        return torch.tensor(self.table.timesteps(np.array(float(sigma))), dtype=torch.float32)

    def for_strength(self, strength: float) -> Schedule:
        """The end of the schedule that changes a given picture only so much (img2img).

        The rule is A1111's: `int(min(strength, 0.999) * steps) + 1` steps of the full schedule, so 20 steps
        at 0.5 run 11, and 0 still runs one. diffusers runs `int(steps * strength)`; ComfyUI plans
        `int(steps / strength)` steps and runs the last `steps` of them.

        Raises:
            ValueError: the strength is not within 0 and 1.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"The denoising strength is {strength}; it must be within 0 and 1.")
        kept = int(min(strength, 0.999) * self.steps) + 1
        return Schedule(self.table, self.sigmas[-kept - 1 :], self.exact[-kept:])


Steps = tuple[Floats, Floats]
"""The sigmas of the steps, without the final 0, and their training steps."""


def normal(steps: int, table: NoiseTable) -> Steps:
    """Even in training steps, both ends included; sigmas straight between table entries.

    diffusers' `timestep_spacing="linspace"`, bit for bit, but for a single step, which diffusers takes from
    the least noise. A1111 ("Uniform") and ComfyUI ("normal") go straight in log sigma, which moves a sigma
    by 3e-5 of itself at 20 steps, 5e-4 at 150.
    """
    if steps == 1:
        return _entries(np.array([len(table) - 1.0]), table)
    timesteps = np.linspace(0, len(table) - 1, steps, dtype=np.float32)[::-1].astype(np.float64)
    return np.interp(timesteps, np.arange(len(table)), table.sigmas), timesteps


def karras(steps: int, table: NoiseTable, rho: float = 7.0) -> Steps:
    """Many small steps at low noise: even in sigma^(1/7) (arXiv:2206.00364, equation 5)."""
    ramp = np.linspace(0, 1, steps)
    low, high = table.sigma_min ** (1 / rho), table.sigma_max ** (1 / rho)
    return _interpolated((high + ramp * (low - high)) ** rho, table)


def exponential(steps: int, table: NoiseTable) -> Steps:
    """Every step takes the same share of the noise: even in log sigma (k-diffusion, A1111 "Exponential")."""
    logs = np.linspace(math.log(table.sigma_max), math.log(table.sigma_min), steps)
    return _interpolated(np.exp(logs), table)


def kl_optimal(steps: int, table: NoiseTable) -> Steps:
    """Even in the arc tangent of sigma, which is best for Gaussian data (arXiv:2404.14507).

    The last step goes from the least noise to none, as in ComfyUI; A1111 stops at the least noise.
    """
    arcs = np.linspace(math.atan(table.sigma_max), math.atan(table.sigma_min), steps)
    return _interpolated(np.tan(arcs), table)


ALIGNED = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)


def align_your_steps(steps: int, table: NoiseTable) -> Steps:
    """Levels found by search for SD 1 (arXiv:2404.14507), straight in log sigma between them (A1111 "AYS").

    For few steps, 10 or so. ComfyUI resamples one level more and sets its last one to 0.
    """
    places = np.linspace(0, 1, steps)
    return _interpolated(np.exp(np.interp(places, np.linspace(0, 1, len(ALIGNED)), np.log(ALIGNED))), table)


def simple(steps: int, table: NoiseTable) -> Steps:
    """Whole training steps at an even stride from the last one down (ComfyUI "simple", A1111 "Simple")."""
    return _entries(len(table) - 1 - np.floor(np.arange(steps) * (len(table) / steps)), table)


def sgm_uniform(steps: int, table: NoiseTable) -> Steps:
    """Even in training steps, stopping one stride above the least noise (ComfyUI, A1111 "SGM Uniform")."""
    timesteps = np.linspace(len(table) - 1, 0, steps + 1)[:-1]
    return table.at(timesteps), timesteps


def ddim_uniform(steps: int, table: NoiseTable) -> Steps:
    """Training steps 1, 1 + s, 1 + 2s, ... for a whole stride s (arXiv:2010.02502; diffusers' "leading").

    A1111 drops one of these steps when their number divides 1000.
    """
    return _entries(1 + np.arange(steps, dtype=np.float64)[::-1] * (len(table) // steps), table)


SCHEDULES: dict[str, Callable[[int, NoiseTable], Steps]] = {
    "normal": normal,
    "karras": karras,
    "exponential": exponential,
    "kl_optimal": kl_optimal,
    "align_your_steps": align_your_steps,
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "ddim_uniform": ddim_uniform,
}


def schedule(name: str, steps: int, table: NoiseTable) -> Schedule:
    """The noise levels of a named schedule.

    Args:
        name: one of `SCHEDULES`.
        steps: 1 up to the number of training steps.
        table: the noise the model was trained with.

    Raises:
        ValueError: the name is unknown, or the steps are out of range.
    """
    if name not in SCHEDULES:
        raise ValueError(f"There is no schedule {name!r}. Choose one of {', '.join(SCHEDULES)}.")
    most = len(table) - 1
    if not 1 <= steps <= most:
        raise ValueError(f"A schedule of {steps} steps is not possible; this model allows 1 to {most}.")
    sigmas, timesteps = SCHEDULES[name](steps, table)
    return _schedule(sigmas, timesteps, table)


def sigmas(name: str, steps: int, table: NoiseTable) -> Tensor:
    """The sigmas alone of a named schedule: float32 [steps + 1], falling to 0."""
    return schedule(name, steps, table).sigmas


def from_sigmas(levels: list[float], table: NoiseTable) -> Schedule:
    """A schedule through given sigmas, falling; a final 0 is added where it is missing.

    Raises:
        ValueError: there are none, or they do not fall, or one is negative or not finite.
    """
    given = np.array(levels, dtype=np.float64)
    if len(given) and given[-1] == 0:
        given = given[:-1]
    if not len(given) or not np.isfinite(given).all() or (given <= 0).any() or (np.diff(given) >= 0).any():
        raise ValueError(f"Sigmas must be positive numbers that fall from each to the next, not {levels}.")
    return _schedule(*_interpolated(given, table), table)


def _zero_snr(betas: Tensor) -> Tensor:
    """Betas after which nothing of the picture is left (arXiv:2305.08891, algorithm 1)."""
    root = torch.cumprod(1.0 - betas, dim=0).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    kept = ((root - last) * (first / (first - last))) ** 2
    return 1 - torch.cat([kept[:1], kept[1:] / kept[:-1]])


def _interpolated(sigmas: Floats, table: NoiseTable) -> Steps:
    return sigmas, table.timesteps(sigmas)


def _entries(timesteps: Floats, table: NoiseTable) -> Steps:
    return table.sigmas[timesteps.astype(np.int64)].astype(np.float64), timesteps


def _schedule(sigmas: Floats, timesteps: Floats, table: NoiseTable) -> Schedule:
    falling = np.append(sigmas, 0.0).astype(np.float32)
    return Schedule(table, torch.from_numpy(falling), torch.from_numpy(timesteps.astype(np.float32)))
