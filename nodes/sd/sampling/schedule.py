"""A noise schedule: the noise levels of the sampling steps."""

from __future__ import annotations

from dataclasses import dataclass

import numpy as np
import torch
from torch import Tensor

from nodes.sd.sampling.noise_table import Floats
from nodes.sd.sampling.tables import Table


@dataclass(frozen=True, eq=False)
class Schedule:
    """The noise levels of a run of a sampler."""

    table: Table
    sigmas: Tensor
    """float32 [steps + 1] on the CPU, falling. The last is 0, or the noise level that is left in the
    picture."""
    timesteps: Tensor
    """float32 [steps] on the CPU: the training step of every sigma but the last."""
    whole_timesteps: bool = False
    """True to call the model at whole training steps (ComfyUI), False at fractions (A1111). Flow-matching
    models are always called at fractions."""

    @property
    def steps(self) -> int:
        """How many steps a sampler takes."""
        return len(self.timesteps)

    def timestep(self, sigma: Tensor) -> Tensor:
        """The training step, a float32 scalar, with which the model is called for a noise level.

        A level of the schedule has its own; others are interpolated.
        """
        own = (self.sigmas[:-1] == sigma).nonzero()
        if len(own):
            exact = self.timesteps[own[0, 0]]
        else:
            exact = torch.tensor(self.table.timesteps(np.array(float(sigma))), dtype=torch.float32)
        return exact.round() if self.whole_timesteps and not self.table.is_flow else exact

    def for_strength(self, strength: float) -> Schedule:
        """The end of the schedule that changes a given picture only in part (img2img).

        The rule is A1111's: `int(min(strength, 0.999) * steps) + 1` steps of the full schedule, so 20 steps
        at 0.5 run 11, and strength 0 runs one. diffusers runs `int(steps * strength)`; ComfyUI plans
        `int(steps / strength)` steps and runs the last `steps` of them.

        Raises:
            ValueError: the strength is not within 0 and 1.
        """
        if not 0 <= strength <= 1:
            raise ValueError(f"The denoising strength is {strength}; it must be within 0 and 1.")
        kept = int(min(strength, 0.999) * self.steps) + 1
        return self._with(self.sigmas[-kept - 1 :], self.timesteps[-kept:])

    def between(self, start: int, end: int | None = None, *, keep_noise: bool = False) -> Schedule:
        """The steps from one number up to another, counted from 0 (ComfyUI's KSamplerAdvanced).

        Args:
            start: the first step that runs.
            end: the step before which sampling ends; None for the last step.
            keep_noise: True to leave the noise of the last level in the picture; False to remove it in the
                last step.

        Raises:
            ValueError: there is no step between them.
        """
        last = self.steps if end is None else min(end, self.steps)
        if not 0 <= start < last:
            raise ValueError(
                f"There is no step from {start} up to {last}; the schedule has {self.steps} steps."
            )
        sigmas = self.sigmas[start : last + 1]
        if last < self.steps and not keep_noise:
            sigmas = torch.cat([sigmas[:-1], sigmas.new_zeros(1)])
        return self._with(sigmas, self.timesteps[start:last])

    def with_whole_timesteps(self) -> Schedule:
        """The same levels, with the model called at whole training steps."""
        return Schedule(self.table, self.sigmas, self.timesteps, whole_timesteps=True)

    def _with(self, sigmas: Tensor, timesteps: Tensor) -> Schedule:
        return Schedule(self.table, sigmas, timesteps, self.whole_timesteps)


def schedule_of(sigmas: Floats, timesteps: Floats, table: Table, last: float = 0.0) -> Schedule:
    """A schedule of given levels and their training steps, and the level that the last step reaches."""
    falling = np.append(sigmas, last).astype(np.float32)
    return Schedule(table, torch.from_numpy(falling), torch.from_numpy(timesteps.astype(np.float32)))


def from_sigmas(levels: list[float], table: Table) -> Schedule:
    """A schedule of given sigmas, falling. A final 0 is added if it is missing.

    Raises:
        ValueError: there are none, or they do not fall, or one is negative or not finite.
    """
    given = np.array(levels, dtype=np.float64)
    if len(given) and given[-1] == 0:
        given = given[:-1]
    if not len(given) or not np.isfinite(given).all() or (given <= 0).any() or (np.diff(given) >= 0).any():
        raise ValueError(f"Sigmas must be positive numbers that fall from each to the next, not {levels}.")
    return schedule_of(given, table.timesteps(given), table)
