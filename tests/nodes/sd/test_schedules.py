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

from nodes.sd import schedules
from nodes.sd.folder import Betas
from nodes.sd.names import ScheduleName
from nodes.sd.schedules import NoiseTable, from_sigmas, schedule

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


def reference(name: str, n: int) -> np.ndarray:
    """The schedules as k-diffusion, A1111 and ComfyUI define them, without the final 0."""
    low, high = EXACT[0], EXACT[-1]
    if name == "normal":
        return log_interpolated(np.linspace(999, 0, n))
    if name == "karras":
        ramp = np.linspace(0, 1, n)
        return np.asarray((high ** (1 / 7) + ramp * (low ** (1 / 7) - high ** (1 / 7))) ** 7)
    if name == "exponential":
        return np.array([high * (low / high) ** (i / max(n - 1, 1)) for i in range(n)])
    if name == "simple":
        return np.array([EXACT[-(1 + int(i * (1000 / n)))] for i in range(n)])
    if name == "sgm_uniform":
        return log_interpolated(np.linspace(999, 0, n + 1)[:-1])
    if name == "kl_optimal":
        ramp = np.linspace(0, 1, n)
        return np.asarray(np.tan(ramp * math.atan(low) + (1 - ramp) * math.atan(high)))
    if name == "align_your_steps":
        known = [14.615, 6.475, 3.861, 2.697, 1.886, 1.396, 0.963, 0.652, 0.399, 0.152, 0.029]
        at = [i * 10 / max(n - 1, 1) for i in range(n)]
        below = [min(int(place), 9) for place in at]
        pairs = [(known[k], known[k + 1], place - k) for k, place in zip(below, at, strict=True)]
        return np.array([one ** (1 - share) * other**share for one, other, share in pairs])
    assert name == "ddim_uniform"
    return np.array([EXACT[1 + i * (1000 // n)] for i in reversed(range(n))])


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
    assert found[-1] == 0
    # The float32 table strays 1.3e-5; "normal" also goes straight in sigma, the formula in log sigma.
    tolerance = (5e-4 if steps > 33 else 5e-5) if name == "normal" else 2e-5
    np.testing.assert_allclose(found[:-1], reference(name, steps), rtol=tolerance)
    assert (found[1:] < found[:-1]).all()


@pytest.mark.parametrize(
    ("name", "settings"),
    [
        ("normal", {}),
        ("karras", {"use_karras_sigmas": True}),
        ("exponential", {"use_exponential_sigmas": True}),
        ("ddim_uniform", {"timestep_spacing": "leading", "steps_offset": 1}),
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
    assert torch.equal(ours.exact, theirs.timesteps)


@pytest.mark.parametrize("name", ["normal", "karras", "exponential", "kl_optimal", "simple", "sgm_uniform"])
def test_a_single_step_starts_at_the_most_noise(name: str) -> None:
    plan = schedule(name, 1, SD1)
    assert plan.sigmas.tolist() == pytest.approx([14.614647, 0.0])
    assert plan.exact.tolist() == [999]


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
    assert [plan.timestep(sigma) for sigma in plan.sigmas[:-1]] == list(plan.exact)
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
    assert torch.equal(part.exact, whole.exact[steps - kept :])


@pytest.mark.parametrize("strength", [-0.1, 1.1, math.nan])
def test_a_strength_out_of_range_is_refused(strength: float) -> None:
    with pytest.raises(ValueError, match="within 0 and 1"):
        schedule("normal", 20, SD1).for_strength(strength)


def test_own_sigmas_become_a_schedule() -> None:
    plan = from_sigmas([14.6, 1.0, 0.1], SD1)
    assert plan.sigmas.tolist() == pytest.approx([14.6, 1.0, 0.1, 0.0])
    expected = np.interp(np.log([14.6, 1.0, 0.1]), np.log(EXACT), np.arange(1000))
    np.testing.assert_allclose(plan.exact, expected, atol=1e-2)
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
