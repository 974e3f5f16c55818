"""The loss of a flow-matching model: how well it predicts the direction from a picture to noise."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

from nodes.sd.fine_tuning.added_noise import Noise, NoiseSettings, draw_noise, timestep_range
from nodes.sd.fine_tuning.diffusion_loss import Predict
from nodes.sd.fine_tuning.prediction_error import ErrorSettings

Weighting = Literal["logit_normal", "uniform", "mode", "sigma_sqrt", "cosmap"]
"""The weighting schemes of the noise levels (arXiv:2403.03206, section 3.1). The first three determine how
often each level is drawn; the others draw levels uniformly and weight the loss."""


@dataclass(frozen=True)
class LevelSettings:
    """How often noise levels are drawn, and how their losses are weighted, as diffusers does for SD 3."""

    weighting: Weighting = "logit_normal"
    logit_mean: float = 0.0
    """The mean of the normal distribution of `logit_normal`; a positive one draws low levels more often."""
    logit_std: float = 1.0
    """Its standard deviation."""
    mode_scale: float = 1.29
    """How strongly `mode` prefers levels in the middle; 0 is uniform."""

    def places(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw places in the schedule, from 0 for the highest noise to 1 for the lowest: float32 [count].

        As `compute_density_for_timestep_sampling` of diffusers.
        """
        if self.weighting == "logit_normal":
            normal = torch.normal(self.logit_mean, self.logit_std, (count,), generator=generator)
            return torch.sigmoid(normal)
        even = torch.rand(count, generator=generator)
        if self.weighting != "mode":
            return even
        return 1 - even - self.mode_scale * (torch.cos(math.pi * even / 2) ** 2 - 1 + even)

    def weights(self, sigmas: Tensor) -> Tensor | None:
        """Return the weights of the loss at some noise levels; None if all are 1.

        As `compute_loss_weighting_for_sd3` of diffusers.
        """
        if self.weighting == "sigma_sqrt":
            return sigmas**-2.0
        if self.weighting == "cosmap":
            return 2 / (math.pi * (1 - 2 * sigmas + 2 * sigmas**2))
        return None


class FlowLoss:
    """The loss of a network that predicts noise minus latents from a mixture of both.

    The order of computation is that of diffusers' train_dreambooth_sd3.py (without its
    `precondition_outputs`), in float32 or a wider dtype of the prediction, so that equal noise gives equal
    losses.

    Args:
        sigmas: the share of noise at each timestep, rising to 1, float32 [timesteps]. The network is called
            with the share times the number of timesteps.
        noise: the settings of the noise.
        errors: how errors become a loss.
        levels: how often noise levels are drawn, and their weights.

    Raises:
        ValueError: the range of timesteps is empty, or `huber_schedule` is `snr`, which a flow does not have.
    """

    def __init__(
        self,
        sigmas: Tensor,
        noise: NoiseSettings | None = None,
        errors: ErrorSettings | None = None,
        levels: LevelSettings | None = None,
    ) -> None:
        self.noise, self.errors = noise or NoiseSettings(), errors or ErrorSettings()
        self.levels = levels or LevelSettings()
        if self.errors.has_threshold and self.errors.huber_schedule == "snr":
            raise ValueError(
                "The huber schedule snr is not defined for a flow model. Use exponential or constant."
            )
        self._sigmas = sigmas
        self._range = timestep_range(self.noise, len(sigmas))

    def draw(self, latents: Tensor, generator: torch.Generator) -> Noise:
        """Draw the noise and the timesteps of a batch of latents [batch, channels, height, width]."""
        return draw_noise(self.noise, latents, self._draw_timesteps, generator)

    def spread_timesteps(self, count: int) -> Tensor:
        """Return timesteps that are spread evenly over the range, int64 [count], for comparable losses."""
        return self._range.spread(count)

    def __call__(
        self, predict: Predict, latents: Tensor, noise: Noise, weights: Tensor | None = None
    ) -> Tensor:
        """Compute the loss of a batch, a scalar. The arguments are those of `DiffusionLoss.__call__`."""
        levels = self._sigmas[noise.timesteps]
        sigmas = levels.to(latents)[:, None, None, None]
        noisy = (1.0 - sigmas) * latents + sigmas * noise.added
        times = levels * len(self._sigmas)
        predicted, target = predict(noisy, times.to(latents.device)), noise.target - latents
        wide = torch.promote_types(predicted.dtype, torch.float32)
        error = self.errors.loss(predicted.to(wide), target.to(wide), self._threshold(levels))
        if (level_weights := self.levels.weights(sigmas.to(wide))) is not None:
            error = level_weights * error
        if weights is not None:
            error = error * weights
        return error.mean((1, 2, 3)).mean()

    def _draw_timesteps(self, count: int, generator: torch.Generator) -> Tensor:
        """Draw timesteps from the range, int64 [count]; diffusers counts them from the highest noise."""
        first, last = self._range
        size = last + 1 - first
        return last - (self.levels.places(count, generator) * size).long().clamp(0, size - 1)

    def _threshold(self, levels: Tensor) -> Tensor | None:
        """Return the error above which the loss is linear, not square: [batch]; None for `l2` and `l1`."""
        if not self.errors.has_threshold:
            return None
        if self.errors.huber_schedule == "constant":
            return torch.full_like(levels, self.errors.huber_threshold)
        return self.errors.exponential_threshold(levels)
