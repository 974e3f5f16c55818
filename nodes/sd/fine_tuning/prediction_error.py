"""Turns the errors of a prediction into a loss: their square, their absolute value, or in between."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Distance = Literal["l2", "l1", "huber", "smooth_l1"]
"""How an error of the prediction becomes a loss: its square, its absolute value, or in between."""

HuberSchedule = Literal["snr", "exponential", "constant"]
"""How the threshold of `huber` and `smooth_l1` depends on the noise level."""


@dataclass(frozen=True)
class ErrorSettings:
    """How errors become a loss; the options of kohya's sd-scripts."""

    distance: Distance = "l2"
    huber_schedule: HuberSchedule = "snr"
    huber_threshold: float = 0.1
    """The smallest threshold, which is the error above which `huber` and `smooth_l1` are linear; with
    `constant`, the only one."""

    @property
    def has_threshold(self) -> bool:
        """Whether the loss depends on a threshold."""
        return self.distance in ("huber", "smooth_l1")

    def loss(self, predicted: Tensor, target: Tensor, threshold: Tensor | None) -> Tensor:
        """Compute the loss of each number of a prediction.

        Args:
            predicted: the prediction, [batch, channels, height, width].
            target: the tensor to predict, of the same shape.
            threshold: the error above which the loss is linear, [batch]; None for `l2` and `l1`.
        """
        if threshold is None:
            error = predicted - target
            return error.square() if self.distance == "l2" else error.abs()
        wide = threshold[:, None, None, None].to(predicted)
        found = 2 * ((predicted - target).square() + wide.square()).sqrt() - 2 * wide
        return wide * found if self.distance == "huber" else found

    def exponential_threshold(self, share: Tensor) -> Tensor:
        """Compute the thresholds of the schedule `exponential`, for shares of the timesteps, 0 to 1."""
        return torch.exp(share * math.log(self.huber_threshold))
