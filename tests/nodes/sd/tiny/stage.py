"""Runs one stage of training the embedded model, with a checkpoint and a report from time to time."""

from __future__ import annotations

import math
import time
from collections.abc import Mapping
from pathlib import Path

from torch import nn

from nodes.sd.training_loop.loop import Loss, Rate, Training, cosine

CHECKPOINT_SECONDS = 120
REPORT_SECONDS = 60


def run_stage(
    modules: Mapping[str, nn.Module],
    loss: Loss,
    file: Path,
    *,
    steps: int,
    rate: float,
    seed: int,
    until: float = math.inf,
    rate_factors: Mapping[str, float] | None = None,
) -> bool:
    """Train modules up to the last step, or until a time; they then have the averaged weights.

    Args:
        modules: the modules to train, by name.
        loss: the loss of one batch.
        file: the checkpoint; if it exists, the stage continues from it.
        steps: the total number of steps.
        rate: the highest learning rate.
        seed: the seed of the stage.
        until: a time of `time.monotonic()` at which to stop.
        rate_factors: a factor of the learning rate for some of the modules.

    Returns:
        whether the last step is done.
    """
    at = cosine(rate, steps)
    rates = {name: _scaled(at, factor) for name, factor in (rate_factors or {}).items()}
    training = Training(modules, file, steps=steps, rate=at, seed=seed, rates=rates)
    saved = reported = time.monotonic()
    if not training.is_finished and time.monotonic() < until:
        for step in training.steps(loss):
            now = time.monotonic()
            if now - reported > REPORT_SECONDS:
                print(f"{file.stem}: step {step.number} of {steps}, loss {step.loss:.4f}", flush=True)
                reported = now
            if now - saved > CHECKPOINT_SECONDS:
                training.save()
                saved = now
            if now >= until:
                break
        training.save()
    training.finish()
    return training.is_finished


def _scaled(rate: Rate, factor: float) -> Rate:
    return lambda step: factor * rate(step)
