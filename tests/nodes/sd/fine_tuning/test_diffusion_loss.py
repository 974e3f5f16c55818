"""The loss of a diffusion model: the noise that is added, the target, and the weights of noise levels."""

from __future__ import annotations

from typing import Any

import pytest
import torch
from diffusers import DDPMScheduler
from diffusers.training_utils import compute_snr
from torch import Tensor

from nodes.sd.fine_tuning.added_noise import Noise, NoiseSettings
from nodes.sd.fine_tuning.diffusion_loss import DiffusionLoss, LossSettings, Prediction
from nodes.sd.fine_tuning.prediction_error import Distance, HuberSchedule


def scheduler(prediction: str) -> Any:
    return DDPMScheduler(
        beta_start=0.00085, beta_end=0.012, beta_schedule="scaled_linear", prediction_type=prediction
    )


def drawn(seed: int = 1) -> tuple[Tensor, Noise]:
    generator = torch.Generator().manual_seed(seed)
    latents, noise = (torch.randn(5, 4, 6, 6, generator=generator) for _ in range(2))
    return latents, Noise(noise, noise, torch.tensor([0, 100, 500, 900, 999]))


def answer(noisy: Tensor, timesteps: Tensor) -> Tensor:
    """A network of no sense, whose answer depends on both."""
    return noisy.tanh() + timesteps[:, None, None, None] / 1000


def errors(prediction: str) -> Tensor:
    """The prediction minus its target, by diffusers' scheduler."""
    theirs, (latents, noise) = scheduler(prediction), drawn()
    predicted: Tensor = answer(theirs.add_noise(latents, noise.added, noise.timesteps), noise.timesteps)
    target: Tensor = {
        "epsilon": noise.target,
        "v_prediction": theirs.get_velocity(latents, noise.target, noise.timesteps),
        "sample": latents,
    }[prediction]
    return predicted - target


def ours(prediction: Prediction, settings: LossSettings) -> float:
    return float(
        DiffusionLoss(scheduler(prediction).alphas_cumprod, prediction, None, settings)(answer, *drawn())
    )


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction", "sample"])
@pytest.mark.parametrize("gamma", [0.0, 5.0])
def test_the_loss_is_that_of_diffusers_scripts(prediction: Prediction, gamma: float) -> None:
    each = errors(prediction).square().mean((1, 2, 3))
    if gamma:
        snr = compute_snr(scheduler(prediction), drawn()[1].timesteps)
        least = torch.stack([snr, gamma * torch.ones_like(snr)], 1).min(1)[0]
        each = each * {"epsilon": least / snr, "v_prediction": least / (snr + 1), "sample": least}[prediction]
    assert ours(prediction, LossSettings(min_snr=gamma)) == pytest.approx(float(each.mean()), rel=1e-5)


@pytest.mark.parametrize("prediction", ["epsilon", "v_prediction"])
def test_noise_levels_may_be_weighed_as_kohya_does(prediction: Prediction) -> None:
    each = errors(prediction).square().mean((1, 2, 3))
    snr = compute_snr(scheduler(prediction), drawn()[1].timesteps).clamp(max=1000)
    velocity = prediction == "v_prediction"
    debiased = float((each * (1 / (snr + 1) if velocity else 1 / snr.sqrt())).mean())
    assert ours(prediction, LossSettings(debiased=True)) == pytest.approx(debiased, rel=1e-5)
    scaled = float((each * (snr / (snr + 1) if velocity else 1)).mean())
    assert ours(prediction, LossSettings(velocity_as_noise=True)) == pytest.approx(scaled, rel=1e-5)


@pytest.mark.parametrize("schedule", ["snr", "exponential", "constant"])
@pytest.mark.parametrize("distance", ["huber", "smooth_l1"])
def test_outliers_may_count_less_as_in_kohya(distance: Distance, schedule: HuberSchedule) -> None:
    alphas, timesteps = scheduler("epsilon").alphas_cumprod, drawn()[1].timesteps
    sigma = ((1 - alphas[timesteps]) / alphas[timesteps]).sqrt()
    threshold = {
        "snr": (1 - 0.1) / (1 + sigma) ** 2 + 0.1,
        "exponential": 0.1 ** (timesteps / 1000),
        "constant": torch.full((5,), 0.1),
    }[schedule][:, None, None, None]
    found = 2 * ((errors("epsilon") ** 2 + threshold**2).sqrt() - threshold)
    expected = float((threshold * found if distance == "huber" else found).mean())
    settings = LossSettings(distance, schedule)
    assert ours("epsilon", settings) == pytest.approx(expected, rel=1e-5)


def test_errors_may_count_by_their_size() -> None:
    assert ours("epsilon", LossSettings("l1")) == pytest.approx(float(errors("epsilon").abs().mean()))


def test_a_mask_weighs_the_errors_of_its_cells() -> None:
    latents, noise = drawn()
    loss = DiffusionLoss(scheduler("epsilon").alphas_cumprod, "epsilon")
    left = torch.zeros(5, 1, 6, 6)
    left[..., :3] = 2.0
    whole = loss(answer, latents, noise)
    assert torch.allclose(loss(answer, latents, noise, torch.ones(5, 1, 6, 6)), whole)
    half = loss(answer, latents, noise, left)
    narrow = Noise(noise.target[..., :3], noise.added[..., :3], noise.timesteps)
    assert torch.allclose(half, loss(answer, latents[..., :3], narrow))
    assert not torch.allclose(half, whole)


def noise_of(settings: NoiseSettings, latents: Tensor) -> Noise:
    loss = DiffusionLoss(scheduler("epsilon").alphas_cumprod, "epsilon", settings)
    return loss.draw(latents, torch.Generator().manual_seed(1))


def test_noise_may_have_an_offset_for_each_channel() -> None:
    noise = noise_of(NoiseSettings(offset=3.0), torch.zeros(400, 4, 8, 8)).target
    assert float(noise.mean((2, 3)).std()) == pytest.approx(3.0, rel=0.1)
    assert float((noise - noise.mean((2, 3), keepdim=True)).std()) == pytest.approx(1.0, rel=0.05)


def test_the_offset_may_grow_with_the_mean_of_the_channel() -> None:
    latents = torch.zeros(400, 2, 8, 8)
    latents[:, 1] = -2.0
    means = noise_of(NoiseSettings(offset=0.5, adaptive_offset=1.0), latents).target.mean((2, 3))
    assert float(means[:, 0].std()) == pytest.approx((0.5**2 + 1 / 64) ** 0.5, rel=0.1)
    assert float(means[:, 1].std()) == pytest.approx((2.5**2 + 1 / 64) ** 0.5, rel=0.1)
    none = noise_of(NoiseSettings(offset=0.5, adaptive_offset=-1.0), latents).target.mean((2, 3))
    assert float(none[:, 1].std()) == pytest.approx(1 / 8, rel=0.1)  # a negative offset counts as none


def test_coarser_noise_makes_neighbours_alike_and_keeps_the_deviation() -> None:
    latents = torch.zeros(32, 4, 32, 32)

    def likeness(settings: NoiseSettings) -> float:
        noise = noise_of(settings, latents).target
        assert float(noise.std()) == pytest.approx(1.0, rel=0.02)
        return float((noise[..., 1:] * noise[..., :-1]).mean())

    assert abs(likeness(NoiseSettings())) < 0.02
    assert likeness(NoiseSettings(multires=0.3)) > 0.03
    assert likeness(NoiseSettings(multires=0.8)) > 0.3


def test_noise_may_be_added_to_the_input_only() -> None:
    noise = noise_of(NoiseSettings(perturbation=0.5), torch.zeros(50, 4, 8, 8))
    more = noise.added - noise.target
    assert float(more.std()) == pytest.approx(0.5, rel=0.05)
    assert abs(float((more * noise.target).mean())) < 0.02


def test_timesteps_are_drawn_from_the_range_and_spread_over_it() -> None:
    alphas = scheduler("epsilon").alphas_cumprod
    settings = NoiseSettings(first_timestep=250, last_timestep=253)
    assert set(noise_of(settings, torch.zeros(500, 1, 1, 1)).timesteps.tolist()) == {250, 251, 252, 253}
    assert DiffusionLoss(alphas, "epsilon", settings).spread_timesteps(4).tolist() == [250, 251, 252, 253]
    assert DiffusionLoss(alphas, "epsilon").spread_timesteps(4).tolist() == [125, 375, 625, 875]
    with pytest.raises(ValueError, match="no timesteps"):
        DiffusionLoss(alphas, "epsilon", NoiseSettings(first_timestep=9, last_timestep=8))
