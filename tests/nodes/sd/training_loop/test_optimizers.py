"""The optimizers: each resumes to the same bits, and those that are written here follow their paper."""

from __future__ import annotations

import sys
from pathlib import Path
from typing import Any, get_args
from unittest import mock

import pytest
import torch
from torch import Tensor, nn

from nodes.sd.training_loop.loop import AveragingOptimizer, Batch, Training
from nodes.sd.training_loop.optimizers import (
    PACKAGES,
    Lion,
    MissingPackageError,
    OptimizerName,
    optimizer,
)
from nodes.sd.training_loop.random_sources import RandomSources

NAMES = get_args(OptimizerName)
TARGET = torch.tensor([[1.0, -2.0, 0.5], [0.2, 3.0, -0.7]])


def started(file: Path, name: OptimizerName, steps: int = 6) -> Training:
    """A training of six numbers towards a target with noise."""
    module = nn.ParameterDict({"rows": torch.full((2, 3), 0.1)})
    rate = 1.0 if name == "prodigy" else 0.05
    make = optimizer(name, 0.01)
    return Training(
        {"rows": module}, file, steps=steps, rate=lambda step: rate, seed=3, optimizer=make, decay=None
    )


def distance(run: Training) -> Tensor:
    return (run.weights[0].detach() - TARGET).square().mean()


def loss_of(run: Training) -> Any:
    def loss(draws: RandomSources, place: Batch) -> Tensor:
        noise = 0.1 * torch.randn(TARGET.shape, generator=draws.torch)
        return (run.weights[0] - TARGET + noise).square().mean()

    return loss


@pytest.mark.parametrize("name", NAMES)
def test_an_interrupted_training_gives_the_same_bits_with_each(tmp_path: Path, name: OptimizerName) -> None:
    whole = started(tmp_path / "whole.pt", name)
    before = float(distance(whole))
    losses = [step.loss for step in whole.steps(loss_of(whole))]
    whole.finish()
    assert float(distance(whole)) < before
    parts: list[float] = []
    for _ in range(3):
        run = started(tmp_path / "parts.pt", name)
        for step in run.steps(loss_of(run)):
            parts.append(step.loss)
            with run.evaluation():
                pass  # a sample between two steps
            if step.number % 2 == 0:
                run.save()
                break
    run.finish()
    assert parts == losses
    assert torch.equal(run.weights[0], whole.weights[0])


def test_schedule_free_weights_are_those_of_its_own_evaluation(tmp_path: Path) -> None:
    run = started(tmp_path / "x.pt", "schedulefree")
    list(run.steps(loss_of(run)))
    trained = run.weights[0].detach().clone()
    used = run.weights_to_use()[0]
    assert torch.equal(run.weights[0], trained)
    assert isinstance(run.optimizer, AveragingOptimizer)
    run.optimizer.eval()
    assert torch.equal(used, run.weights[0])
    assert not torch.equal(used, trained)


def test_lion_steps_along_the_sign_of_the_mean_gradient() -> None:
    weight = nn.Parameter(torch.tensor([1.0, 1.0, 1.0]))
    steps = Lion([{"params": [weight], "lr": 0.1, "weight_decay": 0.5}])
    gradients = torch.tensor([[2.0, -1.0, 0.0], [-1.0, -1.0, 0.0]])
    mean, expected = torch.zeros(3), torch.ones(3)
    for gradient in gradients:
        weight.grad = gradient
        steps.step()
        expected = expected - 0.1 * (torch.sign(0.9 * mean + 0.1 * gradient) + 0.5 * expected)
        mean = 0.99 * mean + 0.01 * gradient
    assert torch.allclose(weight, expected, rtol=1e-6)


@pytest.mark.parametrize("name", list(PACKAGES))
def test_the_package_that_an_optimizer_needs_is_named(name: OptimizerName) -> None:
    with (
        mock.patch.dict(sys.modules, {PACKAGES[name]: None}),
        pytest.raises(MissingPackageError) as raised,
    ):
        optimizer(name, 0.0)
    assert raised.value.package == PACKAGES[name]
