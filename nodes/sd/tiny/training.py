"""Optimises networks step by step, keeps the running mean of their weights, and survives being killed."""

from __future__ import annotations

import math
import os
import random
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn

CHECKPOINT_SECONDS = 120
REPORT_SECONDS = 60


@dataclass
class Chance:
    """Every source of chance that a training step may use; a checkpoint holds their states."""

    python: random.Random
    torch: torch.Generator

    @staticmethod
    def seeded(seed: int) -> Chance:
        """Sources that give the same chances for the same seed."""
        return Chance(random.Random(seed), torch.Generator().manual_seed(seed))


Loss = Callable[[Chance, float], Tensor]
"""Computes the loss of one step from the sources of chance and the progress, 0 to 1."""


class Training:
    """One stage of training: some networks, one loss, a fixed number of steps.

    Adam with decoupled weight decay, a short warm-up and a cosine down to nothing. The running mean of the
    weights is what the stage yields: it draws cleaner than the last step's weights.

    Args:
        networks: What to train, by name; the names go into the checkpoint.
        file: Where the checkpoint lies. If it is there, training goes on from it, to the same bits.
        steps: Steps in all.
        rate: The highest learning rate.
        seed: Decides every chance of the stage.
        rates: A factor on the learning rate for some of the networks.
    """

    def __init__(
        self,
        networks: Mapping[str, nn.Module],
        file: Path,
        *,
        steps: int,
        rate: float,
        seed: int,
        rates: Mapping[str, float] | None = None,
        warmup: int = 100,
    ) -> None:
        self.networks = dict(networks)
        self.file = file
        self.steps = steps
        self.rate = rate
        self.warmup = warmup
        self.step = 0
        self.chance = Chance.seeded(seed)
        self.weights = [w for net in self.networks.values() for w in net.parameters() if w.requires_grad]
        self.mean = [weight.detach().clone() for weight in self.weights]
        groups = [
            {
                "params": [w for w in net.parameters() if w.requires_grad],
                "factor": (rates or {}).get(name, 1.0),
            }
            for name, net in self.networks.items()
        ]
        self.optimizer = torch.optim.AdamW(groups, lr=rate, betas=(0.9, 0.99), weight_decay=0.01)
        if file.exists():
            self._resume()

    def run(self, loss: Loss, until: float = math.inf) -> bool:
        """Train to the last step, or until a time of `time.monotonic()`; whether the last step was reached.

        At the end the networks hold the running mean of their weights.
        """
        for network in self.networks.values():
            network.train()
        saved = reported = time.monotonic()
        # A finished stage that is asked again only hands out its result.
        if self.step < self.steps:
            while self.step < self.steps and time.monotonic() < until:
                value = self._advance(loss)
                now = time.monotonic()
                if now - reported > REPORT_SECONDS:
                    print(f"{self.file.stem}: step {self.step} of {self.steps}, loss {value:.4f}", flush=True)
                    reported = now
                if now - saved > CHECKPOINT_SECONDS:
                    self.save()
                    saved = now
            self.save()
        with torch.no_grad():
            for weight, mean in zip(self.weights, self.mean, strict=True):
                weight.copy_(mean)
        for network in self.networks.values():
            network.eval()
        return self.step >= self.steps

    def save(self) -> None:
        """Write the checkpoint so that a kill at any moment leaves the old or the new one whole."""
        state = {
            "networks": {name: network.state_dict() for name, network in self.networks.items()},
            "mean": self.mean,
            "optimizer": self.optimizer.state_dict(),
            "step": self.step,
            "python": self.chance.python.getstate(),
            "torch": self.chance.torch.get_state(),
        }
        unfinished = self.file.with_suffix(".unfinished")
        torch.save(state, unfinished)
        os.replace(unfinished, self.file)

    def _resume(self) -> None:
        state: dict[str, Any] = torch.load(self.file, weights_only=True)
        for name, network in self.networks.items():
            network.load_state_dict(state["networks"][name])
        self.mean = state["mean"]
        self.optimizer.load_state_dict(state["optimizer"])
        self.step = state["step"]
        self.chance.python.setstate(state["python"])
        self.chance.torch.set_state(state["torch"])

    def _advance(self, loss: Loss) -> float:
        progress = self.step / self.steps
        value = loss(self.chance, progress)
        self.optimizer.zero_grad(set_to_none=True)
        value.backward()  # type: ignore[no-untyped-call]
        nn.utils.clip_grad_norm_(self.weights, 1.0)
        rate = self.rate * min(1, (self.step + 1) / self.warmup) * (0.5 + 0.5 * math.cos(math.pi * progress))
        for group in self.optimizer.param_groups:
            group["lr"] = rate * group["factor"]
        self.optimizer.step()
        self.step += 1
        horizon = min(0.995, (1 + self.step) / (20 + self.step))
        torch._foreach_lerp_(self.mean, [weight.detach() for weight in self.weights], 1 - horizon)
        return value.item()
