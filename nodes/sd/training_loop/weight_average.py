"""The running average of trained weights, which gives better results than the weights of the last step."""

from __future__ import annotations

from collections.abc import Sequence

import torch
from torch import Tensor


class WeightAverage:
    """An exponential moving average (EMA) of weights.

    Args:
        weights: the trained weights; the average starts with their values.
        decay: the largest weight of the old average. It begins at about 0.1 and grows with the number of
            steps, so that the initial weights soon have no effect.
    """

    def __init__(self, weights: Sequence[Tensor], decay: float = 0.995) -> None:
        self.weights = weights
        self.decay = decay
        self.mean = [weight.detach().clone() for weight in weights]

    def update(self, step: int) -> None:
        """Update the average after a step, counted from 1."""
        share = min(self.decay, (1 + step) / (20 + step))
        torch._foreach_lerp_(self.mean, [weight.detach() for weight in self.weights], 1 - share)
