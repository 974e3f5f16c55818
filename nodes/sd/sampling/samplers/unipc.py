"""UniPC (arXiv:2302.04867): a multistep predictor, corrected by the model's next prediction."""

from __future__ import annotations

from collections.abc import Iterator
from itertools import pairwise

import numpy as np
from torch import Tensor

from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers.step import Denoise, Step

ORDER = 3


def uni_pc(denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None) -> Iterator[Step]:
    """UniPC of order 3 with B(h) = h, which suits few steps (A1111's UniPC, ComfyUI's "uni_pc").

    One model call a step. The order falls toward the end, so that a last step down to 0 is of first order.
    """
    return _uni_pc(denoise, x, sigmas, exponential=False)


def uni_pc_bh2(
    denoise: Denoise, x: Tensor, sigmas: Tensor, noise: NoiseSource | None = None
) -> Iterator[Step]:
    """UniPC of order 3 with B(h) = e^h - 1, which suits more steps (ComfyUI's "uni_pc_bh2")."""
    return _uni_pc(denoise, x, sigmas, exponential=True)


def _uni_pc(denoise: Denoise, x: Tensor, sigmas: Tensor, *, exponential: bool) -> Iterator[Step]:
    logs = -sigmas.double().log()
    steps = len(sigmas) - 1
    order = min(ORDER, max(steps - 1, 1))
    seen: list[Tensor] = []
    before = x
    for i, (sigma, target) in enumerate(pairwise(sigmas)):
        x0 = denoise(x, sigma)
        if i > 0:  # correct the last step with the prediction at its end
            used = min(order, i, steps + 1 - i)
            x = _update(before, sigmas, logs, i - 1, seen[:used], exponential, corrected=x0)
        seen = [x0, *seen][:order]
        before = x
        if target == 0:
            x = x0
        else:
            used = min(order, i + 1, steps - i)
            x = _update(before, sigmas, logs, i, seen[:used], exponential)
        yield Step(i, x, x0)


def _update(
    x: Tensor,
    sigmas: Tensor,
    logs: Tensor,
    i: int,
    seen: list[Tensor],
    exponential: bool,
    corrected: Tensor | None = None,
) -> Tensor:
    """Compute step `i` from the predictions up to it, newest first, and for the corrector the one at its
    end."""
    h = float(logs[i + 1] - logs[i])
    ratios = [float(logs[i - k] - logs[i]) / h for k in range(1, len(seen))]
    differences = [(seen[k] - seen[0]) / ratios[k - 1] for k in range(1, len(seen))]
    if corrected is not None:
        ratios.append(1.0)
        differences.append(corrected - seen[0])
    scale = np.expm1(-h) if exponential else -h
    x = (sigmas[i + 1] / sigmas[i]) * x - float(np.expm1(-h)) * seen[0]
    for weight, difference in zip(_weights(ratios, h, scale), differences, strict=True):
        x = x - float(scale * weight) * difference
    return x


def _weights(ratios: list[float], h: float, scale: float) -> list[float]:
    """The weights of the differences (equation 3 of the paper). A single weight is 1/2, as in its code."""
    if not ratios:
        return []
    if len(ratios) == 1:
        return [0.5]
    rows = [[ratio**power for ratio in ratios] for power in range(len(ratios))]
    targets = []
    factorial = 1.0
    phi = np.expm1(-h) / -h - 1
    for power in range(1, len(ratios) + 1):
        targets.append(phi * factorial / scale)
        factorial *= power + 1
        phi = phi / -h - 1 / factorial
    return [float(weight) for weight in np.linalg.solve(rows, targets)]
