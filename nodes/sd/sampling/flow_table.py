"""The noise levels of flow-matching models, and the training step that belongs to each."""

from __future__ import annotations

import math

import numpy as np
from numpy.typing import NDArray
from torch import Tensor

from nodes.sd.families.family import Flow
from nodes.sd.sampling.noise_table import Floats


class FlowTable:
    """The noise levels of a flow-matching model, as sigma: the share of noise, 0 to 1.

    A latent at level sigma is `(1 - sigma) * clean + sigma * noise`. Position p of the table is the training
    time t = (p + 1) / levels, with sigma = shift * t / (1 + (shift - 1) * t). The model is called with
    sigma * steps. As `ModelSamplingDiscreteFlow` of ComfyUI and `FlowMatchEulerDiscreteScheduler` of
    diffusers, in whose order the levels are computed, so that equal settings give equal bits.
    """

    is_flow = True

    def __init__(self, flow: Flow) -> None:
        self._shift, self._steps, self._levels = flow.shift, flow.steps, flow.levels
        times = np.linspace(1, flow.levels, flow.levels, dtype=np.float32) / np.float32(flow.levels)
        self.sigmas: NDArray[np.float32] = self._shifted(times).astype(np.float32)
        self.log_sigmas: NDArray[np.float32] = np.log(self.sigmas)

    def __len__(self) -> int:
        return len(self.sigmas)

    @property
    def sigma_min(self) -> float:
        """The lowest noise level, 0.003 with a shift of 3."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """The highest noise level, 1: noise alone."""
        return float(self.sigmas[-1])

    @property
    def lowest(self) -> float:
        """The position at which evenly spaced schedules end: the one whose time equals the lowest level.

        ComfyUI and diffusers convert that level to a time without removing the shift.
        """
        return self.sigma_min * self._levels - 1

    def even(self, count: int) -> Floats:
        """Return evenly spaced positions from the last one to `lowest`."""
        return np.linspace(len(self) - 1, self.lowest, count)

    def timesteps(self, sigmas: Floats) -> Floats:
        """Return the numbers (timesteps) with which the model is called for some sigmas."""
        return (np.asarray(sigmas, np.float32) * np.float32(self._steps)).astype(np.float64)

    def timesteps_at(self, positions: Floats) -> Floats:
        """Return the numbers (timesteps) with which the model is called at some positions."""
        return self.timesteps(self.at(positions))

    def at(self, positions: Floats) -> Floats:
        """Return the sigmas at some positions, which may be fractions."""
        return np.asarray(self._shifted((positions + 1) / self._levels), np.float64)

    def linear(self, positions: Floats) -> Floats:
        """Return the sigmas at some positions; for a flow they are exact and not interpolated."""
        return self.at(positions)

    def level_after(self, share: float) -> float:
        """Return the noise level at a fraction of the training steps: infinity at 0, 0 at 1.

        As ComfyUI's `percent_to_sigma`, for the ranges of prompts and ControlNets.
        """
        if share <= 0:
            return math.inf
        return 0.0 if share >= 1 else float(self._shifted(np.array(1 - share)))

    def noised(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Add noise of standard deviation 1 to a clean latent, at a noise level."""
        return clean * (1 - sigma) + noise * sigma

    def _shifted(self, times: NDArray[np.floating]) -> NDArray[np.floating]:
        return np.asarray(self._shift * times / (1 + (self._shift - 1) * times))
