"""The samplers' formulas in float64, written anew in the form of their papers or first code."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, Protocol

import numpy as np
import torch
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource

SEED = 5
Formula = Callable[..., Tensor]


class Model(Protocol):
    """What a sampler asks: the clean latent with guidance, and that without beside it."""

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor: ...

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]: ...


class Draws:
    """The noise that a sampler adds, in the order in which it is drawn."""

    def __init__(self, count: int) -> None:
        self._source = NoiseSource(SEED, count)

    def like(self, x: Tensor) -> Tensor:
        return self._source.like(x)

    def between(self, x: Tensor, sigmas: Tensor) -> Callable[[Tensor, Tensor], Tensor]:
        return self._source.between(x, sigmas)


def signal(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma of the variance-preserving form: x_vp = alpha * clean + spread * noise."""
    alpha = 1 / torch.sqrt(1 + sigma**2)
    return alpha, sigma * alpha


def integral(h: Tensor, function: Callable[[float], Any]) -> Any:
    """The integral of h e^(-h (1 - s)) function(s) over s from 0 to 1, by Gauss' rule."""
    points, masses = np.polynomial.legendre.leggauss(60)
    total: Any = 0.0
    for point, mass in zip((points + 1) / 2, masses / 2, strict=True):
        total = total + float(mass * h * math.exp(-float(h) * (1 - point))) * function(float(point))
    return total


def posterior(now: Tensor, then: Tensor, eta: float = 1.0) -> tuple[Tensor, Tensor]:
    """The level that is left of `then`, and the noise that is added to it."""
    added = eta * then * torch.sqrt(1 - (then / now) ** 2)
    return torch.sqrt(then**2 - added**2), added


def first_order(x: Tensor, clean: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """DPM-Solver++-1 in lambda."""
    h = now.log() - then.log()
    return torch.exp(-h) * x - (torch.exp(-h) - 1) * clean


def ddim(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 0.0) -> Tensor:
    """arXiv:2010.02502, equations 12 and 16, in its own alpha (the square of ours), in x_vp."""
    draws = Draws(len(x))
    z = x * signal(sigmas[0])[0]
    for now, then in pairwise(sigmas):
        a_now, a_then = signal(now)[0] ** 2, signal(then)[0] ** 2
        clean = denoise(z / a_now.sqrt(), now)
        eps = (z - a_now.sqrt() * clean) / (1 - a_now).sqrt()
        spread = eta * ((1 - a_then) / (1 - a_now)).sqrt() * (1 - a_now / a_then).sqrt()
        z = a_then.sqrt() * clean + (1 - a_then - spread**2).clamp(min=0).sqrt() * eps
        if eta and then > 0:
            z = z + spread * draws.like(z)
    return z / signal(sigmas[-1])[0]


def ddpm(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2006.11239, algorithm 2, between any two of its levels, in x_vp."""
    draws = Draws(len(x))
    z = x * signal(sigmas[0])[0]
    for now, then in pairwise(sigmas):
        a_now, a_then = signal(now)[0] ** 2, signal(then)[0] ** 2
        eps = (z / signal(now)[0] - denoise(z / signal(now)[0], now)) / now
        alpha = a_now / a_then
        z = (z - (1 - alpha) / (1 - a_now).sqrt() * eps) / alpha.sqrt()
        if then > 0:
            z = z + ((1 - alpha) * (1 - a_then) / (1 - a_now)).sqrt() * draws.like(z)
    return z / signal(sigmas[-1])[0]


def lcm(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2310.04378, algorithm 3: the consistency function, then the forward diffusion, in x_vp."""
    draws = Draws(len(x))
    z = x * signal(sigmas[0])[0]
    for now, then in pairwise(sigmas):
        clean = denoise(z / signal(now)[0], now)
        alpha, spread = signal(then)
        z = alpha * clean + (spread * draws.like(z) if then > 0 else 0)
    return z / signal(sigmas[-1])[0]


def euler(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    for now, then in pairwise(sigmas):
        x = x + (then - now) * (x - denoise(x, now)) / now
    return x


def euler_ancestral(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """What eta 1 amounts to: x at the next level drawn given x now and the clean latent (Bayes' rule)."""
    draws = Draws(len(x))
    for now, then in pairwise(sigmas):
        clean = denoise(x, now)
        precision = 1 / then**2 + 1 / (now**2 - then**2) if then > 0 else torch.tensor(math.inf)
        x = clean + (then / now) ** 2 * (x - clean)
        if then > 0:
            x = x + draws.like(x) / precision.sqrt()
    return x


def cfg_pp(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 0.0) -> Tensor:
    """arXiv:2406.08070, algorithm 2, with DDIM's eta, in x_vp: the noise is seen without guidance."""
    draws = Draws(len(x))
    z = x * signal(sigmas[0])[0]
    for now, then in pairwise(sigmas):
        (a_now, s_now), a_then = signal(now), signal(then)[0]
        guided, unguided = denoise.both(z / a_now, now)
        eps = (z - a_now * unguided) / s_now
        level, added = posterior(now, then, eta)
        z = a_then * guided + a_then * level * eps
        if eta and then > 0:
            z = z + a_then * added * draws.like(z)
    return z / signal(sigmas[-1])[0]


def heun(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """The explicit trapezoid rule on dx/dsigma."""
    for now, then in pairwise(sigmas):
        first = (x - denoise(x, now)) / now
        guess = x + (then - now) * first
        second = (guess - denoise(guess, then)) / then if then > 0 else first
        x = x + (then - now) * (0.5 * first + 0.5 * second)
    return x


def heunpp2(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """Slopes at the next levels by Euler steps; the weight of each is its level over so many first ones."""
    count = len(sigmas) - 1
    for i in range(count):
        ahead = min(3, count - i)
        slopes, place = [], x
        for k in range(ahead):
            slopes.append((place - denoise(place, sigmas[i + k])) / sigmas[i + k])
            place = place + (sigmas[i + k + 1] - sigmas[i + k]) * slopes[-1]
        weights = [0.0, *(float(sigmas[i + k] / (ahead * sigmas[0])) for k in range(1, ahead))]
        weights[0] = 1 - sum(weights)
        mean = sum(weight * slope for weight, slope in zip(weights, slopes, strict=True))
        x = x + (sigmas[i + 1] - sigmas[i]) * mean
    return x


def restart(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2306.14878, algorithm 1, with the interval and the counts that A1111 chooses."""
    draws = Draws(len(x))
    count = len(sigmas) - 1

    def spaced(n: int, high: Tensor, low: Tensor) -> list[Tensor]:
        roots = np.linspace(float(high) ** (1 / 7), float(low) ** (1 / 7), n)
        return list(torch.tensor(roots**7, dtype=torch.float64))

    def steps(levels: list[Tensor], x: Tensor) -> Tensor:
        return heun(denoise, x, torch.stack(levels))

    if count < 20:
        return steps(list(sigmas), x)
    again, times = (count // 4, 2) if count >= 36 else (9, 1)
    levels = [*spaced(count - again * times, sigmas[0], sigmas[-2]), torch.zeros((), dtype=torch.float64)]
    low = min(range(len(levels)), key=lambda i: abs(float(levels[i]) - 0.1))
    high = min(range(len(levels)), key=lambda i: abs(float(levels[i]) - 2))
    x = steps(levels[: low + 1], x)
    for _ in range(times):
        x = x + torch.sqrt(levels[high] ** 2 - levels[low] ** 2) * draws.like(x)
        x = steps(spaced(again + 1, levels[high], levels[low]), x)
    return steps(levels[low:], x)


def dpm2(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2206.00927's idea in sigma: the slope at the mean of lambda, over the whole step."""
    for now, then in pairwise(sigmas):
        x = _midpoint(denoise, x, now, then)
    return x


def dpm2_ancestral(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    draws = Draws(len(x))
    for now, then in pairwise(sigmas):
        level, added = posterior(now, then)
        x = _midpoint(denoise, x, now, level)
        if then > 0:
            x = x + added * draws.like(x)
    return x


def _midpoint(denoise: Model, x: Tensor, now: Tensor, then: Tensor) -> Tensor:
    if then == 0:
        return denoise(x, now)
    middle = torch.exp((now.log() + then.log()) / 2)
    guess = x + (middle - now) * (x - denoise(x, now)) / now
    return x + (then - now) * (guess - denoise(guess, middle)) / middle


def dpm_solver(denoise: Model, x: Tensor, now: Tensor, then: Tensor, order: int, r1: float) -> Tensor:
    """arXiv:2206.00927, algorithms 1 and 2, and equation 3.7 for order 1, with alpha 1."""
    lam, h = -now.log(), now.log() - then.log()

    def eps(x: Tensor, lam: Tensor) -> Tensor:
        return (x - denoise(x, torch.exp(-lam))) / torch.exp(-lam)

    e = eps(x, lam)
    if order == 1:
        return x - then * (torch.exp(h) - 1) * e
    s1 = lam + r1 * h
    u1 = x - torch.exp(-s1) * (torch.exp(r1 * h) - 1) * e
    d1 = eps(u1, s1) - e
    if order == 2:
        return x - then * (torch.exp(h) - 1) * e - then / (2 * r1) * (torch.exp(h) - 1) * d1
    r2 = 2 / 3
    s2 = lam + r2 * h
    u2 = x - torch.exp(-s2) * (torch.exp(r2 * h) - 1) * e
    u2 = u2 - torch.exp(-s2) * r2 / r1 * ((torch.exp(r2 * h) - 1) / (r2 * h) - 1) * d1
    d2 = eps(u2, s2) - e
    return x - then * (torch.exp(h) - 1) * e - then / r2 * ((torch.exp(h) - 1) / h - 1) * d2


def dpm_fast(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 0.0) -> Tensor:
    """arXiv:2206.00927, section 3.4: k = calls // 3 + 1 steps, even in lambda."""
    draws = Draws(len(x))
    calls = len(sigmas) - 1
    orders = [3] * (calls // 3 - 1) + [2, 1] if calls % 3 == 0 else [3] * (calls // 3) + [calls % 3]
    low = sigmas[sigmas > 0][-1]
    levels = torch.tensor(np.geomspace(float(sigmas[0]), float(low), len(orders) + 1))
    for order, (now, then) in zip(orders, pairwise(levels), strict=True):
        aim = torch.maximum(posterior(now, then, eta)[0], low) if eta else then
        x = dpm_solver(denoise, x, now, aim, order, 1 / 3 if order == 3 else 1 / 2)
        if eta:
            x = x + torch.sqrt((then**2 - aim**2).clamp(min=0)) * draws.like(x) * (then > aim)
    return x


def dpm_adaptive(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 0.0) -> Tensor:
    """k-diffusion's DPM-Solver-23 with its integral controller."""
    draws = Draws(len(x))
    low = sigmas[sigmas > 0][-1]
    now, last, h = sigmas[0], x, 0.05
    while float(now.log() - low.log()) > 1e-5:
        then = torch.maximum(low, now * math.exp(-h))
        aim = torch.maximum(posterior(now, then, eta)[0], low) if eta else then
        coarse, fine = (dpm_solver(denoise, x, now, aim, order, 1 / 3) for order in (2, 3))
        bound = torch.maximum(torch.tensor(0.0078).double(), 0.05 * torch.maximum(coarse.abs(), last.abs()))
        error = float((((coarse - fine) / bound) ** 2).mean().sqrt())
        factor = 1 + math.atan((1 / (error + 1e-8)) ** (1 / (1.5 if eta else 3)) - 1)
        if factor >= 0.81:
            x, last, now = fine, coarse, then
            if eta and then > aim:
                x = x + torch.sqrt(then**2 - aim**2) * draws.like(x)
        h *= factor
    return x


def lms(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """Lagrange's polynomial through up to four slopes, integrated by Gauss' rule (exact for a cubic)."""
    points, masses = np.polynomial.legendre.leggauss(4)
    slopes: list[Tensor] = []
    for i, (now, then) in enumerate(pairwise(sigmas)):
        slopes.append((x - denoise(x, now)) / now)
        known = range(max(0, i - 3), i + 1)
        for point, mass in zip(points, masses, strict=True):
            at = (now + then) / 2 + (then - now) / 2 * point
            for j in known:
                basis = math.prod((at - sigmas[k]) / (sigmas[j] - sigmas[k]) for k in known if k != j)
                x = x + (then - now) / 2 * mass * basis * slopes[j]
    return x


def deis(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2204.13902, tAB-DEIS of order 2, summed over time in 20,000 pieces.

    alpha-bar(t) = exp(-t^2 (b1 - b0) / 2 - t b0), with the rates at which sigma is 0.002 at t = 0.001, and 80
    at t = 1.
    """
    lower, upper = math.log(0.002**2 + 1), math.log(80.0**2 + 1)
    rise = 2 * (lower / 1e-3 - upper) / (1e-3 - 1)
    start = upper - rise / 2

    def log_growth(t: Any) -> Any:
        return t**2 * rise / 2 + t * start

    def time(sigma: float) -> float:
        low, high = 0.0, 1.0
        for _ in range(60):
            middle = (low + high) / 2
            low, high = (middle, high) if log_growth(middle) < math.log(1 + sigma**2) else (low, middle)
        return low

    slopes: list[Tensor] = []
    for i, (now, then) in enumerate(pairwise(sigmas)):
        clean = denoise(x, now)
        slopes.append((x - clean) / now)
        if then == 0:
            return clean
        known = range(max(0, i - 2), i + 1)
        times = {k: time(float(sigmas[k])) for k in known}
        grid = np.linspace(time(float(now)), time(float(then)), 20_001)
        middles = (grid[1:] + grid[:-1]) / 2
        rises = np.diff(np.sqrt(np.expm1(log_growth(grid))))
        for j in known:
            basis = math.prod((middles - times[k]) / (times[j] - times[k]) for k in known if k != j)
            x = x + float(np.sum(rises * basis)) * slopes[j]
    return x


def ipndm(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2202.09778, Adams-Bashforth as if all steps were equally long."""
    tables = ([1], [3, -1], [23, -16, 5], [55, -59, 37, -9])
    slopes: list[Tensor] = []
    for now, then in pairwise(sigmas):
        clean = denoise(x, now)
        slopes.insert(0, (x - clean) / now)
        table = tables[min(len(slopes), 4) - 1]
        weighted = sum(weight * slope for weight, slope in zip(table, slopes, strict=False))
        x = x + (then - now) * weighted / sum(table) if then > 0 else clean
    return x


def ipndm_v(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """The weights of zju-pi/diff-sampler, each written out."""
    slopes: list[Tensor] = []
    t = sigmas
    for i in range(len(t) - 1):
        clean = denoise(x, t[i])
        slopes.insert(0, (x - clean) / t[i])
        h = t[i + 1] - t[i]
        if t[i + 1] == 0:
            return clean
        if i == 0:
            x = x + h * slopes[0]
            continue
        h1 = t[i] - t[i - 1]
        c = [1 + h / h1 / 2, -h / h1 / 2, torch.zeros(()), torch.zeros(())]
        if i >= 2:
            h2 = t[i - 1] - t[i - 2]
            u = (1 - h / (3 * (h + h1)) * (h * (h + h1)) / (h1 * (h1 + h2))) / 2
            c[0], c[1], c[2] = c[0] + u, c[1] - (1 + h1 / h2) * u, u * h1 / h2
        if i >= 3:
            h3 = t[i - 2] - t[i - 3]
            v = (1 - h / (3 * (h + h1))) / 2 + (1 - h / (2 * (h + h1))) * h / (6 * (h + h1 + h2))
            v = v * (h * (h + h1) * (h + h1 + h2)) / (h1 * (h1 + h2) * (h1 + h2 + h3))
            w = h1 * (h1 + h2) / (h2 * (h2 + h3))
            c[0] = c[0] + v
            c[1] = c[1] - (1 + h1 / h2 + w) * v
            c[2] = c[2] + (h1 / h2 + w * (1 + h2 / h3)) * v
            c[3] = -v * w * h1 / h2
        x = x + h * sum(weight * slope for weight, slope in zip(c, slopes, strict=False))
    return x


def plms(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2202.09778, equations 11 to 13, in x_vp, beginning with a pseudo improved Euler step."""
    tables = ([1], [3, -1], [23, -16, 5], [55, -59, 37, -9])
    z = x * signal(sigmas[0])[0]
    noises: list[Tensor] = []

    def eps(z: Tensor, level: Tensor) -> Tensor:
        return (z / signal(level)[0] - denoise(z / signal(level)[0], level)) / level

    def transfer(z: Tensor, e: Tensor, now: Tensor, then: Tensor) -> Tensor:
        (a_now, s_now), (a_then, s_then) = signal(now), signal(then)
        return a_then * (z - s_now * e) / a_now + s_then * e

    for now, then in pairwise(sigmas):
        noises.insert(0, eps(z, now))
        if len(noises) == 1 and then > 0:
            e = (noises[0] + eps(transfer(z, noises[0], now, then), then)) / 2
        else:
            table = tables[min(len(noises), 4) - 1]
            e = sum((w * n for w, n in zip(table, noises, strict=False)), torch.zeros(())) / sum(table)
        z = transfer(z, e, now, then)
    return z / signal(sigmas[-1])[0]


def dpmpp_2m(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2211.01095, algorithm 2, in x_vp, with the last step to zero noise of first order."""
    z = x * signal(sigmas[0])[0]
    seen: list[Tensor] = []
    lambdas = [torch.log(signal(s)[0] / signal(s)[1]) if s > 0 else torch.tensor(math.inf) for s in sigmas]
    for i, (now, then) in enumerate(pairwise(sigmas)):
        (a_now, s_now), (a_then, s_then) = signal(now), signal(then)
        seen.append(denoise(z / a_now, now))
        h = lambdas[i + 1] - lambdas[i]
        if i == 0 or then == 0:
            direction = seen[-1]
        else:
            r = (lambdas[i] - lambdas[i - 1]) / h
            direction = (1 + 1 / (2 * r)) * seen[-1] - 1 / (2 * r) * seen[-2]
        z = s_then / s_now * z - a_then * (torch.exp(-h) - 1) * direction
    return z / signal(sigmas[-1])[0]


def dpmpp_2m_cfg_pp(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """ComfyUI's: the renoised part follows the answer without guidance, its correction the guided one."""
    last: Tensor | None = None
    for i, (now, then) in enumerate(pairwise(sigmas)):
        guided, unguided = denoise.both(x, now)
        fade = then / now
        x = guided - fade * unguided + fade * x
        if last is not None and then > 0:
            r = torch.log(sigmas[i - 1] / now) / torch.log(now / then)
            x = x + (1 - fade) / (2 * r) * (guided - last)
        last = unguided
    return x


def _multistep_sde(denoise: Model, x: Tensor, sigmas: Tensor, weights: Any, eta: float = 1.0) -> Tensor:
    """SDE-DPM-Solver++ in x_vp: the answer as a polynomial of time, integrated against the fading of x."""
    path = Draws(len(x)).between(x, sigmas)
    z = x * signal(sigmas[0])[0]
    lambdas = [-s.log() if s > 0 else torch.tensor(math.inf) for s in sigmas]
    seen: list[Tensor] = []
    for i, (now, then) in enumerate(pairwise(sigmas)):
        (a_now, s_now), (a_then, s_then) = signal(now), signal(then)
        seen.insert(0, denoise(z / a_now, now))
        if then == 0:
            return seen[0]
        h = lambdas[i + 1] - lambdas[i]
        before = [lambdas[i] - lambdas[i - k] for k in range(1, min(i, 2) + 1)]
        aim = weights(h * (1 + eta), [float(b / h) for b in before], seen)
        z = s_then / s_now * torch.exp(-eta * h) * z + a_then * aim
        if eta:
            z = z + s_then * torch.sqrt(1 - torch.exp(-2 * eta * h)) * path(now, then)
    return z / signal(sigmas[-1])[0]


def _midpoint_aim(reach: Tensor, before: list[float], seen: list[Tensor]) -> Tensor:
    whole = 1 - torch.exp(-reach)
    if not before:
        return whole * seen[0]
    return whole * (seen[0] + (seen[0] - seen[1]) / before[0] / 2)


def _linear_aim(reach: Tensor, before: list[float], seen: list[Tensor]) -> Tensor:
    slope = (seen[0] - seen[1]) / before[0] if before else torch.zeros(())
    return _line_integral(reach, seen[0], slope)


def _line_integral(h: Tensor, start: Tensor, slope: Tensor) -> Tensor:
    aim: Tensor = integral(h, lambda s: start + slope * s)
    return aim


def _quadratic_aim(reach: Tensor, before: list[float], seen: list[Tensor]) -> Tensor:
    """Newton's polynomial through three answers, but half of its square term (k-diffusion's 3M)."""
    if len(before) < 2:
        return _linear_aim(reach, before, seen)
    far = before[1]
    first = (seen[0] - seen[1]) / before[0]
    second = (first - (seen[1] - seen[2]) / (far - before[0])) / far
    aim: Tensor = integral(reach, lambda s: seen[0] + (first + second * before[0]) * s + second * s**2 / 2)
    return aim


def dpmpp_2m_sde(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 1.0) -> Tensor:
    return _multistep_sde(denoise, x, sigmas, _midpoint_aim, eta)


def dpmpp_2m_sde_heun(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 1.0) -> Tensor:
    return _multistep_sde(denoise, x, sigmas, _linear_aim, eta)


def dpmpp_3m_sde(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 1.0) -> Tensor:
    return _multistep_sde(denoise, x, sigmas, _quadratic_aim, eta)


def dpmpp_sde(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """k-diffusion's sample_dpmpp_sde with r = 1/2; the noise is a Brownian path in sigma."""
    path = Draws(len(x)).between(x, sigmas)
    for now, then in pairwise(sigmas):
        clean = denoise(x, now)
        if then == 0:
            return clean
        middle = torch.exp((now.log() + then.log()) / 2)
        level, added = posterior(now, middle)
        guess = first_order(x, clean, now, level) + added * path(now, middle)
        level, added = posterior(now, then)
        x = first_order(x, denoise(guess, middle), now, level) + added * path(now, then)
    return x


def sa_solver(
    denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 1.0, *, again: bool = False, low: float = 0.0
) -> Tensor:
    """arXiv:2309.05019, equations 14 to 18: the answers' polynomial in lambda, integrated numerically."""
    draws = Draws(len(x))
    lambdas = [-math.log(s) if s > 0 else math.inf for s in sigmas.tolist()]
    last, ends_clean = len(sigmas) - 2, float(sigmas[-1]) == 0
    seen: list[Tensor] = []

    def moved(x: Tensor, i: int, order: int, newest: int, tau: float) -> Tensor:
        h = torch.tensor(lambdas[i + 1] - lambdas[i], dtype=torch.float64)
        known = range(newest - order + 1, newest + 1)

        def polynomial(share: float) -> Tensor:
            place, total = lambdas[i] + share * float(h), torch.zeros_like(x)
            for j in known:
                basis = math.prod((place - lambdas[k]) / (lambdas[j] - lambdas[k]) for k in known if k != j)
                total = total + basis * seen[j]
            return total

        faded = sigmas[i + 1] / sigmas[i] * torch.exp(-(tau**2) * h) * x
        moved: Tensor = faded + integral(h * (1 + tau**2), polynomial)
        return moved

    guess, tau, added = x, 0.0, torch.zeros_like(x)
    for i, (now, then) in enumerate(pairwise(sigmas)):
        seen.append(denoise(guess, now))
        if i == 0 or (then == 0 and not again):
            x = guess
        else:
            order = min(4, i + 1, last + 1 - i if ends_clean else 4)
            x = moved(x, i - 1, order, i, tau) + added
            if again:
                seen[-1] = denoise(x, now)
        if then == 0:
            return seen[-1]
        tau = eta if float(then) >= low else 0.0
        order = min(3, i + 1, last - i if ends_clean else 3)
        h = lambdas[i + 1] - lambdas[i]
        added = torch.zeros_like(x)
        if tau:
            added = then * math.sqrt(1 - math.exp(-2 * tau**2 * h)) * draws.like(x)
        guess = moved(x, i, order, i, tau) + added
    return guess


def dpmpp_2s_ancestral(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2211.01095, algorithm 1 with r = 1/2, down to the posterior's level."""
    draws = Draws(len(x))
    for now, then in pairwise(sigmas):
        clean = denoise(x, now)
        if then == 0:
            return clean
        level, added = posterior(now, then)
        middle = torch.exp((now.log() + level.log()) / 2)
        seen = denoise(first_order(x, clean, now, middle), middle)
        x = first_order(x, seen, now, level) + added * draws.like(x)
    return x


def dpmpp_2s_ancestral_cfg_pp(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """ComfyUI's: the step without guidance, then the difference that guidance makes at its start."""
    draws = Draws(len(x))
    for now, then in pairwise(sigmas):
        guided, unguided = denoise.both(x, now)
        difference = guided - unguided
        if then == 0:
            return guided
        level, added = posterior(now, then)
        middle = torch.exp((now.log() + level.log()) / 2)
        _, seen = denoise.both(first_order(x, unguided, now, middle), middle)
        x = first_order(x, seen, now, level) + added * draws.like(x) + difference
    return x


def res(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 0.0, cfg: bool = False) -> Tensor:
    """arXiv:2308.02157: the answer as a straight line through the last two, integrated exactly."""
    draws = Draws(len(x))
    last: Tensor | None = None
    reached = sigmas[0]
    for i, (now, then) in enumerate(pairwise(sigmas)):
        guided, unguided = denoise.both(x, now) if cfg else [denoise(x, now)] * 2
        level, added = posterior(now, then, eta)
        if last is None or level == 0:
            x = guided + level / now * (x - unguided)
        else:
            h = torch.log(now / level)
            place = float(torch.log(reached / sigmas[i - 1]) / h)  # of the last answer, in units of h
            slope = (last - unguided) / place
            aim = _line_integral(h, unguided, slope)
            x = torch.exp(-h) * (x + guided - unguided) + aim
        if eta and then > 0:
            x = x + added * draws.like(x)
        last, reached = unguided, level
    return x


def gradient_estimation(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2306.04848, algorithm 2 with gamma 2: eps-bar = 2 eps_t - eps_(t+1)."""
    last: Tensor | None = None
    for now, then in pairwise(sigmas):
        eps = (x - denoise(x, now)) / now
        mean = eps if last is None or then == 0 else 2 * eps - last
        x, last = x + (then - now) * mean, eps
    return x


def gradient_estimation_cfg_pp(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    last: Tensor | None = None
    for now, then in pairwise(sigmas):
        guided, unguided = denoise.both(x, now)
        eps = (x - unguided) / now
        x = guided + then * eps
        if last is not None and then > 0:
            x = x + (then - now) * (eps - last)
        last = eps
    return x


def er_sde(denoise: Model, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2309.06169, algorithm 3 for alpha 1, with its sums of 200 points."""
    draws = Draws(len(x))

    def phi(level: float) -> float:
        return level * (math.exp(level**0.3) + 10)

    answers: list[Tensor] = []
    slopes: list[Tensor] = []
    levels = [float(sigma) for sigma in sigmas]
    for i, (now, then) in enumerate(pairwise(levels)):
        answers.append(denoise(x, sigmas[i]))
        if then == 0:
            return answers[-1]
        r = phi(then) / phi(now)
        x = r * x + (1 - r) * answers[-1]
        grid = [then + k * (now - then) / 200 for k in range(200)]
        if i >= 1:
            slopes.append((answers[-1] - answers[-2]) / (now - levels[i - 1]))
            total = sum((now - then) / 200 / phi(level) for level in grid)
            x = x + (then - now + total * phi(then)) * slopes[-1]
        if i >= 2:
            bend = (slopes[-1] - slopes[-2]) * 2 / (now - levels[i - 2])
            total = sum((now - then) / 200 * (level - now) / phi(level) for level in grid)
            x = x + ((then - now) ** 2 / 2 + total * phi(then)) * bend
        x = x + math.sqrt(max(then**2 - now**2 * r**2, 0)) * draws.like(x)
    return x


def seeds(denoise: Model, x: Tensor, sigmas: Tensor, places: tuple[float, ...], eta: float = 1.0) -> Tensor:
    """arXiv:2305.14267, algorithms 2 and 3 (data prediction): stages at places of the way in lambda.

    A stage takes the answer as a straight line through the first one and that of the stage before. With one
    stage halfway, SEEDS-2, the step takes that answer alone; otherwise the line through it.
    """
    draws = Draws(len(x))
    for now, then in pairwise(sigmas):
        first = denoise(x, now)
        if then == 0:
            return first
        h = torch.log(now / then)
        path, drawn, answer, place_before = torch.zeros_like(x), 0.0, first, 0.0
        for place in (*places, 1.0):
            level = now * torch.exp(-place * h)
            reach = place * h * (1 + eta)
            if place_before == 0:
                aim = (1 - torch.exp(-reach)) * first
            elif place == 1.0 and places == (0.5,):
                aim = (1 - torch.exp(-reach)) * answer
            else:
                slope = (answer - first) / place_before * place
                aim = _line_integral(reach, first, slope)
            if eta and place > drawn:
                part = (place - drawn) * h * eta
                path = torch.exp(-part) * path + torch.sqrt(1 - torch.exp(-2 * part)) * draws.like(x)
                drawn = place
            state = torch.exp(-reach) * x + aim + level * path
            if place == 1.0 and place_before == places[-1]:
                break
            answer, place_before = denoise(state, level), place
        x = state
    return x


def seeds_2(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 1.0) -> Tensor:
    return seeds(denoise, x, sigmas, (0.5,), eta)


def seeds_3(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 1.0) -> Tensor:
    return seeds(denoise, x, sigmas, (1 / 3, 2 / 3), eta)


def exp_heun(denoise: Model, x: Tensor, sigmas: Tensor, eta: float = 1.0) -> Tensor:
    return seeds(denoise, x, sigmas, (1.0,), eta)


FORMULAS: dict[str, Formula] = {
    "euler": euler,
    "euler_ancestral": euler_ancestral,
    "euler_cfg_pp": cfg_pp,
    "euler_ancestral_cfg_pp": lambda d, x, s: cfg_pp(d, x, s, 1.0),
    "heun": heun,
    "heunpp2": heunpp2,
    "dpm2": dpm2,
    "dpm2_ancestral": dpm2_ancestral,
    "lms": lms,
    "dpm_fast": dpm_fast,
    "dpm_adaptive": dpm_adaptive,
    "dpmpp_2s_ancestral": dpmpp_2s_ancestral,
    "dpmpp_2s_ancestral_cfg_pp": dpmpp_2s_ancestral_cfg_pp,
    "dpmpp_sde": dpmpp_sde,
    "dpmpp_2m": dpmpp_2m,
    "dpmpp_2m_cfg_pp": dpmpp_2m_cfg_pp,
    "dpmpp_2m_sde": dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": dpmpp_2m_sde_heun,
    "dpmpp_3m_sde": dpmpp_3m_sde,
    "restart": restart,
    "ddim": ddim,
    "ddim_cfg_pp": cfg_pp,
    "ddpm": ddpm,
    "plms": plms,
    "lcm": lcm,
    "ipndm": ipndm,
    "ipndm_v": ipndm_v,
    "deis": deis,
    "res_multistep": res,
    "res_multistep_cfg_pp": lambda d, x, s: res(d, x, s, cfg=True),
    "res_multistep_ancestral": lambda d, x, s: res(d, x, s, 1.0),
    "res_multistep_ancestral_cfg_pp": lambda d, x, s: res(d, x, s, 1.0, cfg=True),
    "gradient_estimation": gradient_estimation,
    "gradient_estimation_cfg_pp": gradient_estimation_cfg_pp,
    "er_sde": er_sde,
    "seeds_2": seeds_2,
    "seeds_3": seeds_3,
    "exp_heun_2_x0": lambda d, x, s: exp_heun(d, x, s, 0.0),
    "exp_heun_2_x0_sde": exp_heun,
    "sa_solver": sa_solver,
    "sa_solver_pece": lambda d, x, s: sa_solver(d, x, s, again=True),
}
"""All but `uni_pc` and `uni_pc_bh2`, whose oracle is diffusers' scheduler."""
