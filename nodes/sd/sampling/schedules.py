"""The named noise schedules. To add one, write its function, and list it here and in `names.py`."""

from __future__ import annotations

import math
from collections.abc import Callable
from typing import NamedTuple

import numpy as np
from torch import Tensor

from nodes.sd.sampling.beta_quantile import beta_quantile
from nodes.sd.sampling.noise_table import Floats
from nodes.sd.sampling.schedule import Schedule, schedule_of
from nodes.sd.sampling.tables import Table

BETA_SHAPE = 0.6
"""Both parameters of the beta distribution in the Beta schedules."""


class Levels(NamedTuple):
    """The noise levels of a schedule."""

    sigmas: Floats
    """The level before each step, falling."""
    timesteps: Floats
    """The training step of each."""
    last: float = 0.0
    """The level after the last step."""


def normal(steps: int, table: Table) -> Levels:
    """Even in training steps, both ends included; sigmas interpolated linearly.

    diffusers' `timestep_spacing="linspace"`, bit for bit, except for a single step, which diffusers takes
    from the lowest noise. A1111 ("Uniform", "Normal") and ComfyUI ("normal") interpolate in log sigma, which
    moves a sigma by 3e-5 of its value at 20 steps, 5e-4 at 150.
    """
    if steps == 1:
        return _entries(np.array([len(table) - 1.0]), table)
    positions = table.even(steps)
    return Levels(table.linear(positions), table.timesteps_at(positions))


def karras(steps: int, table: Table, rho: float = 7.0) -> Levels:
    """Many small steps at low noise: even in sigma^(1/7) (arXiv:2206.00364, equation 5)."""
    ramp = np.linspace(0, 1, steps)
    low, high = table.sigma_min ** (1 / rho), table.sigma_max ** (1 / rho)
    return _interpolated((high + ramp * (low - high)) ** rho, table)


def exponential(steps: int, table: Table) -> Levels:
    """Every step removes the same share of the noise: even in log sigma (k-diffusion)."""
    logs = np.linspace(math.log(table.sigma_max), math.log(table.sigma_min), steps)
    return _interpolated(np.exp(logs), table)


def polyexponential(steps: int, table: Table, rho: float = 1.0) -> Levels:
    """Log sigma falls with the power `rho` of the position (k-diffusion); with 1, A1111's default, it is
    `exponential`."""
    ramp = np.linspace(1, 0, steps) ** rho
    low, high = math.log(table.sigma_min), math.log(table.sigma_max)
    return _interpolated(np.exp(ramp * (high - low) + low), table)


def kl_optimal(steps: int, table: Table) -> Levels:
    """Even in the arc tangent of sigma, which is best for Gaussian data (arXiv:2404.14507).

    The last step goes from the lowest level to none, as in ComfyUI.
    """
    arcs = np.linspace(math.atan(table.sigma_max), math.atan(table.sigma_min), steps)
    return _interpolated(np.tan(arcs), table)


def kl_optimal_a1111(steps: int, table: Table) -> Levels:
    """`kl_optimal` as in A1111: one level more, and the last step ends at the lowest level, not at 0."""
    levels = kl_optimal(steps + 1, table)
    return Levels(levels.sigmas[:-1], levels.timesteps[:-1], float(levels.sigmas[-1]))


ALIGNED = (14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029)
ALIGNED_XL = (14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029)
"""Levels of Align Your Steps for SD 1 and for SDXL."""


def align_your_steps(steps: int, table: Table) -> Levels:
    """Levels that a search found for SD 1 (arXiv:2404.14507), interpolated in log sigma (A1111).

    Made for about 10 steps. ComfyUI resamples one level more and sets its last one to 0.
    """
    return _resampled(ALIGNED, steps, table)


def align_your_steps_xl(steps: int, table: Table) -> Levels:
    """Levels that a search found for SDXL (arXiv:2404.14507), interpolated in log sigma (A1111)."""
    return _resampled(ALIGNED_XL, steps, table)


def simple(steps: int, table: Table) -> Levels:
    """Whole training steps at an even stride from the last one down (ComfyUI "simple", A1111 "Simple")."""
    return _entries(len(table) - 1 - np.floor(np.arange(steps) * (len(table) / steps)), table)


def sgm_uniform(steps: int, table: Table) -> Levels:
    """Even in training steps, ending one stride above the lowest (ComfyUI, A1111 "SGM Uniform")."""
    positions = np.linspace(len(table) - 1, table.lowest, steps + 1)[:-1]
    return Levels(table.at(positions), table.timesteps_at(positions))


def time_uniform(steps: int, table: Table) -> Levels:
    """Even in training steps, ending at the lowest level, not at 0 (arXiv:2206.00927; A1111's UniPC)."""
    positions = np.linspace(len(table) - 1, table.lowest, steps + 1)
    sigmas = table.at(positions)
    return Levels(sigmas[:-1], table.timesteps_at(positions[:-1]), float(sigmas[-1]))


def ddim_uniform(steps: int, table: Table) -> Levels:
    """Training steps 1, 1 + s, 1 + 2s … below 1000, for a whole stride s (arXiv:2010.02502).

    As in A1111 ("DDIM") and ComfyUI. Where the number of steps does not divide 1000, one step or more is
    added: 30 steps have the stride 33 and are 31.
    """
    stride = max(len(table) // steps, 1)
    return _entries(np.arange(1, len(table), stride, dtype=np.float64)[::-1], table)


def ddim_a1111(steps: int, table: Table) -> Levels:
    """`ddim_uniform` without its last step: it ends at training step 1 (A1111's samplers DDIM and PLMS)."""
    levels = ddim_uniform(steps, table)
    if len(levels.sigmas) == 1:
        return levels
    return Levels(levels.sigmas[:-1], levels.timesteps[:-1], float(levels.sigmas[-1]))


def ddim_diffusers(steps: int, table: Table) -> Levels:
    """`ddim_uniform` without the steps that are too many: diffusers' "leading" with an offset of 1.

    Pipelines of Stable Diffusion 1 use it, and InvokeAI. It starts below the highest level: 30 steps at 958.
    """
    return _entries(1 + np.arange(steps, dtype=np.float64)[::-1] * (len(table) // steps), table)


def beta(steps: int, table: Table) -> Levels:
    """Training steps at the quantiles of a beta distribution (arXiv:2407.12173), as in ComfyUI.

    Many steps lie at both ends. Steps that fall on the same training step are left out.
    """
    shares = 1 - np.linspace(0, 1, steps, endpoint=False)
    timesteps = np.rint(beta_quantile(shares, BETA_SHAPE, BETA_SHAPE) * (len(table) - 1))
    return _entries(np.unique(timesteps)[::-1], table)


def beta_a1111(steps: int, table: Table) -> Levels:
    """Sigmas at the quantiles of a beta distribution, as in A1111, which spaces sigmas, not steps."""
    shares = beta_quantile(1 - np.linspace(0, 1, steps), BETA_SHAPE, BETA_SHAPE)
    return _interpolated(table.sigma_min + shares * (table.sigma_max - table.sigma_min), table)


LINEAR_SHARE = 0.025
"""The fraction of the noise that the first half of `linear_quadratic` removes."""


def linear_quadratic(steps: int, table: Table) -> Levels:
    """Small equal steps at first, then steps that grow, in sigma (Mochi; ComfyUI "linear_quadratic").

    Made for models that learn a straight flow; for others the large steps come where detail forms.
    """
    if steps == 1:
        return _interpolated(np.array([table.sigma_max]), table)
    linear = steps // 2
    others = np.arange(1, steps - linear, dtype=np.float64)
    slope = LINEAR_SHARE / linear
    bend = (1 - LINEAR_SHARE - slope * (steps - linear)) / (steps - linear) ** 2
    gone = np.concatenate([slope * np.arange(linear + 1), LINEAR_SHARE + slope * others + bend * others**2])
    return _interpolated((1 - gone) * table.sigma_max, table)


LCM_STRIDE = 20
"""Training steps between the levels that latent consistency models learn: 50 of 1000."""


def lcm(steps: int, table: Table) -> Levels:
    """Evenly spaced between the first and the last level of a latent consistency model (A1111's LCM).

    8 steps are at 999, 859, 719, 579, 439, 299, 159 and 19. Between the levels that the model has learned,
    sigmas are interpolated in log sigma, and the model is asked at the nearest level.
    """
    learned = np.arange(LCM_STRIDE - 1, len(table), LCM_STRIDE, dtype=np.float64)
    logs = np.log(table.sigmas[learned.astype(np.int64)].astype(np.float64))
    asked = np.linspace(learned[-1], learned[0], steps)
    sigmas = np.exp(np.interp(asked, learned, logs))
    nearest = np.abs(np.log(sigmas)[:, None] - logs[None, :]).argmin(1)
    return Levels(sigmas, table.timesteps_at(learned[nearest]))


TURBO_LEVELS = 10
"""The noise levels that SD Turbo and SDXL Turbo learn, at an even stride."""


def sd_turbo(steps: int, table: Table) -> Levels:
    """The first of the ten levels that SD Turbo and SDXL Turbo learn (ComfyUI's SDTurboScheduler).

    4 steps are at 999, 899, 799 and 699. More than 10 steps are 10.
    """
    stride = len(table) // TURBO_LEVELS
    return _entries(len(table) - 1 - stride * np.arange(min(steps, TURBO_LEVELS), dtype=np.float64), table)


SCHEDULES: dict[str, Callable[[int, Table], Levels]] = {
    "normal": normal,
    "karras": karras,
    "exponential": exponential,
    "polyexponential": polyexponential,
    "kl_optimal": kl_optimal,
    "kl_optimal_a1111": kl_optimal_a1111,
    "align_your_steps": align_your_steps,
    "align_your_steps_xl": align_your_steps_xl,
    "simple": simple,
    "sgm_uniform": sgm_uniform,
    "time_uniform": time_uniform,
    "ddim_uniform": ddim_uniform,
    "ddim_a1111": ddim_a1111,
    "ddim_diffusers": ddim_diffusers,
    "beta": beta,
    "beta_a1111": beta_a1111,
    "linear_quadratic": linear_quadratic,
    "lcm": lcm,
    "sd_turbo": sd_turbo,
}


BENDING: dict[str, Callable[[int, Table, float], Levels]] = {
    "karras": karras,
    "polyexponential": polyexponential,
}
"""Schedules with a parameter rho."""

DIFFUSION_ONLY = ("align_your_steps", "align_your_steps_xl")
"""Schedules whose levels do not exist in flow-matching models."""


def schedule(
    name: str,
    steps: int,
    table: Table,
    *,
    discard_penultimate: bool = False,
    rho: float | None = None,
) -> Schedule:
    """The noise levels of a named schedule.

    Args:
        name: one of `SCHEDULES`.
        steps: 1 up to the number of training steps less 1. Some schedules have a few steps more or less.
        table: the noise that the model was trained with.
        discard_penultimate: compute the schedule for one more step and drop its penultimate level, as A1111
            and ComfyUI do for some samplers; see `samplers.SAMPLERS`.
        rho: for `karras` and `polyexponential`, instead of their default.

    Raises:
        ValueError: the name is unknown, the steps are out of range, or the schedule has no rho or is not for
            models that learned a flow.
    """
    if name not in SCHEDULES:
        raise ValueError(f"There is no schedule {name!r}. Choose one of {', '.join(SCHEDULES)}.")
    most = len(table) - 1
    if not 1 <= steps <= most:
        raise ValueError(f"A schedule of {steps} steps is not possible; this model allows 1 to {most}.")
    if table.is_flow and name in DIFFUSION_ONLY:
        raise ValueError(
            f"The schedule {name} has levels of diffusion models, and this model learned a flow. Use normal,"
            " simple or sgm_uniform."
        )
    if rho is None:
        levels = SCHEDULES[name](steps + discard_penultimate, table)
    elif name in BENDING:
        levels = BENDING[name](steps + discard_penultimate, table, rho)
    else:
        raise ValueError(f"The schedule {name} has no rho. Leave it empty, or use {' or '.join(BENDING)}.")
    kept = len(levels.sigmas) - (discard_penultimate and len(levels.sigmas) > 1)
    return schedule_of(levels.sigmas[:kept], levels.timesteps[:kept], table, levels.last)


def sigmas(name: str, steps: int, table: Table) -> Tensor:
    """The sigmas of a named schedule: float32 [steps + 1], falling."""
    return schedule(name, steps, table).sigmas


def _interpolated(sigmas: Floats, table: Table) -> Levels:
    return Levels(sigmas, table.timesteps(sigmas))


def _entries(positions: Floats, table: Table) -> Levels:
    sigmas = table.sigmas[positions.astype(np.int64)].astype(np.float64)
    return Levels(sigmas, table.timesteps_at(positions))


def _resampled(known: tuple[float, ...], steps: int, table: Table) -> Levels:
    places = np.linspace(0, 1, steps)
    return _interpolated(np.exp(np.interp(places, np.linspace(0, 1, len(known)), np.log(known))), table)
