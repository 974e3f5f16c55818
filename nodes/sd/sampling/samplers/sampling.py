"""Sampling: the start from noise, and the steps of a sampler."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import torch
from torch import Tensor

from nodes.sd.not_finite import NotFinite
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers import flow
from nodes.sd.sampling.samplers.step import Denoise, Step
from nodes.sd.sampling.samplers.table import DEFAULTS, SamplerSettings, known, needs_noise
from nodes.sd.sampling.tables import Table


def start(
    noise: Tensor,
    sigmas: Tensor,
    latent: Tensor | None = None,
    *,
    unit_variance: bool = False,
    table: Table | None = None,
) -> Tensor:
    """Make the start of sampling: noise at the schedule's first level, added to a given latent for img2img.

    Args:
        noise: standard normal noise.
        sigmas: the levels of the schedule.
        latent: a given picture.
        unit_variance: scale the noise to sqrt(1 + sigma^2), so that the model sees a variance of exactly 1
            (ComfyUI at full strength, A1111's "SGM noise multiplier"). A1111 scales it to sigma. It has no
            effect on models that learned a flow.
        table: the noise levels of the model; None for those of a diffusion model.
    """
    if table is not None and table.is_flow:
        return noise * sigmas[0] if latent is None else table.noised(latent, noise, sigmas[0])
    scaled = noise * ((1 + sigmas[0] ** 2) ** 0.5 if unit_variance else sigmas[0])
    return scaled if latent is None else latent + scaled


def sample(
    name: str,
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None = None,
    settings: SamplerSettings = DEFAULTS,
    table: Table | None = None,
) -> Iterator[Step]:
    """Sample a latent along a schedule, step by step; stop iterating to cancel.

    Args:
        name: one of `SAMPLERS`.
        denoise: the model.
        x: [batch, channels, height, width] at noise level `sigmas[0]`; see `start`.
        sigmas: [steps + 1] on the CPU, falling, the last one mostly 0.
        noise: the noise of stochastic samplers; other samplers do not use it.
        settings: settings that the sampler does not have are ignored; see `unused_settings`.
        table: the noise levels of the model; None for those of a diffusion model.

    Raises:
        ValueError: at once, if the name is unknown, the sigmas do not fall, noise is missing, or the sampler
            cannot run on a model that learned a flow.
        NotFinite: a step gives NaN or infinity; on accelerators, raised after the last step.
    """
    sampler = known(name)
    if sigmas.ndim != 1 or len(sigmas) < 2 or not bool((sigmas[1:] < sigmas[:-1]).all()):
        raise ValueError("A sampler needs at least two sigmas, each below the one before it.")
    if noise is None and needs_noise(name, settings):
        raise ValueError(f"The sampler {name!r} adds noise between its steps. Give it a noise source.")
    given: dict[str, Any] = {}
    if sampler.eta is not None:
        given["eta"] = sampler.eta if settings.eta is None else settings.eta
    if sampler.scales_noise:
        given["noise_scale"] = settings.noise_scale
    if sampler.churns:
        given["churn"] = settings.churn
    if sampler.noise_in_the_middle:
        given["noisy_levels"] = settings.noisy_levels
    if table is None or not table.is_flow:
        return _finite(sampler.run(denoise, x, sigmas, noise, **given))
    _check_flow(name, settings)
    if sampler.flow == "ratios":
        return _finite(flow.in_ratios(sampler.run, denoise, x, sigmas, noise, table, given))
    if sampler.flow == "own":
        given["flow"] = True
    return _finite(sampler.run(denoise, x, sigmas, noise, **given))


def _check_flow(name: str, settings: SamplerSettings) -> None:
    """Check that a sampler can run on a model that learned a flow.

    Raises:
        ValueError: it adds noise by a rule for diffusion models, or ends at the lowest level instead of 0,
            which leaves noise in the picture of a flow.
    """
    sampler = known(name)
    if sampler.flow == "none":
        raise ValueError(
            f"The sampler {name} is for diffusion models, and this model learned a flow. Choose another, such"
            " as euler, dpmpp_2m or euler_ancestral."
        )
    if sampler.churns and settings.churn.amount > 0:
        raise ValueError("Churn is for diffusion models, and this model learned a flow. Set `churn` to 0.")


def _finite(steps: Iterator[Step]) -> Iterator[Step]:
    last: Step | None = None
    for last in steps:
        if last.x.device.type == "cpu":
            _require_finite(last)
        yield last
    # On other devices only the last step is checked: reading a value back makes them wait.
    if last is not None and last.x.device.type != "cpu":
        _require_finite(last)


def _require_finite(step: Step) -> None:
    if not torch.isfinite(step.x).all():
        raise NotFinite(
            "Sampling ended in NaN or infinity. Lower the guidance or the weights of LoRAs; in half"
            " precision, set `dtype` to float32. If it stays, the weights of the model are unusable."
        )
