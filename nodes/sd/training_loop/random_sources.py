"""The random number generators of a training run, whose state a checkpoint saves."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

import torch


@dataclass
class RandomSources:
    """Every source of random numbers that a training step may use."""

    python: random.Random
    torch: torch.Generator
    """Draws tensors on the CPU, so that they are the same on every device."""

    @staticmethod
    def seeded(seed: int) -> RandomSources:
        """Sources that give the same numbers for the same seed."""
        return RandomSources(random.Random(seed), torch.Generator().manual_seed(seed))

    def state(self) -> dict[str, Any]:
        """The state of all sources, for a checkpoint."""
        return {"python": self.python.getstate(), "torch": self.torch.get_state()}

    def restore(self, state: Mapping[str, Any]) -> None:
        """Continue from a state that `state` returned."""
        self.python.setstate(state["python"])
        self.torch.set_state(state["torch"])
