"""The training loop: resumes to the same bits, averages, accumulates, and stops at NaN."""

from __future__ import annotations

import math
from pathlib import Path

import pytest
import torch
from torch import Tensor, nn

from nodes.sd.training_loop.loop import Batch, NotFiniteError, Training, adamw, cosine
from nodes.sd.training_loop.random_sources import RandomSources


def line() -> nn.Linear:
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(1)
        return nn.Linear(3, 1)


def training(module: nn.Module, file: Path, steps: int = 8, accumulate: int = 1) -> Training:
    rate = cosine(0.1, steps, warmup=2)
    return Training({"line": module}, file, steps=steps, rate=rate, seed=2, accumulate=accumulate)


def fit(module: nn.Module, draws: RandomSources) -> Tensor:
    x = torch.randn(4, 3, generator=draws.torch) * draws.python.random()
    loss: Tensor = (module(x) - x.sum(1, keepdim=True)).square().mean()
    return loss


def test_an_interrupted_training_gives_the_same_bits(tmp_path: Path) -> None:
    module = line()
    whole = training(module, tmp_path / "whole.pt")
    unbroken = [step.loss for step in whole.steps(lambda draws, _: fit(module, draws))]
    whole.save()
    last = module.weight.detach().clone()
    whole.finish()

    other = line()
    first = training(other, tmp_path / "broken.pt")
    broken = []
    for step in first.steps(lambda draws, _: fit(other, draws)):
        broken.append(step.loss)
        if step.number == 5:
            first.save()
        if step.number == 7:
            break  # steps 6 and 7 are lost
    third = line()
    second = training(third, tmp_path / "broken.pt")
    assert (second.done, second.is_finished) == (5, False)
    broken[5:] = [step.loss for step in second.steps(lambda draws, _: fit(third, draws))]
    second.finish()
    assert broken == unbroken
    assert torch.equal(module.weight, third.weight)
    # The result is the average, which differs from the weights of the last step.
    assert not torch.equal(module.weight, last)
    assert torch.equal(
        torch.load(tmp_path / "whole.pt", weights_only=True)["modules"]["line"]["weight"], last
    )


def test_samples_use_averaged_weights_and_training_continues_unaveraged(tmp_path: Path) -> None:
    module = line()
    trained = training(module, tmp_path / "x.pt")
    assert trained.average is not None
    for step in trained.steps(lambda draws, _: fit(module, draws)):
        if step.number == 4:
            own = module.weight.detach().clone()
            with trained.evaluation():
                assert torch.equal(module.weight, trained.average.mean[0])
                assert not torch.equal(module.weight, own)
            assert torch.equal(module.weight, own)


def accumulated(file: Path, batches: Tensor, accumulate: int) -> tuple[list[float], Tensor]:
    """Two steps of a vector towards some rows."""
    module = nn.ParameterDict({"vector": torch.zeros(3)})
    parts = iter(batches.chunk(2 * accumulate))
    run = training(module, file, steps=2, accumulate=accumulate)
    losses = [step.loss for step in run.steps(lambda *_: (next(parts) - module["vector"]).square().mean())]
    return losses, module["vector"].detach().clone()


def test_accumulated_batches_are_one_step_with_their_mean_gradient(tmp_path: Path) -> None:
    batches = torch.randn(8, 3, generator=torch.Generator().manual_seed(3))
    whole = accumulated(tmp_path / "1.pt", batches, 1)
    parts = accumulated(tmp_path / "4.pt", batches, 4)
    assert whole[0] == pytest.approx(parts[0])
    assert torch.allclose(whole[1], parts[1], atol=1e-6)


@pytest.mark.parametrize("value", [math.nan, math.inf])
def test_a_loss_that_is_not_finite_stops_with_the_last_good_weights(tmp_path: Path, value: float) -> None:
    module = line()
    run = training(module, tmp_path / "x.pt")
    steps = run.steps(lambda draws, place: fit(module, draws) * (1 if place.progress < 0.5 else value))
    for _ in range(4):
        next(steps)
    good = module.weight.detach().clone()
    with pytest.raises(NotFiniteError) as stopped:
        next(steps)
    assert stopped.value.step == 5
    assert torch.equal(module.weight, good)


def test_the_rate_rises_and_falls_and_each_module_has_its_own(tmp_path: Path) -> None:
    rate = cosine(0.1, 100, warmup=10)
    rates = [rate(step) for step in range(101)]
    assert rates[0] == pytest.approx(0.01)
    assert max(rates) == max(rates[8:12])
    assert rates[100] == pytest.approx(0)
    modules = {"fast": line(), "slow": line()}
    run = Training(
        modules, tmp_path / "x.pt", steps=1, rate=lambda step: 0.1, seed=0, rates={"slow": lambda step: 0.0},
        optimizer=adamw(weight_decay=0.0),
    )  # fmt: skip
    for _ in run.steps(lambda *_: sum((m.weight.sum() for m in modules.values()), torch.zeros(()))):
        pass
    assert torch.equal(modules["slow"].weight, line().weight)
    assert not torch.equal(modules["fast"].weight, line().weight)


def test_a_checkpoint_of_other_modules_is_refused(tmp_path: Path) -> None:
    training(line(), tmp_path / "x.pt").save()
    with pytest.raises(ValueError, match=r"x\.pt"):
        training(nn.Linear(4, 1), tmp_path / "x.pt")
    with pytest.raises(ValueError, match="line"):
        Training({"other": line()}, tmp_path / "x.pt", steps=1, rate=lambda step: 0.1, seed=0)


def test_a_gradient_that_overflows_is_computed_again_with_a_smaller_scale(tmp_path: Path) -> None:
    def vector() -> nn.ParameterDict:
        return nn.ParameterDict({"vector": torch.ones(3)})

    def run(module: nn.ParameterDict, scale: float, file: str) -> Training:
        def loss(draws: RandomSources, place: Batch) -> Tensor:
            noise = torch.randn(3, generator=draws.torch)
            half = (module["vector"] + noise).half()  # overflows in the gradient above 65504
            value: Tensor = (half.float() * 1e-3).square().mean() + (half * 4.0).float().mean()
            return value

        made = Training(
            {"x": module},
            tmp_path / file,
            steps=4,
            rate=lambda step: 0.1,
            seed=1,
            clip=None,
            loss_scale=scale,
        )
        for _ in made.steps(loss):
            pass
        return made

    plain, scaled = vector(), vector()
    run(plain, 1.0, "plain.pt")
    training = run(scaled, 2.0**20, "scaled.pt")
    assert 1 < training.loss_scale < 2.0**20
    assert torch.allclose(plain["vector"], scaled["vector"], atol=1e-6)
    training.save()
    assert run(vector(), 2.0**20, "scaled.pt").loss_scale == training.loss_scale
