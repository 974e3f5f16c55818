"""The loss of a flow: the levels that are drawn, the mixture, the target and the weights of levels."""

from __future__ import annotations

import math
from typing import Any, get_args

import pytest
import torch
from diffusers import FlowMatchEulerDiscreteScheduler
from diffusers.training_utils import compute_density_for_timestep_sampling, compute_loss_weighting_for_sd3
from torch import Tensor

from nodes.sd.families.family import Flow
from nodes.sd.fine_tuning.added_noise import Noise, NoiseSettings
from nodes.sd.fine_tuning.flow_loss import FlowLoss, LevelSettings, Weighting
from nodes.sd.fine_tuning.prediction_error import Distance, ErrorSettings
from nodes.sd.sampling.flow_table import FlowTable

LATENTS = torch.randn(5, 16, 4, 6, generator=torch.Generator().manual_seed(1))
WEIGHTINGS: tuple[Weighting, ...] = get_args(Weighting)


def sigmas(shift: float = 3.0) -> Tensor:
    return torch.from_numpy(FlowTable(Flow(shift)).sigmas)


def answer(noisy: Tensor, timesteps: Tensor) -> Tensor:
    """A network of no sense, whose answer depends on both."""
    return noisy.tanh() + timesteps[:, None, None, None] / 1000


def levels_of(scheduler: Any, timesteps: Tensor) -> Tensor:
    """The sigmas of timesteps, looked up as diffusers' script does."""
    places = [(scheduler.timesteps == timestep).nonzero().item() for timestep in timesteps]
    found: Tensor = scheduler.sigmas[places].flatten()[:, None, None, None]
    return found


@pytest.mark.parametrize("shift", [1.0, 3.0])
@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_levels_and_losses_are_those_of_diffusers_script(weighting: Weighting, shift: float) -> None:
    mean, std, scale = 0.3, 0.8, 1.1
    scheduler: Any = FlowMatchEulerDiscreteScheduler(shift=shift)
    generator = torch.Generator().manual_seed(7)
    noise = torch.randn(LATENTS.shape, generator=generator)
    places = compute_density_for_timestep_sampling(weighting, 5, mean, std, scale, generator=generator)
    timesteps = scheduler.timesteps[(places * 1000).long()]
    levels = levels_of(scheduler, timesteps)
    error = answer((1.0 - levels) * LATENTS + levels * noise, timesteps) - (noise - LATENTS)
    weights = compute_loss_weighting_for_sd3(weighting, levels)
    expected = (weights * error**2).reshape(5, -1).mean(1).mean()

    loss = FlowLoss(sigmas(shift), levels=LevelSettings(weighting, mean, std, scale))
    drawn = loss.draw(LATENTS, torch.Generator().manual_seed(7))
    assert torch.equal(drawn.target, noise)
    assert torch.equal(sigmas(shift)[drawn.timesteps], levels.flatten())
    assert float(loss(answer, LATENTS, drawn)) == pytest.approx(float(expected), rel=1e-6)


@pytest.mark.parametrize("schedule", ["exponential", "constant"])
@pytest.mark.parametrize("distance", get_args(Distance))
def test_outliers_may_count_less_as_in_kohya(distance: Distance, schedule: Any) -> None:
    noise = Noise(LATENTS.flip(0), LATENTS.flip(0), torch.tensor([0, 99, 499, 899, 999]))
    levels = sigmas()[noise.timesteps][:, None, None, None]
    mixed = (1 - levels) * LATENTS + levels * noise.target
    error = answer(mixed, levels.flatten() * 1000) - (noise.target - LATENTS)
    threshold = 0.1**levels if schedule == "exponential" else torch.full_like(levels, 0.1)
    root = 2 * ((error**2 + threshold**2).sqrt() - threshold)
    expected = {"l2": error**2, "l1": error.abs(), "huber": threshold * root, "smooth_l1": root}[distance]
    loss = FlowLoss(sigmas(), errors=ErrorSettings(distance, schedule))
    assert float(loss(answer, LATENTS, noise)) == pytest.approx(float(expected.mean()), rel=1e-5)


@pytest.mark.parametrize("distance", ["huber", "smooth_l1"])
def test_a_threshold_by_the_signal_to_noise_ratio_is_refused(distance: Distance) -> None:
    with pytest.raises(ValueError, match="not defined for a flow"):
        FlowLoss(sigmas(), errors=ErrorSettings(distance))


@pytest.mark.parametrize("weighting", WEIGHTINGS)
def test_levels_are_drawn_from_the_range_and_prefer_what_the_scheme_says(weighting: Weighting) -> None:
    def drawn(**more: Any) -> Tensor:
        settings = NoiseSettings(first_timestep=200, last_timestep=599)
        loss = FlowLoss(sigmas(), settings, levels=LevelSettings(weighting, **more))
        return loss.draw(torch.zeros(4000, 1, 1, 1), torch.Generator().manual_seed(1)).timesteps

    found = drawn()
    assert (int(found.min()), int(found.max())) >= (200, 590)
    assert int(found.max()) <= 599
    middle = float(((found >= 300) & (found < 500)).float().mean())
    if weighting in ("logit_normal", "mode"):
        assert middle > 0.55
    else:
        assert middle == pytest.approx(0.5, abs=0.03)
    if weighting == "logit_normal":
        assert drawn(logit_mean=1.0).float().mean() < found.float().mean() - 30, "less noise"
        assert drawn(logit_std=0.1).float().std() < found.float().std() / 3


def test_the_ends_of_the_range_are_reached_and_never_left() -> None:
    loss = FlowLoss(sigmas(), levels=LevelSettings(logit_std=50.0))
    drawn = loss.draw(torch.zeros(500, 1, 1, 1), torch.Generator().manual_seed(1)).timesteps
    assert (int(drawn.min()), int(drawn.max())) == (0, 999)
    assert loss.spread_timesteps(4).tolist() == [125, 375, 625, 875]
    with pytest.raises(ValueError, match="no timesteps"):
        FlowLoss(sigmas(), NoiseSettings(first_timestep=9, last_timestep=8))


def test_a_mask_weighs_errors_and_noise_may_be_added_to_the_input_only() -> None:
    noise = Noise(LATENTS.flip(0), LATENTS.flip(0), torch.tensor([0, 99, 499, 899, 999]))
    left = torch.zeros(5, 1, 4, 6)
    left[..., :3] = 2.0
    loss = FlowLoss(sigmas())
    narrow = Noise(noise.target[..., :3], noise.added[..., :3], noise.timesteps)
    assert torch.allclose(loss(answer, LATENTS, noise, left), loss(answer, LATENTS[..., :3], narrow))
    seen: list[Tensor] = []

    def kept(noisy: Tensor, timesteps: Tensor) -> Tensor:
        seen.append(noisy)
        return noisy

    perturbed = FlowLoss(sigmas(), NoiseSettings(perturbation=0.5))
    drawn = perturbed.draw(LATENTS, torch.Generator().manual_seed(1))
    perturbed(kept, LATENTS, drawn)
    levels = sigmas()[drawn.timesteps][:, None, None, None]
    assert torch.allclose(seen[0], (1 - levels) * LATENTS + levels * drawn.added)
    assert float((drawn.added - drawn.target).std()) == pytest.approx(0.5, abs=0.05)


def test_the_weights_of_levels_are_those_of_the_paper() -> None:
    level = torch.tensor([0.25])
    assert LevelSettings("sigma_sqrt").weights(level) == torch.tensor([16.0])
    assert LevelSettings("cosmap").weights(level) == pytest.approx(2 / (math.pi * 0.625))
    assert LevelSettings("mode").weights(level) is None
