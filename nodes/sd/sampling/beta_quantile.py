"""Quantiles of the beta distribution, for the Beta schedule."""

from __future__ import annotations

import math

import numpy as np

from nodes.sd.sampling.noise_table import Floats

_HALVINGS = 60
_TERMS = 200
_TINY = 1e-300


def beta_quantile(shares: Floats, alpha: float, beta: float) -> Floats:
    """Find the values below which the given shares of a beta distribution lie, by bisection."""
    low, high = np.zeros_like(shares), np.ones_like(shares)
    for _ in range(_HALVINGS):
        middle = (low + high) / 2
        below = beta_share(middle, alpha, beta) < shares
        low, high = np.where(below, middle, low), np.where(below, high, middle)
    return np.where(shares <= 0, 0.0, np.where(shares >= 1, 1.0, (low + high) / 2))


def beta_share(values: Floats, alpha: float, beta: float) -> Floats:
    """Compute the share of a beta distribution below some values (the regularised incomplete beta function).

    The continued fraction converges fast below the mean; above it, symmetry gives the rest.
    """
    mirrored = values > (alpha + 1) / (alpha + beta + 2)
    x = np.where(mirrored, 1 - values, values)
    a, b = np.where(mirrored, beta, alpha), np.where(mirrored, alpha, beta)
    log_scale = math.lgamma(alpha + beta) - math.lgamma(alpha) - math.lgamma(beta)
    inside = np.clip(x, _TINY, 1 - 1e-16)
    front = np.exp(log_scale + a * np.log(inside) + b * np.log1p(-inside)) / a
    share = np.where(x <= 0, 0.0, front * _continued_fraction(inside, a, b))
    return np.where(mirrored, 1 - share, share)


def _continued_fraction(x: Floats, a: Floats, b: Floats) -> Floats:
    """Evaluate the continued fraction of NIST DLMF 8.17.22 by Lentz's method."""
    c = np.ones_like(x)
    d = 1 / _not_zero(1 - (a + b) * x / (a + 1))
    result = d.copy()
    for m in range(1, _TERMS):
        even = m * (b - m) * x / ((a + 2 * m - 1) * (a + 2 * m))
        odd = -(a + m) * (a + b + m) * x / ((a + 2 * m) * (a + 2 * m + 1))
        for term in (even, odd):
            d = 1 / _not_zero(1 + term * d)
            c = _not_zero(1 + term / c)
            change = c * d
            result = result * change
        if np.all(np.abs(change - 1) < 1e-15):
            break
    return result


def _not_zero(values: Floats) -> Floats:
    return np.where(np.abs(values) < _TINY, _TINY, values)
