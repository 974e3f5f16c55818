"""Runs the samplers of diffusion models on models that learned a flow.

A latent of such a model is `x = (1 - sigma) * clean + sigma * noise`. Divided by `1 - sigma` it has the form
that samplers expect, `clean + ratio * noise` with `ratio = sigma / (1 - sigma)`. In this form, samplers that
add noise take the same steps as ComfyUI's, which compute with half the log of the signal-to-noise ratio.
"""

from __future__ import annotations

from collections.abc import Callable, Iterator
from typing import Any

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import Denoise, Levels, Step, both
from nodes.sd.sampling.tables import Table

OFFSET = 1e-4
"""The share of the training steps at which sampling begins instead of at noise alone, whose ratio is
infinite; as `offset_first_sigma_for_snr` in ComfyUI."""


class RatioForm:
    """The levels of a schedule as ratios of noise to signal, and the model in that form.

    Args:
        denoise: the model, which takes x and sigma.
        sigmas: [steps + 1], falling, from at most 1.
        table: the noise levels of the model.
    """

    def __init__(self, denoise: Denoise, sigmas: Tensor, table: Table) -> None:
        self._denoise = denoise
        self.sigmas = sigmas.clone()
        if sigmas[0] >= 1:
            self.sigmas[0] = table.level_after(OFFSET)
        self.ratios = ratio(self.sigmas)

    def __call__(self, y: Tensor, level: Tensor) -> Tensor:
        """The clean latent in y = x / (1 - sigma)."""
        sigma = self.sigma(level)
        return self._denoise(y * (1 - sigma), sigma)

    def both(self, y: Tensor, level: Tensor) -> tuple[Tensor, Tensor]:
        """The clean latents with guidance and with the negative prompt alone."""
        sigma = self.sigma(level)
        return both(self._denoise, y * (1 - sigma), sigma)

    def sigma(self, levels: Tensor) -> Tensor:
        """The sigmas of ratios; those of the schedule exactly, so that each belongs to its step."""
        found = (levels.double() / (1 + levels.double())).to(self.sigmas)
        own = levels[..., None] == self.ratios
        return torch.where(own.any(-1), self.sigmas[own.int().argmax(-1)], found)


def ratio(sigmas: Tensor) -> Tensor:
    """The ratio of noise to signal at some levels below 1, in their dtype."""
    return (sigmas.double() / (1 - sigmas.double())).to(sigmas)


def in_ratios(
    run: Callable[..., Iterator[Step]],
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    table: Table,
    given: dict[str, Any],
) -> Iterator[Step]:
    """Run a sampler of diffusion models, one step for each level, on a model that learned a flow."""
    form = RatioForm(denoise, sigmas, table)
    if "noisy_levels" in given:
        given = {**given, "noisy_levels": Levels(*map(_ratio, given["noisy_levels"]))}
    source = None if noise is None else noise.on_path(form.sigma)
    steps = run(form, x / (1 - form.sigmas[0]), form.ratios, source, **given)
    for step, target in zip(steps, form.sigmas[1:], strict=True):
        yield step._replace(x=step.x * (1 - target))


def _ratio(sigma: float) -> float:
    return sigma / (1 - sigma) if sigma < 1 else float("inf")
