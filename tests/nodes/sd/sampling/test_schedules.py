"""Noise levels against their formulas, written anew in float64, and against diffusers."""

from __future__ import annotations

import math
from typing import get_args

import numpy as np
import pytest
import torch
from diffusers import EulerDiscreteScheduler
from hypothesis import given
from hypothesis import strategies as st

from nodes.sd.families.family import Betas
from nodes.sd.sampling import schedules
from nodes.sd.sampling.beta_quantile import beta_quantile
from nodes.sd.sampling.names import ScheduleName
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.schedule import from_sigmas
from nodes.sd.sampling.schedules import schedule

# numpy 2 warns of how diffusers turns a tensor into an array
pytestmark = pytest.mark.filterwarnings("ignore:__array__ implementation:DeprecationWarning")

SD1 = NoiseTable()
STEPS = (1, 2, 7, 20, 33, 150)


def exact_table(betas: Betas) -> np.ndarray:
    if betas.schedule == "scaled_linear":
        rising = np.linspace(math.sqrt(betas.start), math.sqrt(betas.end), betas.steps) ** 2
    else:
        rising = np.linspace(betas.start, betas.end, betas.steps)
    left = np.array([math.prod(1 - rising[: i + 1]) for i in range(betas.steps)])
    return np.asarray(np.sqrt((1 - left) / left))


EXACT = exact_table(Betas())


def log_interpolated(t: np.ndarray) -> np.ndarray:
    low = np.minimum(t.astype(int), 998)
    share = t - low
    return np.asarray(np.exp((1 - share) * np.log(EXACT[low]) + share * np.log(EXACT[low + 1])))


ALIGNED = {
    "align_your_steps": [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029],
    "align_your_steps_xl": [14.615, 6.315, 3.771, 2.181, 1.342, 0.862, 0.555, 0.380, 0.234, 0.113, 0.029],
}


def beta_quantiles(shares: np.ndarray) -> np.ndarray:
    """Quantiles of the beta distribution with both parameters 0.6, off a fine grid of its integral.

    With x = sin^2(angle) the density is sin(angle)^0.2 cos(angle)^0.2, which has no poles.
    """
    angles = np.linspace(0, math.pi / 2, 400_001)
    middle = (angles[1:] + angles[:-1]) / 2
    mass = np.append(0, np.cumsum(np.sin(middle) ** 0.2 * np.cos(middle) ** 0.2))
    return np.asarray(np.sin(np.interp(shares, mass / mass[-1], angles)) ** 2)


def reference(name: str, n: int) -> np.ndarray:
    """The schedules as k-diffusion, A1111 and ComfyUI define them, with their last level."""
    low, high = EXACT[0], EXACT[-1]
    if name == "normal":
        return np.append(log_interpolated(np.linspace(999, 0, n)), 0)
    if name == "karras":
        ramp = np.linspace(0, 1, n)
        return np.append((high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7, 0)
    if name in ("exponential", "polyexponential"):
        return np.array([*(high * (low / high) ** (i / max(n - 1, 1)) for i in range(n)), 0])
    if name == "simple":
        return np.array([*(EXACT[-(1 + int(i * (1000 / n)))] for i in range(n)), 0])
    if name == "sgm_uniform":
        return np.append(log_interpolated(np.linspace(999, 0, n + 1)[:-1]), 0)
    if name == "time_uniform":
        return log_interpolated(np.linspace(999, 0, n + 1))
    if name == "kl_optimal":
        ramp = np.linspace(0, 1, n)
        return np.append(np.tan(ramp * math.atan(low) + (1 - ramp) * math.atan(high)), 0)
    if name == "kl_optimal_a1111":
        steps = np.arange(n + 1)
        return np.asarray(np.tan(steps / n * math.atan(low) + (1 - steps / n) * math.atan(high)))
    if name in ALIGNED:
        known = ALIGNED[name]
        at = [i * 10 / max(n - 1, 1) for i in range(n)]
        below = [min(int(place), 9) for place in at]
        pairs = [(known[k], known[k + 1], place - k) for k, place in zip(below, at, strict=True)]
        return np.array([*(one ** (1 - share) * other**share for one, other, share in pairs), 0])
    if name == "beta":
        whole = np.rint(beta_quantiles(1 - np.arange(n) / n) * 999).astype(int)
        return np.append(EXACT[list(dict.fromkeys(whole))], 0)
    if name == "beta_a1111":
        return np.append(low + beta_quantiles(1 - np.linspace(0, 1, n)) * (high - low), 0)
    if name == "linear_quadratic":
        from diffusers.pipelines.mochi.pipeline_mochi import linear_quadratic_schedule

        kept = [1.0] if n == 1 else linear_quadratic_schedule(n, 0.025)
        return np.append(np.array(kept) * high, 0)
    if name == "lcm":
        asked = np.linspace(999, 19, n)
        lower = np.minimum((asked - 19) // 20 * 20 + 19, 979).astype(int)
        part = (asked - lower) / 20
        return np.append(np.exp((1 - part) * np.log(EXACT[lower]) + part * np.log(EXACT[lower + 20])), 0)
    if name == "sd_turbo":
        return np.append(EXACT[999 - 100 * np.arange(min(n, 10))], 0)
    levels = [EXACT[t] for t in range(1, 1000, max(1000 // n, 1))]
    if name == "ddim_diffusers":
        return np.array([*levels[:n][::-1], 0])
    assert name in ("ddim_uniform", "ddim_a1111")
    if name == "ddim_uniform" or len(levels) == 1:
        return np.array([*levels[::-1], 0])
    return np.array(levels[::-1])


@pytest.mark.parametrize("betas", [Betas(), Betas("linear", 0.0001, 0.02, 1000), Betas(steps=50)])
def test_the_table_is_the_formula(betas: Betas) -> None:
    # 1 - alpha cancels in float32 where little noise is: more so the smaller the first beta.
    np.testing.assert_allclose(NoiseTable(betas).sigmas, exact_table(betas), rtol=1e-4)


@pytest.mark.parametrize("steps", [2, 20])
def test_zero_snr_is_that_of_diffusers_bit_for_bit(steps: int) -> None:
    table = NoiseTable(Betas(zero_snr=True))
    theirs = EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, rescale_betas_zero_snr=True
    )
    theirs.set_timesteps(steps)
    assert torch.equal(schedule("normal", steps, table).sigmas, theirs.sigmas)
    assert table.sigma_max == pytest.approx(4096, rel=1e-6)
    assert table.sigma_min == pytest.approx(SD1.sigma_min, rel=1e-4)


def test_sd1_has_the_sigmas_everyone_quotes() -> None:
    assert SD1.sigma_min == pytest.approx(0.02917, abs=5e-6)
    assert SD1.sigma_max == pytest.approx(14.6146, abs=5e-5)


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("steps", STEPS)
def test_every_schedule_is_its_formula(name: str, steps: int) -> None:
    found = schedules.sigmas(name, steps, SD1)
    assert found.dtype == torch.float32
    # The float32 table strays 1.3e-5; "normal" also goes straight in sigma, the formula in log sigma.
    tolerance = (5e-4 if steps > 33 else 5e-5) if name == "normal" else 2e-5
    np.testing.assert_allclose(found, reference(name, steps), rtol=tolerance)
    assert (found[1:] < found[:-1]).all()


@pytest.mark.parametrize("name", schedules.SCHEDULES)
@pytest.mark.parametrize("steps", [1, 10, 20])
def test_the_penultimate_level_can_be_discarded(name: str, steps: int) -> None:
    """A1111's and ComfyUI's rule for DPM2: the schedule of one step more, without its last level but one."""
    longer = reference(name, steps + 1)
    expected = np.delete(longer, -2) if len(longer) > 2 else longer
    found = schedule(name, steps, SD1, discard_penultimate=True)
    tolerance = 5e-5 if name == "normal" else 2e-5
    np.testing.assert_allclose(found.sigmas, expected, rtol=tolerance)
    assert len(found.timesteps) == found.steps == len(found.sigmas) - 1


@pytest.mark.parametrize("rho", [1.0, 3.0])
def test_rho_bends_a_schedule(rho: float) -> None:
    low, high, way = EXACT[0], EXACT[-1], np.arange(12) / 11
    bent = (high ** (1 / rho) * (1 - way) + low ** (1 / rho) * way) ** rho
    np.testing.assert_allclose(schedule("karras", 12, SD1, rho=rho).sigmas[:-1], bent, rtol=2e-5)
    powers = high ** ((1 - way) ** rho) * low ** (1 - (1 - way) ** rho)
    np.testing.assert_allclose(schedule("polyexponential", 12, SD1, rho=rho).sigmas[:-1], powers, rtol=2e-5)
    with pytest.raises(ValueError, match="normal has no rho"):
        schedule("normal", 12, SD1, rho=rho)


def test_a_share_of_the_training_steps_is_a_level() -> None:
    assert SD1.level_after(0) == math.inf
    assert SD1.level_after(1) == 0
    middle = float(log_interpolated(np.array([499.5]))[0])
    assert SD1.level_after(0.5) == pytest.approx(middle, rel=2e-5)


@pytest.mark.parametrize(("steps", "count", "highest"), [(20, 20, 951), (30, 31, 991), (15, 16, 991)])
def test_ddim_uniform_goes_up_to_1000(steps: int, count: int, highest: int) -> None:
    found = schedule("ddim_uniform", steps, SD1)
    assert (found.steps, float(found.timesteps[0]), float(found.timesteps[-1])) == (count, highest, 1)
    a1111 = schedule("ddim_a1111", steps, SD1)
    assert torch.equal(a1111.sigmas, found.sigmas[:-1])
    assert a1111.steps == count - 1


def test_lcm_has_the_levels_that_the_models_learn() -> None:
    assert schedule("lcm", 8, SD1).timesteps.tolist() == [999, 859, 719, 579, 439, 299, 159, 19]
    assert schedule("lcm", 4, SD1).timesteps.tolist() == [999, 679, 339, 19]


@pytest.mark.parametrize("parameters", [(0.6, 0.6), (2.0, 5.0), (0.5, 0.5), (9.0, 1.5)])
def test_beta_quantiles_are_those_of_the_distribution(parameters: tuple[float, float]) -> None:
    """The share below each quantile, integrated with x = sin^2(angle) in place of x."""
    alpha, beta = parameters
    shares = np.linspace(0.001, 0.999, 25)
    ends = np.arcsin(np.sqrt(beta_quantile(shares, alpha, beta)))
    points, masses = np.polynomial.legendre.leggauss(400)

    def integral(end: float) -> float:
        angles = end / 2 * (points + 1)
        return float(
            end / 2 * masses @ (np.sin(angles) ** (2 * alpha - 1) * np.cos(angles) ** (2 * beta - 1))
        )

    found = [integral(end) / integral(math.pi / 2) for end in ends]
    np.testing.assert_allclose(found, shares, atol=2e-6)
    assert beta_quantile(np.array([0.0, 1.0]), alpha, beta).tolist() == [0, 1]


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("normal", {}),
        ("karras", {"use_karras_sigmas": True}),
        ("exponential", {"use_exponential_sigmas": True}),
        ("ddim_diffusers", {"timestep_spacing": "leading", "steps_offset": 1}),
    ],
)
@pytest.mark.parametrize("steps", STEPS[1:])
def test_sigmas_and_timesteps_are_those_of_diffusers_bit_for_bit(
    name: str, settings: dict[str, object], steps: int
) -> None:
    theirs = EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, **settings
    )
    theirs.set_timesteps(steps)
    ours = schedule(name, steps, SD1)
    assert torch.equal(ours.sigmas, theirs.sigmas)
    assert torch.equal(ours.timesteps, theirs.timesteps)


@pytest.mark.parametrize("name", ["normal", "karras", "exponential", "kl_optimal", "simple", "sgm_uniform"])
def test_a_single_step_starts_at_the_most_noise(name: str) -> None:
    plan = schedule(name, 1, SD1)
    assert plan.sigmas.tolist() == pytest.approx([14.614647, 0.0])
    assert plan.timesteps.tolist() == [999]


def test_simple_is_trailing_where_the_stride_is_whole() -> None:
    theirs = EulerDiscreteScheduler(
        beta_schedule="scaled_linear", beta_start=0.00085, beta_end=0.012, timestep_spacing="trailing"
    )
    theirs.set_timesteps(20)
    assert torch.equal(schedule("simple", 20, SD1).sigmas, theirs.sigmas)


def test_table_entries_have_whole_timesteps() -> None:
    np.testing.assert_allclose(SD1.timesteps(SD1.sigmas.astype(np.float64)), np.arange(1000), atol=1e-3)


@given(st.floats(0, 999))
def test_timestep_and_sigma_are_inverse(t: float) -> None:
    assert SD1.timesteps(SD1.at(np.array([t])))[0] == pytest.approx(t, abs=2e-3)


def test_sigmas_beyond_the_table_get_its_ends() -> None:
    np.testing.assert_array_equal(SD1.timesteps(np.array([0.0, 1e-3, 100.0])), [0, 0, 999])


def test_a_schedule_knows_its_own_timesteps_and_interpolates_the_rest() -> None:
    plan = schedule("normal", 20, SD1)
    assert [plan.timestep(sigma) for sigma in plan.sigmas[:-1]] == list(plan.timesteps)
    between = torch.tensor(float(np.sqrt(SD1.sigmas[500] * SD1.sigmas[501])))
    assert float(plan.timestep(between)) == pytest.approx(500.5, abs=2e-3)


@pytest.mark.parametrize(
    ("steps", "strength", "kept"),
    [(20, 0.0, 1), (20, 0.5, 11), (20, 0.75, 16), (20, 1.0, 20), (30, 0.1, 4), (7, 0.999, 7), (1, 0.3, 1)],
)
def test_strength_keeps_the_steps_that_a1111_keeps(steps: int, strength: float, kept: int) -> None:
    whole = schedule("karras", steps, SD1)
    part = whole.for_strength(strength)
    assert part.steps == kept
    assert torch.equal(part.sigmas, whole.sigmas[steps - kept :])
    assert torch.equal(part.timesteps, whole.timesteps[steps - kept :])


@pytest.mark.parametrize(
    ("start", "end", "keep_noise", "levels"),
    [
        (0, None, False, slice(0, 21)),
        (7, None, False, slice(7, 21)),
        (0, 12, True, slice(0, 13)),
        (3, 12, True, slice(3, 13)),
        (3, 1000, False, slice(3, 21)),
    ],
)
def test_part_of_a_schedule(start: int, end: int | None, keep_noise: bool, levels: slice) -> None:
    whole = schedule("karras", 20, SD1)
    part = whole.between(start, end, keep_noise=keep_noise)
    assert torch.equal(part.sigmas, whole.sigmas[levels])
    assert torch.equal(part.timesteps, whole.timesteps[levels][: part.steps])


def test_part_of_a_schedule_may_remove_all_noise_in_its_last_step() -> None:
    whole = schedule("karras", 20, SD1)
    part = whole.between(3, 12)
    assert torch.equal(part.sigmas[:-1], whole.sigmas[3:12])
    assert part.sigmas[-1] == 0


@pytest.mark.parametrize(("start", "end"), [(20, None), (12, 12), (13, 12), (-1, 4)])
def test_a_part_without_steps_is_refused(start: int, end: int | None) -> None:
    with pytest.raises(ValueError, match="the schedule has 20 steps"):
        schedule("karras", 20, SD1).between(start, end)


def test_timesteps_may_be_whole() -> None:
    plan = schedule("karras", 20, SD1)
    whole = plan.with_whole_timesteps()
    asked = [whole.timestep(sigma) for sigma in [*plan.sigmas[:-1], torch.tensor(1.0)]]
    assert [float(t) for t in asked] == [
        round(float(plan.timestep(sigma))) for sigma in [*plan.sigmas[:-1], torch.tensor(1.0)]
    ]
    assert whole.for_strength(0.5).whole_timesteps
    assert whole.between(3).whole_timesteps


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="within 0 and 1"):
        schedule("normal", 20, SD1).for_strength(strength)


def test_own_sigmas_become_a_schedule() -> None:
    plan = from_sigmas([14.6, 1.0, 0.1], SD1)
    assert plan.sigmas.tolist() == pytest.approx([14.6, 1.0, 0.1, 0.0])
    expected = np.interp(np.log([14.6, 1.0, 0.1]), np.log(EXACT), np.arange(1000))
    np.testing.assert_allclose(plan.timesteps, expected, atol=1e-2)
    assert torch.equal(from_sigmas([14.6, 1.0, 0.1, 0.0], SD1).sigmas, plan.sigmas)


@pytest.mark.parametrize("bad", [[], [0.0], [1.0, 1.0], [1.0, 2.0], [1.0, -1.0], [math.nan], [math.inf, 1.0]])
def test_sigmas_that_do_not_fall_are_refused(bad: list[float]) -> None:
    with pytest.raises(ValueError, match="fall from each to the next"):
        from_sigmas(bad, SD1)


def test_an_unknown_schedule_is_refused_with_the_known_ones() -> None:
    with pytest.raises(ValueError, match=r"'bogus'.*normal, karras"):
        schedule("bogus", 20, SD1)


@pytest.mark.parametrize("steps", [0, -1, 1000])
def test_steps_out_of_range_are_refused(steps: int) -> None:
    with pytest.raises(ValueError, match="1 to 999"):
        schedule("normal", steps, SD1)


def test_the_torch_free_names_are_the_table() -> None:
    assert get_args(ScheduleName) == tuple(schedules.SCHEDULES)
