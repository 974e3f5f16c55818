"""Samplers and schedules on models that learned a flow."""

from __future__ import annotations

from collections.abc import Callable
from itertools import pairwise
from typing import Any

import numpy as np
import pytest
import torch
from torch import Tensor

from nodes.sd.families.family import Flow
from nodes.sd.sampling.flow_table import FlowTable
from nodes.sd.sampling.inpainting import MaskedDenoiser
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers import SAMPLERS, Churn, SamplerSettings, sample, start
from nodes.sd.sampling.schedules import DIFFUSION_ONLY, SCHEDULES, schedule

SHIFT, SEED = 3.0, 5
TABLE = FlowTable(Flow(SHIFT))
SPREAD = 0.6
"""The standard deviation of the clean latents that `Gaussian` has learned."""
EVERY = [name for name, sampler in SAMPLERS.items() if sampler.flow != "none"]


class Gaussian:
    """The exact model of clean latents that are normally distributed around 0."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        signal = (1 - sigma) * SPREAD**2
        return x * signal / ((1 - sigma) * signal + sigma**2)

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        clean = self(x, sigma)
        return clean, clean


class Bent(Gaussian):
    """A model that is not linear, so that no term of a formula can hide."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return torch.tanh(x / (1 + sigma)) + 0.1 * torch.sin(3 * x)


def noise(*shape: int) -> Tensor:
    return NoiseSource(3).draw(shape)


def last(name: str, model: Gaussian, x: Tensor, sigmas: Tensor, **settings: Any) -> Tensor:
    source = NoiseSource(SEED, len(x))
    *_, step = sample(name, model, x, sigmas, source, SamplerSettings(**settings), TABLE)
    return step.x


@pytest.mark.parametrize("name", [name for name in EVERY if name != "lcm"])
def test_a_sampler_draws_the_distribution_that_the_model_has_learned(name: str) -> None:
    """By the rules of diffusion models, samplers with noise give deviations that are 40 % too large."""
    sigmas = schedule("kl_optimal", 50, TABLE).sigmas
    x = noise(4, 24, 24)
    result = last(name, Gaussian(), x / x.std(), sigmas)
    assert float(result.std()) == pytest.approx(SPREAD, rel=0.06)


@pytest.mark.parametrize("name", [name for name in EVERY if SAMPLERS[name].flow == "levels"])
def test_a_sampler_without_noise_follows_the_flow(name: str) -> None:
    """The exact flow multiplies by the ratio of the standard deviations."""
    sigmas = schedule("kl_optimal", 40, TABLE).sigmas.double()
    x = noise(2, 8, 8).double()
    result = last(name, Gaussian(), x * sigmas[0], sigmas)
    torch.testing.assert_close(result, x * SPREAD, rtol=0.05, atol=0.01)


Formula = Callable[[Gaussian, Tensor, Tensor, NoiseSource], Tensor]


def _euler_ancestral(model: Gaussian, x: Tensor, sigmas: Tensor, source: NoiseSource) -> Tensor:
    for sigma, target in pairwise(sigmas):
        clean = model(x, sigma)
        if target == 0:
            return clean
        down = target * target / sigma
        x = down / sigma * x + (1 - down / sigma) * clean
        x = _renoised(x, target, down, source)
    return x


def _dpm2_ancestral(model: Gaussian, x: Tensor, sigmas: Tensor, source: NoiseSource) -> Tensor:
    for sigma, target in pairwise(sigmas):
        clean = model(x, sigma)
        if target == 0:
            return clean
        slope = (x - clean) / sigma
        down = target * target / sigma
        middle = torch.exp((sigma.log() + down.log()) / 2)
        halfway = x + slope * (middle - sigma)
        x = x + (halfway - model(halfway, middle)) / middle * (down - sigma)
        x = _renoised(x, target, down, source)
    return x


def _dpmpp_2s_ancestral(model: Gaussian, x: Tensor, sigmas: Tensor, source: NoiseSource) -> Tensor:
    for sigma, target in pairwise(sigmas):
        clean = model(x, sigma)
        if target == 0:
            return clean
        down = target * target / sigma
        middle = torch.tensor(0.9999, dtype=x.dtype)
        if sigma < 1:
            first, second = (((1 - level) / level).log() for level in (sigma, down))
            middle = 1 / (1 + ((first + second) / 2).exp())
        halfway = middle / sigma * x + (1 - middle / sigma) * clean
        x = down / sigma * x + (1 - down / sigma) * model(halfway, middle)
        x = _renoised(x, target, down, source)
    return x


def _renoised(x: Tensor, target: Tensor, down: Tensor, source: NoiseSource) -> Tensor:
    keep = (1 - target) / (1 - down)
    return keep * x + source.like(x) * (target**2 - down**2 * keep**2) ** 0.5


def _dpmpp_2m_sde(model: Gaussian, x: Tensor, sigmas: Tensor, source: NoiseSource) -> Tensor:
    """ComfyUI's, in half the log of the signal-to-noise ratio, with eta 1."""
    sigmas = sigmas.clone()
    sigmas[0] = SHIFT * 0.9999 / (1 + (SHIFT - 1) * 0.9999)
    between = source.between(x, sigmas)
    before, h_before = x, torch.zeros(())
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        clean = model(x, sigma)
        if target == 0:
            return clean
        h = ((1 - target) / target).log() - ((1 - sigma) / sigma).log()
        signal = (1 - target) * -torch.expm1(-2 * h)
        moved = target / sigma * torch.exp(-h) * x + signal * clean
        if i:
            moved = moved + 0.5 * signal * h / h_before * (clean - before)
        x = moved + between(sigma, target) * target * (-torch.expm1(-2 * h)) ** 0.5
        before, h_before = clean, h
    return x


FORMULAS: dict[str, Formula] = {
    "euler_ancestral": _euler_ancestral,
    "dpm2_ancestral": _dpm2_ancestral,
    "dpmpp_2s_ancestral": _dpmpp_2s_ancestral,
    "dpmpp_2m_sde": _dpmpp_2m_sde,
}


@pytest.mark.parametrize("name", FORMULAS)
def test_a_sampler_with_noise_takes_the_steps_of_comfyui(name: str) -> None:
    sigmas = schedule("simple", 8, TABLE).sigmas.double()
    x = noise(2, 4, 4).double()
    expected = FORMULAS[name](Bent(), x, sigmas, NoiseSource(SEED))
    torch.testing.assert_close(last(name, Bent(), x, sigmas), expected, rtol=1e-6, atol=1e-6)


def test_a_sampler_can_stop_and_another_go_on() -> None:
    """The noise of the level stays in the latent, also for a sampler that runs on ratios."""
    sigmas = schedule("simple", 8, TABLE).sigmas.double()
    x = noise(2, 8, 8).double()
    for name in ("euler", "lcm", "ddim"):
        middle = last(name, Gaussian(), x, sigmas[:5])
        rest = last("euler", Gaussian(), middle, sigmas[4:])
        expected = (((1 - sigmas[4]) * SPREAD) ** 2 + sigmas[4] ** 2) ** 0.5
        assert float(middle.std()) == pytest.approx(float(expected), rel=0.25), name
        assert torch.isfinite(rest).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("restart", {}),
        ("euler", {"churn": Churn(5.0)}),
        ("dpm_fast", {"eta": 1.0}),
        ("heun", {"churn": Churn(5.0)}),
    ],
)
def test_a_sampler_that_would_add_noise_by_another_rule_is_refused(
    name: str, settings: dict[str, Any]
) -> None:
    with pytest.raises(ValueError, match="flow"):
        last(name, Gaussian(), noise(1, 4, 4), schedule("simple", 4, TABLE).sigmas, **settings)


def shifted(times: list[float]) -> list[float]:
    return [SHIFT * t / (1 + (SHIFT - 1) * t) for t in times]


LOWEST = 0.003 / 1.002
"""The lowest level, which ComfyUI takes for a time."""


@pytest.mark.parametrize(
    ("name", "times"),
    [
        ("simple", [1.0, 0.75, 0.5, 0.25]),
        ("normal", np.linspace(1, LOWEST, 4).tolist()),
        ("sgm_uniform", np.linspace(1, LOWEST, 5)[:-1].tolist()),
        ("ddim_uniform", [0.752, 0.502, 0.252, 0.002]),
    ],
)
def test_a_schedule_has_the_levels_of_comfyui(name: str, times: list[float]) -> None:
    plan = schedule(name, 4, TABLE)
    np.testing.assert_allclose(plan.sigmas.numpy(), [*shifted(times), 0], rtol=1e-6)
    np.testing.assert_allclose(plan.timesteps.numpy(), plan.sigmas.numpy()[:-1] * 1000, rtol=1e-6)


@pytest.mark.parametrize("name", SCHEDULES)
def test_every_schedule_falls_within_the_levels_of_the_model_or_is_refused(name: str) -> None:
    if name in DIFFUSION_ONLY:
        with pytest.raises(ValueError, match="flow"):
            schedule(name, 8, TABLE)
        return
    sigmas = schedule(name, 8, TABLE).sigmas
    assert bool((sigmas[1:] < sigmas[:-1]).all())
    assert float(sigmas[0]) <= 1
    assert float(sigmas[-1]) >= 0


def test_noise_replaces_a_given_latent_by_its_level() -> None:
    given, fresh = noise(2, 4, 4) + 3, noise(2, 4, 4)
    sigmas = schedule("simple", 4, TABLE).sigmas[2:]
    expected = 0.25 * given + 0.75 * fresh  # the time 0.5 has the level 0.75
    torch.testing.assert_close(start(fresh, sigmas, given, table=TABLE), expected)
    assert torch.equal(start(fresh, torch.tensor([1.0]), table=TABLE, unit_variance=True), fresh)


def test_inpainting_shows_the_kept_part_with_the_noise_of_its_level() -> None:
    given, fresh = noise(2, 4, 4), NoiseSource(9).draw((2, 4, 4))
    mask = torch.zeros(1, 1, 4, 4)
    mask[..., 2:] = 1
    seen: list[Tensor] = []

    class Watched(Gaussian):
        def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
            seen.append(x)
            return super().__call__(x, sigma)

    denoiser = MaskedDenoiser(Watched(), given, mask, TABLE, fresh)
    sigmas = schedule("simple", 4, TABLE).sigmas
    *_, step = sample("euler", denoiser, fresh, sigmas, table=TABLE)
    torch.testing.assert_close(step.x[..., :2], given[..., :2])
    for x, sigma in zip(seen, sigmas[:-1], strict=True):
        expected = (1 - sigma) * given + sigma * fresh
        torch.testing.assert_close(x[..., :2], expected[..., :2])
