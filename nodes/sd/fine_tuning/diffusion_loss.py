"""The loss of a diffusion model: how well it predicts the noise that was added to latents."""

from __future__ import annotations

from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor
from torch.nn import functional as F

from nodes.sd.fine_tuning.added_noise import Noise, NoiseSettings, draw_noise, timestep_range
from nodes.sd.fine_tuning.prediction_error import ErrorSettings

Prediction = Literal["epsilon", "v_prediction", "sample"]
"""The prediction types."""

Predict = Callable[[Tensor, Tensor], Tensor]
"""Calls the network with noisy latents [batch, channels, height, width] and timesteps [batch]; returns its
prediction."""

_MOST_SNR = 1000.0
"""The largest signal-to-noise ratio that kohya's weights use; without noise the ratio is infinite."""


@dataclass(frozen=True)
class LossSettings(ErrorSettings):
    """How errors become a loss, and how noise levels are weighted; the options of kohya's sd-scripts."""

    min_snr: float = 0.0
    """The gamma of min-SNR weighting (arXiv:2303.09556); 0 gives all noise levels the weight 1."""
    debiased: bool = False
    """True to weight noise levels by debiased estimation (arXiv:2310.08442)."""
    velocity_as_noise: bool = False
    """True to weight the loss of a velocity as that of noise (`scale_v_pred_loss_like_noise_pred`)."""

    @property
    def is_plain(self) -> bool:
        """Whether the loss is the plain mean squared error."""
        return self.distance == "l2" and not (self.min_snr or self.debiased or self.velocity_as_noise)


class DiffusionLoss:
    """The loss of a network that predicts the noise in latents, or the velocity, or the clean latents.

    The order of computation is that of diffusers' training scripts, in float32 or a wider dtype of the
    prediction, so that equal noise gives equal losses.

    Args:
        alphas: the cumulative product of 1 - beta for each timestep (alphas_cumprod), float32 [timesteps].
        prediction: the prediction type of the network.
        noise: the settings of the noise.
        settings: the settings of the loss.

    Raises:
        ValueError: the range of timesteps is empty.
    """

    def __init__(
        self,
        alphas: Tensor,
        prediction: Prediction,
        noise: NoiseSettings | None = None,
        settings: LossSettings | None = None,
    ) -> None:
        self.noise = noise or NoiseSettings()
        self.settings = settings or LossSettings()
        self._alphas, self._prediction = alphas, prediction
        self._range = timestep_range(self.noise, len(alphas))

    def draw(self, latents: Tensor, generator: torch.Generator) -> Noise:
        """Draw the noise and the timesteps of a batch of latents [batch, channels, height, width]."""
        return draw_noise(self.noise, latents, self._range.draw, generator)

    def spread_timesteps(self, count: int) -> Tensor:
        """Return timesteps that are spread evenly over the range, int64 [count], for comparable losses."""
        return self._range.spread(count)

    def __call__(
        self, predict: Predict, latents: Tensor, noise: Noise, weights: Tensor | None = None
    ) -> Tensor:
        """Compute the loss of a batch, a scalar.

        Args:
            predict: calls the network.
            latents: clean latents, [batch, channels, height, width].
            noise: the noise to add, and its timesteps.
            weights: the weight of each cell of the latents, [batch, 1, height, width]; None for 1.
        """
        timesteps = noise.timesteps
        alphas = self._alphas[timesteps].to(latents)
        signal, level = ((share**0.5)[:, None, None, None] for share in (alphas, 1 - alphas))
        predicted = predict(signal * latents + level * noise.added, timesteps.to(latents.device))
        if self._prediction == "epsilon":
            target = noise.target
        elif self._prediction == "v_prediction":
            target = signal * noise.target - level * latents
        else:
            target = latents
        wide = torch.promote_types(predicted.dtype, torch.float32)
        predicted, target = predicted.to(wide), target.to(wide)
        if weights is None and self.settings.is_plain:
            return F.mse_loss(predicted, target, reduction="mean")
        error = self.settings.loss(predicted, target, self._threshold(alphas, timesteps))
        if weights is not None:
            error = error * weights
        each = error.mean((1, 2, 3))
        return each.mean() if self.settings.is_plain else (each * self._weights(alphas)).mean()

    def _threshold(self, alphas: Tensor, timesteps: Tensor) -> Tensor | None:
        """Return the error above which the loss is linear, not square: [batch]; None for `l2` and `l1`."""
        least = self.settings.huber_threshold
        if not self.settings.has_threshold:
            return None
        if self.settings.huber_schedule == "constant":
            return torch.full_like(alphas, least)
        if self.settings.huber_schedule == "exponential":
            return self.settings.exponential_threshold(timesteps.to(alphas) / len(self._alphas))
        sigmas = ((1 - alphas) / alphas) ** 0.5
        return (1 - least) / (1 + sigmas) ** 2 + least

    def _weights(self, alphas: Tensor) -> Tensor:
        """Return the weight of the noise level of each latent, [batch]."""
        snr = alphas / (1 - alphas)
        limited = snr.clamp(max=_MOST_SNR)
        weights = torch.ones_like(alphas)
        if self.settings.min_snr:
            weights = weights * self._min_snr(snr)
        if self.settings.velocity_as_noise and self._prediction == "v_prediction":
            weights = weights * limited / (limited + 1)
        if self.settings.debiased:
            velocity = self._prediction == "v_prediction"
            weights = weights / (limited + 1 if velocity else limited.sqrt())
        return weights

    def _min_snr(self, snr: Tensor) -> Tensor:
        """Return the weight by min-SNR for the prediction type.

        It is min(snr, gamma) for the clean latent, divided by snr for epsilon and by snr + 1 for v.
        """
        clamped = snr.clamp(max=self.settings.min_snr)
        if self._prediction == "epsilon":
            return clamped / snr
        return clamped / (snr + 1) if self._prediction == "v_prediction" else clamped
