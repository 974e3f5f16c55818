"""Linear multistep samplers: a polynomial through the last slopes of the probability flow, integrated.

All take one model call a step, and follow dx/dsigma = (x - D(x, sigma)) / sigma.
"""

from __future__ import annotations

import math
from collections import deque
from collections.abc import Callable, Iterator
from itertools import pairwise

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.polynomial import polyfromroots
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.noise_table import Floats
from nodes.sd.sampling.samplers.step import Denoise, Step

ADAMS_BASHFORTH = (
    (1.0,),
    (3 / 2, -1 / 2),
    (23 / 12, -16 / 12, 5 / 12),
    (55 / 24, -59 / 24, 37 / 24, -9 / 24),
)
"""The weights of the last slopes for steps of equal length, newest first."""
Weights = Callable[[Floats, int, int], Floats]
"""Takes the levels, the step number and the number of known slopes; returns their weights, newest first."""


def lms(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """A polynomial in sigma through the last four slopes, integrated over the step (k-diffusion)."""
    return _multistep(denoise, x, sigmas, 4, _lagrange_in_sigma)


def ipndm(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Adams-Bashforth of order 4 as if all steps were equally long (arXiv:2202.09778, ComfyUI's "ipndm").

    A last step down to 0 is of first order.
    """
    return _multistep(denoise, x, sigmas, 4, _equal_steps, euler_at_end=True)


def ipndm_v(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """`ipndm` with weights that depend on the lengths of the steps (ComfyUI's "ipndm_v").

    The weights are those of ComfyUI and of the code that it follows (zju-pi/diff-sampler). From order 3 on
    they are Adams-Bashforth's only where all steps are equally long.
    """
    return _multistep(denoise, x, sigmas, 4, _variable_steps, euler_at_end=True)


def deis(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """A polynomial in time through the last three slopes, integrated over sigma (arXiv:2204.13902, tAB-DEIS).

    Time is that of the variance-preserving diffusion that runs from sigma 0.002 to 80, as in ComfyUI. A last
    step down to 0 is of first order.
    """
    return _multistep(denoise, x, sigmas, 3, _lagrange_in_time, euler_at_end=True)


def plms(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Pseudo linear multistep (arXiv:2202.09778, A1111's PLMS).

    `ipndm`, but the first step averages two slopes, which takes two model calls. A1111 uses the schedule
    `ddim_a1111`.
    """
    slopes: deque[Tensor] = deque(maxlen=4)
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        slopes.appendleft((x - x0) / sigma)
        if i == 0 and target > 0:
            ahead = x + slopes[0] * (target - sigma)
            slope = (slopes[0] + (ahead - denoise(ahead, target)) / target) / 2
        else:
            slope = _sum(ADAMS_BASHFORTH[len(slopes) - 1], slopes)
        x = x + slope * (target - sigma)
        yield Step(i, x, x0)


def _multistep(
    denoise: Denoise, x: Tensor, sigmas: Tensor, order: int, weights: Weights, *, euler_at_end: bool = False
) -> Iterator[Step]:
    levels = sigmas.double().numpy()
    slopes: deque[Tensor] = deque(maxlen=order)
    for i, sigma in enumerate(sigmas[:-1]):
        x0 = denoise(x, sigma)
        slopes.appendleft((x - x0) / sigma)
        if euler_at_end and sigmas[i + 1] == 0:
            x = x0
        else:
            x = x + _sum(weights(levels, i, len(slopes)), slopes)
        yield Step(i, x, x0)


def _sum(weights: Floats | tuple[float, ...], slopes: deque[Tensor]) -> Tensor:
    total = float(weights[0]) * slopes[0]
    for weight, slope in zip(weights[1:], list(slopes)[1:], strict=False):
        total = total + float(weight) * slope
    return total


def _equal_steps(levels: Floats, i: int, known: int) -> Floats:
    return np.asarray(np.array(ADAMS_BASHFORTH[known - 1]) * (levels[i + 1] - levels[i]))


def _lagrange_in_sigma(levels: Floats, i: int, known: int) -> Floats:
    places = levels[i - known + 1 : i + 1][::-1] - levels[i]  # powers of numbers near 0 keep their digits
    weights = []
    for j in range(known):
        others = np.delete(places, j)
        basis = Polynomial(polyfromroots(others)) / np.prod(places[j] - others)
        weights.append(basis.integ()(levels[i + 1] - levels[i]))
    return np.array(weights)


def _variable_steps(levels: Floats, i: int, known: int) -> Floats:
    steps = np.diff(levels)[max(i - 3, 0) : i + 1][::-1]
    h = steps[0]
    if known == 1:
        return np.array([h])
    h1 = steps[1]
    ratio = h / h1
    weights = np.array([1 + ratio / 2, -ratio / 2, 0.0, 0.0])
    if known > 2:
        h2 = steps[2]
        third = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
        weights += third * np.array([1, -(1 + h1 / h2), h1 / h2, 0])
    if known > 3:
        h3 = steps[3]
        fourth = (1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))
        fourth *= (h * (h + h1) * (h + h1 + h2)) / (h1 * (h1 + h2) * (h1 + h2 + h3))
        a, b = h1 / h2, h1 * (h1 + h2) / (h2 * (h2 + h3))
        weights += fourth * np.array([1, -(1 + a + b), a + b * (1 + h2 / h3), -b * h1 / h2])
    return np.asarray(weights[:known] * h)


_GAUSS_POINTS, _GAUSS_MASSES = np.polynomial.legendre.leggauss(24)
_TIME_END, _SIGMA_LOW, _SIGMA_HIGH = 1e-3, 0.002, 80.0
_LOG_LOW, _LOG_HIGH = math.log(_SIGMA_LOW**2 + 1), math.log(_SIGMA_HIGH**2 + 1)
_BETA_RISE = 2 * (_LOG_LOW / _TIME_END - _LOG_HIGH) / (_TIME_END - 1)
_BETA_START = _LOG_HIGH - _BETA_RISE / 2


def _lagrange_in_time(levels: Floats, i: int, known: int) -> Floats:
    places = _time(levels[i - known + 1 : i + 1][::-1])
    middle, half = (levels[i + 1] + levels[i]) / 2, (levels[i + 1] - levels[i]) / 2
    times = _time(middle + half * _GAUSS_POINTS)
    weights = []
    for j in range(known):
        others = np.delete(places, j)
        basis = np.prod((times[:, None] - others) / (places[j] - others), axis=1)
        weights.append(half * float(basis @ _GAUSS_MASSES))
    return np.array(weights)


def _time(sigmas: Floats) -> Floats:
    """The time at which the diffusion reaches a level; its noise rate rises linearly."""
    root = np.sqrt(_BETA_START**2 + 2 * _BETA_RISE * np.log(1 + sigmas**2))
    return np.asarray((root - _BETA_START) / _BETA_RISE)
