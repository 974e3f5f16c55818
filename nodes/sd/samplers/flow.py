"""Samplers that follow the probability flow, dx/dsigma = (x - D(x, sigma)) / sigma, and add no noise."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from numpy.polynomial import Polynomial
from numpy.polynomial.polynomial import polyfromroots
from torch import Tensor

from nodes.sd.noise import NoiseSource
from nodes.sd.samplers.step import Denoise, Step


def euler(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Straight steps (arXiv:2206.00364, algorithm 2 without churn).

    The order of operations is that of diffusers' EulerDiscreteScheduler, bit for bit.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        x = x + slope * (target - sigma)
        yield Step(i, x, x0)


def heun(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Euler steps with the slope averaged over both ends (arXiv:2206.00364, algorithm 2 without churn).

    Two model calls a step; a last step down to 0 takes one.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        ahead = x + slope * (target - sigma)
        if target > 0:
            slope = (slope + (ahead - denoise(ahead, target)) / target) / 2
            ahead = x + slope * (target - sigma)
        x = ahead
        yield Step(i, x, x0)


def dpm2(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """Steps along the slope halfway, in log sigma (arXiv:2206.00927, as k-diffusion's "DPM2" has it).

    Two model calls a step; a last step down to 0 takes one. A1111 and ComfyUI leave out the schedule's last
    sigma but one for this sampler; this one takes the sigmas as given.
    """
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        slope = (x - x0) / sigma
        if target > 0:
            middle = (sigma * target) ** 0.5
            halfway = x + slope * (middle - sigma)
            slope = (halfway - denoise(halfway, middle)) / middle
        x = x + slope * (target - sigma)
        yield Step(i, x, x0)


def lms(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """A polynomial through the last four slopes, integrated over the step (linear multistep, k-diffusion)."""
    levels = sigmas.double().numpy()
    slopes: deque[Tensor] = deque(maxlen=4)
    for i, sigma in enumerate(sigmas[:-1]):
        x0 = denoise(x, sigma)
        slopes.appendleft((x - x0) / sigma)
        known = levels[i::-1][: len(slopes)]
        for j, slope in enumerate(slopes):
            others = np.delete(known, j)
            basis = Polynomial(polyfromroots(others)) / np.prod(known[j] - others)
            area = basis.integ(lbnd=levels[i])
            x = x + float(area(levels[i + 1])) * slope
        yield Step(i, x, x0)
