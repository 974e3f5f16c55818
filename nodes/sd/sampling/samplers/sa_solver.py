"""SA-Solver (arXiv:2309.05019): a stochastic Adams predictor, corrected by the model's next prediction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import Floats
from nodes.sd.sampling.samplers.step import ANY_LEVEL, Denoise, Levels, Step

PREDICTOR_ORDER, CORRECTOR_ORDER = 3, 4


def sa_solver(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
    noisy_levels: Levels = ANY_LEVEL,
) -> Iterator[Step]:
    """SA-Solver with one model call a step (ComfyUI's "sa_solver").

    The predictor has order 3, the corrector order 4. Both are lower in the first steps, and in the last ones
    if the schedule ends at 0.
    """
    return _sa_solver(denoise, x, sigmas, noise, eta, noise_scale, noisy_levels, evaluates_again=False)


def sa_solver_pece(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
    noisy_levels: Levels = ANY_LEVEL,
) -> Iterator[Step]:
    """`sa_solver` with the model asked again after each correction (ComfyUI's "sa_solver_pece")."""
    return _sa_solver(denoise, x, sigmas, noise, eta, noise_scale, noisy_levels, evaluates_again=True)


def _sa_solver(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    eta: float,
    noise_scale: float,
    noisy_levels: Levels,
    *,
    evaluates_again: bool,
) -> Iterator[Step]:
    """The steps. `eta` is tau of the paper in steps to a level within `noisy_levels`, and 0 in others."""
    logs = -sigmas.double().log().numpy()
    total = len(sigmas) - 1
    seen: list[Tensor] = []
    predicted, tau, added = x, 0.0, torch.zeros_like(x)
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(predicted, sigma)
        seen = [*seen, x0][-CORRECTOR_ORDER:]
        if i == 0 or (target == 0 and not evaluates_again):
            x = predicted
        else:
            order = min(CORRECTOR_ORDER, len(seen))
            if sigmas[-1] == 0:
                order = min(order, total - i)
            x = _advanced(x, seen[-order:], logs, i + 1 - order, i - 1, tau) + added
            if evaluates_again:
                x0 = denoise(x, sigma)
                seen[-1] = x0
        if target == 0:
            predicted = x0
        else:
            tau = eta if noisy_levels.low <= float(target) <= noisy_levels.high else 0.0
            order = min(PREDICTOR_ORDER, len(seen))
            if sigmas[-1] == 0:
                order = min(order, total - 1 - i)
            added = torch.zeros_like(x)
            if noise is not None and tau > 0:
                spread = np.sqrt(-np.expm1(-2 * tau**2 * (logs[i + 1] - logs[i])))
                added = noise.like(x) * (float(target) * float(spread) * noise_scale)
            predicted = _advanced(x, seen[-order:], logs, i + 1 - order, i, tau) + added
        yield Step(i, predicted, x0)


def _advanced(x: Tensor, answers: list[Tensor], logs: Floats, first: int, i: int, tau: float) -> Tensor:
    """x taken over step `i` by a polynomial through answers, without noise (equations 14 and 17).

    Args:
        x: at the level before the step.
        answers: the model's answers at consecutive levels.
        logs: -log sigma of the levels.
        first: the number of the level of the first answer.
        i: the number of the step.
        tau: how strong the noise is.
    """
    start, end = logs[i], logs[i + 1]
    places = logs[first : first + len(answers)]
    result = float(np.exp(start - end) * np.exp(-(tau**2) * (end - start))) * x
    for weight, answer in zip(_weights(places - end, start - end, 1 + tau**2), answers, strict=True):
        result = result + float(weight) * answer
    return result


def _weights(places: Floats, start: float, rate: float) -> Floats:
    """The weights of the predictions: their Lagrange polynomials, integrated with rate * exp(rate * place) to
    0."""
    powers = np.arange(len(places))
    integrals = np.empty(len(places))
    for power in powers:  # integration by parts
        before = integrals[power - 1] * power / rate if power else 0.0
        integrals[power] = 0.0**power - start**power * np.exp(rate * start) - before
    return np.asarray(np.linalg.solve(np.vander(places, increasing=True).T, integrals))
