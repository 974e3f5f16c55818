"""DPM-Solver (arXiv:2206.00927): steps along the noise seen in x, in lambda = -log sigma."""

from __future__ import annotations

import math
from collections.abc import Iterator
from itertools import pairwise

import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import NO_CHURN, Churn, Denoise, Step, ancestral_levels, ancestry


def dpm2(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None, *, churn: Churn = NO_CHURN
) -> Iterator[Step]:
    """Steps along the slope halfway, in log sigma (DPM-Solver-2, as k-diffusion's "DPM2" has it).

    Two model calls a step; a last step down to 0 takes one.
    """
    for i, (level, target) in enumerate(pairwise(sigmas)):
        x, sigma = churn.raised(x, level, len(sigmas) - 1, noise)
        x, x0 = _halfway_step(denoise, x, sigma, target)
        yield Step(i, x, x0)


def dpm2_ancestral(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None,
    *,
    eta: float = 1.0,
    noise_scale: float = 1.0,
    flow: bool = False,
) -> Iterator[Step]:
    """`dpm2` down below the next level, then noise up to it (k-diffusion's "DPM2 a")."""
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        down, up, keep = ancestry(sigma, target, eta, flow=flow)
        x, x0 = _halfway_step(denoise, x, sigma, down)
        if noise is not None and up > 0:
            x = keep * x + noise.like(x) * (up * noise_scale)
        yield Step(i, x, x0)


def _halfway_step(denoise: Denoise, x: Tensor, sigma: Tensor, target: Tensor) -> tuple[Tensor, Tensor]:
    x0 = denoise(x, sigma)
    slope = (x - x0) / sigma
    if target > 0:
        middle = (sigma * target) ** 0.5
        halfway = x + slope * (middle - sigma)
        slope = (halfway - denoise(halfway, middle)) / middle
    return x + slope * (target - sigma), x0


class _Solver:
    """Steps of DPM-Solver from one lambda, which share the model's predictions."""

    def __init__(self, denoise: Denoise, x: Tensor, begin: Tensor, dtype: torch.dtype) -> None:
        self._denoise, self._x, self._begin, self._dtype = denoise, x, begin, dtype
        self.x0, self._first = self._ask(x, begin)
        self._third: Tensor | None = None

    def _ask(self, x: Tensor, place: Tensor) -> tuple[Tensor, Tensor]:
        """The clean latent and the noise seen in x at a lambda."""
        sigma = (-place).exp().to(self._dtype)
        x0 = self._denoise(x, sigma)
        return x0, (x - x0) / sigma

    def order_1(self, end: Tensor) -> Tensor:
        """A step of first order."""
        return self._x - _sigma(end) * torch.expm1(end - self._begin) * self._first

    def order_2(self, end: Tensor, share: float = 0.5) -> Tensor:
        """A step of second order, with the model asked again after a share of the way."""
        h = end - self._begin
        further = self._noise_at(share, h)
        scale = _sigma(end) * torch.expm1(h)
        return self._x - scale * self._first - scale / (2 * share) * (further - self._first)

    def order_3(self, end: Tensor) -> Tensor:
        """A step of third order, with the model asked again after one and two thirds of the way."""
        h = end - self._begin
        second = self._noise_at(1 / 3, h)
        way = 2 / 3 * h
        place = self._begin + way
        bend = torch.expm1(way) / way - 1
        middle = self._x - _sigma(place) * (
            torch.expm1(way) * self._first + 2 * bend * (second - self._first)
        )
        _, third = self._ask(middle, place)
        bend = torch.expm1(h) / h - 1
        return self._x - _sigma(end) * (torch.expm1(h) * self._first + 3 / 2 * bend * (third - self._first))

    def _noise_at(self, share: float, h: Tensor) -> Tensor:
        if share == 1 / 3 and self._third is not None:
            return self._third
        place = self._begin + share * h
        _, seen = self._ask(self._x - _sigma(place) * torch.expm1(share * h) * self._first, place)
        if share == 1 / 3:
            self._third = seen
        return seen


def dpm_fast(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None = None,
    *,
    eta: float = 0.0,
    noise_scale: float = 1.0,
) -> Iterator[Step]:
    """DPM-Solver-fast (arXiv:2206.00927, section 3.4): steps of third order, even in log sigma.

    Of the sigmas only the first, the last above 0, and their number count: that many model calls are made, in
    a third as many steps. It ends at the last level above 0, as in k-diffusion. A1111 runs it with eta 1.
    """
    begin, end = _ends(sigmas)
    if begin == end:
        yield from _single(denoise, x, sigmas)
        return
    orders = fast_orders(len(sigmas) - 1)
    places = torch.linspace(float(begin), float(end), len(orders) + 1, dtype=torch.float64)
    for i, (order, (place, following)) in enumerate(zip(orders, pairwise(places), strict=True)):
        aim, up = _ancestral_aim(place, following, end, eta)
        solver = _Solver(denoise, x, place, sigmas.dtype)
        x = (solver.order_1, solver.order_2, solver.order_3)[order - 1](aim)
        if noise is not None and up > 0:
            x = x + noise.like(x) * (up * noise_scale)
        yield Step(i, x, solver.x0)


def fast_orders(calls: int) -> list[int]:
    """The orders of the steps of `dpm_fast` for a number of model calls."""
    whole = calls // 3 + 1
    return [3] * (whole - 2) + [2, 1] if calls % 3 == 0 else [3] * (whole - 1) + [calls % 3]


def dpm_adaptive(
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None = None,
    *,
    eta: float = 0.0,
    noise_scale: float = 1.0,
    relative: float = 0.05,
    absolute: float = 0.0078,
) -> Iterator[Step]:
    """DPM-Solver-23 with adaptive step sizes (arXiv:2206.00927, appendix C).

    Only the first sigma and the last one above 0 are used; the number of steps has no effect. The step size
    is controlled as in k-diffusion. A1111 runs it with eta 1. A rejected step leaves x unchanged.
    """
    place, end = _ends(sigmas)
    if place == end:
        yield from _single(denoise, x, sigmas)
        return
    order = 1.5 if eta else 3.0
    length = 0.05
    before = x
    number = 0
    while place < end - 1e-5:
        following = torch.minimum(end, place + length)
        aim, up = _ancestral_aim(place, following, end, eta)
        solver = _Solver(denoise, x, place, sigmas.dtype)
        low, high = solver.order_2(aim, 1 / 3), solver.order_3(aim)
        allowed = torch.clamp(relative * torch.maximum(low.abs(), before.abs()), min=absolute)
        error = float(torch.linalg.vector_norm((low - high) / allowed)) / math.sqrt(x.numel())
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / order) - 1)
        if factor >= 0.81:
            before, x, place = low, high, following
            if noise is not None and up > 0:
                x = x + noise.like(x) * (up * noise_scale)
        length *= factor
        yield Step(number, x, solver.x0)
        number += 1


def _ends(sigmas: Tensor) -> tuple[Tensor, Tensor]:
    """The lambdas of the first level and of the last one above 0."""
    levels = sigmas[sigmas > 0].double()
    return -levels[0].log(), -levels[-1].log()


def _single(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Iterator[Step]:
    """The only step of a schedule of one level."""
    x0 = denoise(x, sigmas[0])
    yield Step(0, x0, x0)


def _ancestral_aim(place: Tensor, following: Tensor, end: Tensor, eta: float) -> tuple[Tensor, Tensor]:
    """The lambda to which a step goes, and the noise to add after it."""
    if not eta:
        return following, torch.zeros(())
    down, _ = ancestral_levels(_sigma(place), _sigma(following), eta)
    aim = torch.minimum(end, -down.log())
    return aim, torch.clamp(_sigma(following) ** 2 - _sigma(aim) ** 2, min=0) ** 0.5


def _sigma(place: Tensor) -> Tensor:
    return (-place).exp()
