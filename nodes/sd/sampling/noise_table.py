"""The noise levels that a model was trained with, and the training step that belongs to each."""

from __future__ import annotations

import math

import numpy as np
import torch
from numpy.typing import NDArray
from torch import Tensor

from nodes.sd.families.family import Betas

Floats = NDArray[np.float64]


class NoiseTable:
    """The noise of each training step, as sigma: its standard deviation beside a latent of scale 1.

    Computed in float32 in the order of diffusers, so that equal settings give equal bits.
    """

    is_flow = False

    def __init__(self, betas: Betas | None = None) -> None:
        given = betas or Betas()
        if given.schedule == "scaled_linear":
            rising = torch.linspace(given.start**0.5, given.end**0.5, given.steps, dtype=torch.float32) ** 2
        else:
            rising = torch.linspace(given.start, given.end, given.steps, dtype=torch.float32)
        if given.zero_snr:
            rising = _rescaled_to_zero_snr(rising)
        alphas = torch.cumprod(1.0 - rising, dim=0)
        if given.zero_snr:
            alphas[-1] = 2**-24  # instead of 0, so that the last sigma is finite: 4096
        self.alphas: Tensor = alphas
        """The cumulative product of 1 - beta for each step (alphas_cumprod of diffusers), float32 [steps]."""
        self.sigmas: NDArray[np.float32] = (((1 - alphas) / alphas) ** 0.5).numpy()
        self.log_sigmas: NDArray[np.float32] = np.log(self.sigmas)

    def __len__(self) -> int:
        return len(self.sigmas)

    @property
    def sigma_min(self) -> float:
        """The lowest noise level, 0.0292 for SD 1."""
        return float(self.sigmas[0])

    @property
    def sigma_max(self) -> float:
        """The highest noise level, 14.6146 for SD 1."""
        return float(self.sigmas[-1])

    @property
    def lowest(self) -> float:
        """The training step at which evenly spaced schedules end: the first one."""
        return 0.0

    def even(self, count: int) -> Floats:
        """Return evenly spaced positions from the last one to `lowest`, in float32 as in diffusers."""
        return np.linspace(self.lowest, len(self) - 1, count, dtype=np.float32)[::-1].astype(np.float64)

    def timesteps(self, sigmas: Floats) -> Floats:
        """Return the training steps of some sigmas: fractions, interpolated linearly in log sigma.

        Sigmas beyond the table get its first or last step. As in k-diffusion and A1111; ComfyUI rounds.
        """
        logs = np.log(np.maximum(sigmas, 1e-10))
        low = np.searchsorted(self.log_sigmas, logs, side="right").astype(np.int64) - 1
        low = np.clip(low, 0, len(self) - 2)
        below, above = self.log_sigmas[low], self.log_sigmas[low + 1]
        share = np.clip((below - logs) / (below - above), 0, 1)
        return np.asarray((1 - share) * low + share * (low + 1))

    def at(self, timesteps: Floats) -> Floats:
        """Return the sigmas of some training steps; the inverse of `timesteps`."""
        return np.exp(np.interp(timesteps, np.arange(len(self)), self.log_sigmas.astype(np.float64)))

    def timesteps_at(self, positions: Floats) -> Floats:
        """Return the positions, since they are the training steps with which the model is called."""
        return positions

    def linear(self, positions: Floats) -> Floats:
        """Return the sigmas at some positions, interpolated linearly in the table, as diffusers does."""
        return np.interp(positions, np.arange(len(self)), self.sigmas)

    def level_after(self, share: float) -> float:
        """Return the noise level at a fraction of the training steps: infinity at 0, 0 at 1.

        As ComfyUI's `percent_to_sigma`, for the ranges of prompts and ControlNets.
        """
        if share <= 0:
            return math.inf
        return 0.0 if share >= 1 else float(self.at(np.array((1 - share) * (len(self) - 1))))

    def noised(self, clean: Tensor, noise: Tensor, sigma: Tensor) -> Tensor:
        """Add noise of standard deviation 1 to a clean latent, at a noise level."""
        return clean + noise * sigma


def _rescaled_to_zero_snr(betas: Tensor) -> Tensor:
    """Rescale betas so that the last step is pure noise (arXiv:2305.08891, algorithm 1)."""
    root = torch.cumprod(1.0 - betas, dim=0).sqrt()
    first, last = root[0].clone(), root[-1].clone()
    alphas = ((root - last) * (first / (first - last))) ** 2
    return 1 - torch.cat([alphas[:1], alphas[1:] / alphas[:-1]])
