"""How the errors of a prediction become a loss: by their square, their size, or in between."""

from __future__ import annotations

import math
from dataclasses import dataclass
from typing import Literal

import torch
from torch import Tensor

Distance = Literal["l2", "l1", "huber", "smooth_l1"]
"""How an error of the prediction becomes a loss: its square, its absolute value, or in between."""

HuberSchedule = Literal["snr", "exponential", "constant"]
"""How the error at which `huber` and `smooth_l1` turn from a square to a line depends on the noise level."""


@dataclass(frozen=True)
class ErrorSettings:
    """How errors become a loss, by the rules of kohya's sd-scripts."""

    distance: Distance = "l2"
    huber_schedule: HuberSchedule = "snr"
    huber_threshold: float = 0.1
    """The smallest error at which `huber` and `smooth_l1` turn from a square to a line; with `constant`, the
    only one."""

    @property
    def has_threshold(self) -> bool:
        """Whether the loss depends on a threshold."""
        return self.distance in ("huber", "smooth_l1")

    def loss(self, predicted: Tensor, target: Tensor, threshold: Tensor | None) -> Tensor:
        """The loss of each number.

        Args:
            predicted: [batch, channels, height, width].
            target: the same.
            threshold: the error at which the loss turns from a square to a line, [batch]; None without one.
        """
        if threshold is None:
            error = predicted - target
            return error.square() if self.distance == "l2" else error.abs()
        wide = threshold[:, None, None, None].to(predicted)
        found = 2 * ((predicted - target).square() + wide.square()).sqrt() - 2 * wide
        return wide * found if self.distance == "huber" else found

    def exponential_threshold(self, share: Tensor) -> Tensor:
        """The threshold of the schedule `exponential`, for shares of the training steps, 0 to 1."""
        return torch.exp(share * math.log(self.huber_threshold))
