"""Samplers against their formulas in float64, an exactly solved flow, and diffusers' schedulers."""

from __future__ import annotations

import math
from collections.abc import Callable
from itertools import pairwise
from typing import Any, get_args

import numpy as np
import pytest
import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    HeunDiscreteScheduler,
    KDPM2AncestralDiscreteScheduler,
    KDPM2DiscreteScheduler,
    UniPCMultistepScheduler,
)
from torch import Tensor

from nodes.sd.sampling import samplers
from nodes.sd.sampling.names import SamplerName
from nodes.sd.sampling.noise import Between, NoiseSource
from nodes.sd.sampling.noise_table import NoiseTable
from nodes.sd.sampling.samplers import (
    SAMPLERS,
    Churn,
    Denoise,
    SamplerSettings,
    needs_noise,
    sample,
    start,
    unused_settings,
)
from nodes.sd.sampling.schedules import schedule
from tests.nodes.sd.sampling import formulas
from tests.nodes.sd.sampling.formulas import FORMULAS, SEED

# numpy 2 warns of how diffusers turns tensors into arrays and back
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

TABLE = NoiseTable()
MEAN, SPREAD = 0.3, 0.7
END_IN_NOISE = ("dpm_fast", "dpm_adaptive")
"""Samplers that end at the lowest noise level, not at the clean latent."""
ENDS_ELSEWHERE = ("lms", "plms", "dpmpp_2s_ancestral_cfg_pp")
"""Samplers whose last step down to 0 is not straight to the clean latent that the model sees."""
STOCHASTIC = [name for name in SAMPLERS if needs_noise(name)]


class Guided:
    """A model with guidance: what it answers, and what it would answer without guidance."""

    def __init__(self, answer: Callable[[Tensor, Tensor], Tensor], unguided: float) -> None:
        self._answer, self._unguided = answer, unguided

    def __call__(self, x: Tensor, sigma: Tensor) -> Tensor:
        return self._answer(x, sigma)

    def both(self, x: Tensor, sigma: Tensor) -> tuple[Tensor, Tensor]:
        guided = self._answer(x, sigma)
        return guided, self._unguided * guided


def gaussian_answer(x: Tensor, sigma: Tensor) -> Tensor:
    return MEAN + SPREAD**2 / (SPREAD**2 + sigma**2) * (x - MEAN)


def bent_answer(x: Tensor, sigma: Tensor) -> Tensor:
    return torch.tanh(x / (1 + sigma)) + 0.1 * torch.sin(3 * x) / (1 + sigma**2)


gaussian = Guided(gaussian_answer, 1.0)
"""The exact denoiser of latents drawn from a normal distribution."""
bent = Guided(bent_answer, 0.9)
"""A denoiser that is linear in nothing, so that no term of a formula can hide."""


def flow(x: Tensor, sigma: float, target: float) -> Tensor:
    """Where the probability flow of that distribution takes x, exactly."""
    return MEAN + (x - MEAN) * math.sqrt((SPREAD**2 + target**2) / (SPREAD**2 + sigma**2))


def consistent(x: Tensor, sigma: Tensor) -> Tensor:
    """What a consistency model of that distribution answers: the end of the flow."""
    return flow(x, float(sigma), 0.0)


def run(
    name: str, denoise: Denoise, x: Tensor, sigmas: Tensor, settings: SamplerSettings = samplers.DEFAULTS
) -> Tensor:
    *_, last = sample(name, denoise, x, sigmas, NoiseSource(SEED, len(x)), settings)
    return last.x


def begin(sigmas: Tensor) -> Tensor:
    return start(NoiseSource(1, 2).draw((4, 8, 8)).double(), sigmas)


def churned_euler(denoise: Denoise, x: Tensor, sigmas: Tensor, churn: Churn, scale: float) -> Tensor:
    """arXiv:2206.00364, algorithm 2 without its second half."""
    draws = formulas.Draws(len(x))
    count = len(sigmas) - 1
    for now, then in pairwise(sigmas):
        gamma = min(churn.amount / count, math.sqrt(2) - 1) if churn.low <= now <= churn.high else 0.0
        raised = now + gamma * now
        if gamma:
            x = x + torch.sqrt(raised**2 - now**2) * scale * draws.like(x)
        x = x + (then - raised) * (x - denoise(x, raised)) / raised
    return x


@pytest.mark.parametrize("name", FORMULAS)
@pytest.mark.parametrize(("spacing", "steps"), [("normal", 12), ("karras", 12), ("exponential", 26)])
@pytest.mark.parametrize("denoise", [gaussian, bent], ids=["gaussian", "bent"])
def test_every_sampler_is_its_formula(name: str, spacing: str, steps: int, denoise: Guided) -> None:
    sigmas = schedule(spacing, steps, TABLE).sigmas.double()
    x = begin(sigmas)
    found, expected = run(name, denoise, x, sigmas), FORMULAS[name](denoise, x, sigmas)
    tolerance = 1e-6 if name == "deis" else 1e-8
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


@pytest.mark.parametrize("name", FORMULAS)
def test_every_sampler_may_end_above_no_noise(name: str) -> None:
    sigmas = schedule("time_uniform", 9, TABLE).sigmas.double()
    x = begin(sigmas)
    if name == "restart":  # its formula is written for an end at 0
        assert torch.isfinite(run(name, bent, x, sigmas)).all()
        return
    found, expected = run(name, bent, x, sigmas), FORMULAS[name](bent, x, sigmas)
    tolerance = 1e-6 if name == "deis" else 1e-8
    torch.testing.assert_close(found, expected, rtol=tolerance, atol=tolerance)


def test_every_sampler_has_an_oracle() -> None:
    assert set(SAMPLERS) == {*FORMULAS, "uni_pc", "uni_pc_bh2"}


ETAS: dict[str, Any] = {
    "ddim": formulas.ddim,
    "ddim_cfg_pp": formulas.cfg_pp,
    "euler_ancestral_cfg_pp": formulas.cfg_pp,
    "dpm_fast": formulas.dpm_fast,
    "dpm_adaptive": formulas.dpm_adaptive,
    "dpmpp_2m_sde": formulas.dpmpp_2m_sde,
    "dpmpp_2m_sde_heun": formulas.dpmpp_2m_sde_heun,
    "dpmpp_3m_sde": formulas.dpmpp_3m_sde,
    "res_multistep_ancestral": formulas.res,
    "seeds_2": formulas.seeds_2,
    "seeds_3": formulas.seeds_3,
    "exp_heun_2_x0_sde": formulas.exp_heun,
    "sa_solver": formulas.sa_solver,
}


@pytest.mark.parametrize("name", ETAS)
@pytest.mark.parametrize("eta", [0.0, 0.5, 1.0])
def test_eta_is_that_of_the_formula(name: str, eta: float) -> None:
    sigmas = schedule("karras", 12, TABLE).sigmas.double()
    x = begin(sigmas)
    found = run(name, bent, x, sigmas, SamplerSettings(eta=eta))
    torch.testing.assert_close(found, ETAS[name](bent, x, sigmas, eta), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("name", "without"),
    [
        ("euler_ancestral", "euler"),
        ("dpm2_ancestral", "dpm2"),
        ("res_multistep_ancestral", "res_multistep"),
        ("dpmpp_2m_sde", "dpmpp_2m"),
    ],
)
def test_with_eta_0_a_sampler_follows_the_flow(name: str, without: str) -> None:
    sigmas = schedule("karras", 12, TABLE).sigmas.double()
    x = begin(sigmas)
    *_, last = sample(name, bent, x, sigmas, None, SamplerSettings(eta=0))
    torch.testing.assert_close(last.x, run(without, bent, x, sigmas), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_the_noise_of_a_step_can_be_scaled(name: str) -> None:
    """With a model that is linear, twice the noise moves the result twice as far."""
    sigmas = schedule("karras", 24, TABLE).sigmas.double()
    x = begin(sigmas)
    half = Guided(lambda x, sigma: x / 2, 1.0)
    none, once, twice = (run(name, half, x, sigmas, SamplerSettings(noise_scale=s)) for s in (0, 1, 2))
    torch.testing.assert_close(twice - none, 2 * (once - none), rtol=1e-8, atol=1e-8)
    assert float((once - none).abs().max()) > 1e-3


def test_sa_solver_adds_noise_only_at_some_levels() -> None:
    sigmas = schedule("karras", 12, TABLE).sigmas.double()
    x = begin(sigmas)
    found = run("sa_solver", bent, x, sigmas, SamplerSettings(noisy_levels=samplers.Levels(low=0.5)))
    torch.testing.assert_close(found, formulas.sa_solver(bent, x, sigmas, low=0.5), rtol=1e-8, atol=1e-8)


@pytest.mark.parametrize(
    ("churn", "scale"),
    [(Churn(10), 1.0), (Churn(1000), 1.0), (Churn(10, 0.1, 3.0), 1.0), (Churn(10, noise_scale=1.1), 1.1)],
)
def test_churn_is_that_of_the_paper(churn: Churn, scale: float) -> None:
    sigmas = schedule("karras", 12, TABLE).sigmas.double()
    x = begin(sigmas)
    found = run("euler", bent, x, sigmas, SamplerSettings(churn=churn))
    torch.testing.assert_close(found, churned_euler(bent, x, sigmas, churn, scale), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize("name", [name for name, kind in SAMPLERS.items() if kind.churns])
def test_churn_ends_in_the_distribution_itself(name: str) -> None:
    sigmas = schedule("karras", 200, TABLE).sigmas.double()
    x = start(NoiseSource(2).draw((1, 128, 128)).double(), sigmas)
    found = run(name, gaussian, x, sigmas, SamplerSettings(churn=Churn(40)))
    assert float(found.mean()) == pytest.approx(MEAN, abs=0.03)
    assert float(found.std()) == pytest.approx(SPREAD, abs=0.04)  # samplers of first order stay below


def test_settings_that_a_sampler_does_not_have_are_named() -> None:
    churn = Churn(5)
    assert unused_settings("euler", SamplerSettings(eta=0.5, noise_scale=1.1)) == ["eta", "noise_scale"]
    assert unused_settings("euler", SamplerSettings(noise_scale=1.1, churn=churn)) == []
    assert unused_settings("euler_ancestral", SamplerSettings(eta=0.5, churn=churn)) == ["churn"]
    assert unused_settings("lcm", SamplerSettings(eta=0.5)) == ["eta"]


@pytest.mark.parametrize(
    ("name", "order"),
    [
        ("euler", 1),
        ("ddim", 1),
        ("heun", 2),
        ("dpm2", 2),
        ("dpmpp_2m", 2),
        ("res_multistep", 2),
        ("exp_heun_2_x0", 2),
    ],
)
def test_the_order_of_convergence(name: str, order: int) -> None:
    counts = (50, 100, 200, 400)
    x = torch.linspace(-20, 20, 9, dtype=torch.float64).reshape(1, 1, 3, 3)
    errors = []
    for steps in counts:
        sigmas = torch.tensor(np.geomspace(10.0, 0.1, steps + 1))
        errors.append(float((run(name, gaussian, x, sigmas) - flow(x, 10.0, 0.1)).abs().max()))
    slope = -np.polyfit(np.log(counts), np.log(errors), 1)[0]
    assert slope == pytest.approx(order, abs=0.1)


@pytest.mark.parametrize("name", STOCHASTIC)
def test_noise_on_the_way_ends_in_the_distribution_itself(name: str) -> None:
    sigmas = schedule("karras", 300, TABLE).sigmas.double()
    x = start(NoiseSource(2).draw((1, 128, 128)).double(), sigmas)
    found = run(name, consistent if name == "lcm" else gaussian, x, sigmas)
    error = SPREAD / 128  # of a mean over 128 * 128 samples
    assert float(found.mean()) == pytest.approx(MEAN, abs=4 * error)
    assert float(found.std()) == pytest.approx(SPREAD, abs=0.02)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in (*END_IN_NOISE, *ENDS_ELSEWHERE)])
def test_the_last_step_to_no_noise_lands_on_the_clean_latent(name: str) -> None:
    sigmas = schedule("karras", 6, TABLE).sigmas.double()
    *_, last = sample(name, bent, begin(sigmas), sigmas, NoiseSource(SEED, 2))
    torch.testing.assert_close(last.x, last.x0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", [name for name in SAMPLERS if name not in END_IN_NOISE])
def test_steps_come_one_by_one_and_stop_when_the_caller_does(name: str) -> None:
    calls: list[float] = []

    def counted(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(float(sigma))
        return gaussian_answer(x, sigma)

    plan = schedule("normal", 5, TABLE)
    steps = sample(name, Guided(counted, 1.0), begin(plan.sigmas).float(), plan.sigmas, NoiseSource(SEED, 2))
    assert calls == []
    first = next(steps)
    assert first.number == 0
    assert calls[0] == float(plan.sigmas[0])
    assert min(calls) > 0.999 * float(plan.sigmas[2 if name == "heunpp2" else 1])
    assert [step.number for step in steps] == [1, 2, 3, 4]
    assert first.x.dtype == first.x0.dtype == torch.float32


def test_a_preview_is_what_the_model_saw() -> None:
    sigmas = schedule("normal", 4, TABLE).sigmas.double()
    x = begin(sigmas)
    step = next(sample("dpmpp_2m", bent, x, sigmas))
    assert torch.equal(step.x0, bent(x, sigmas[0]))


def test_start_adds_the_noise_to_a_given_latent() -> None:
    sigmas = schedule("normal", 20, TABLE).for_strength(0.5).sigmas
    noise, latent = NoiseSource(3).draw((4, 2, 2)), torch.full((1, 4, 2, 2), 2.0)
    torch.testing.assert_close(start(noise, sigmas, latent), 2 + noise * float(sigmas[0]))
    torch.testing.assert_close(start(noise, sigmas), noise * float(sigmas[0]))


def theirs(
    scheduler: Any,
    x: Tensor,
    generators: list[torch.Generator] | None = None,
    path: Between | None = None,
) -> Tensor:
    """diffusers' loop round the bent denoiser, told each model call's sigma by the scheduler itself."""
    for i, t in enumerate(scheduler.timesteps):
        if isinstance(scheduler, DDIMScheduler):
            kept = scheduler.alphas_cumprod[int(t)]
            sigma = ((1 - kept) / kept).sqrt()
        elif isinstance(scheduler, KDPM2DiscreteScheduler) and not scheduler.state_in_first_order:
            sigma = scheduler.sigmas_interpol[i]
        elif isinstance(scheduler, KDPM2AncestralDiscreteScheduler) and not scheduler.state_in_first_order:
            sigma = scheduler.sigmas_interpol[i - 1]
        else:
            sigma = scheduler.sigmas[i]
        scaled = scheduler.scale_model_input(x, t)
        wide = scaled * torch.sqrt(1 + sigma**2)
        eps = (wide - bent(wide, sigma)) / sigma
        extra: dict[str, Any] = {"generator": generators} if generators else {}
        if path is not None and scheduler.sigmas[i + 1] > 0:
            extra["variance_noise"] = path(scheduler.sigmas[i], scheduler.sigmas[i + 1])
        x = scheduler.step(eps, t, x, **extra, return_dict=False)[0]
    return x


BETAS = {"beta_schedule": "scaled_linear", "beta_start": 0.00085, "beta_end": 0.012}


@pytest.mark.parametrize("steps", [10, 20, 30])
def test_dpmpp_2m_karras_is_that_of_diffusers(steps: int) -> None:
    scheduler = DPMSolverMultistepScheduler(**BETAS, use_karras_sigmas=True)
    scheduler.set_timesteps(steps)
    plan = schedule("karras", steps, TABLE)
    x = begin(plan.sigmas).float()
    unit = x / math.sqrt(1 + float(plan.sigmas[0]) ** 2)
    found = run("dpmpp_2m", bent, x, plan.sigmas)
    torch.testing.assert_close(found, theirs(scheduler, unit), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize("steps", [10, 20])
def test_ddim_is_that_of_diffusers(steps: int) -> None:
    scheduler = DDIMScheduler(
        **BETAS, timestep_spacing="leading", steps_offset=1, clip_sample=False, set_alpha_to_one=True
    )
    scheduler.set_timesteps(steps)
    plan = schedule("ddim_uniform", steps, TABLE)
    x = begin(plan.sigmas).float()
    unit = x / math.sqrt(1 + float(plan.sigmas[0]) ** 2)
    found = run("ddim", bent, x, plan.sigmas)
    torch.testing.assert_close(found, theirs(scheduler, unit), rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(
    ("name", "kind"),
    [
        ("euler", EulerDiscreteScheduler),
        ("euler_ancestral", EulerAncestralDiscreteScheduler),
        ("heun", HeunDiscreteScheduler),
        ("dpm2", KDPM2DiscreteScheduler),
        ("dpm2_ancestral", KDPM2AncestralDiscreteScheduler),
    ],
)
def test_samplers_of_k_diffusion_are_those_of_diffusers(name: str, kind: Any) -> None:
    scheduler = kind(**BETAS, timestep_spacing="linspace")
    scheduler.set_timesteps(10)
    plan = schedule("normal", 10, TABLE)
    x = begin(plan.sigmas).float()
    generators = [torch.Generator().manual_seed(SEED + i) for i in range(2)]
    found = run(name, bent, x, plan.sigmas)
    expected = theirs(scheduler, x, generators if name in STOCHASTIC else None)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


@pytest.mark.parametrize(("name", "solver"), [("dpmpp_2m_sde", "midpoint"), ("dpmpp_2m_sde_heun", "heun")])
def test_dpmpp_2m_sde_karras_is_that_of_diffusers(name: str, solver: str) -> None:
    scheduler = DPMSolverMultistepScheduler(
        **BETAS, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++", solver_type=solver
    )
    scheduler.set_timesteps(20)
    plan = schedule("karras", 20, TABLE)
    x = begin(plan.sigmas).float()
    unit = x / math.sqrt(1 + float(plan.sigmas[0]) ** 2)
    path = NoiseSource(SEED, 2).between(x, plan.sigmas)
    found = run(name, bent, x, plan.sigmas)
    torch.testing.assert_close(found, theirs(scheduler, unit, path=path), rtol=5e-5, atol=5e-5)


@pytest.mark.parametrize(("name", "solver"), [("uni_pc", "bh1"), ("uni_pc_bh2", "bh2")])
@pytest.mark.parametrize("steps", [4, 10, 20])
def test_uni_pc_is_that_of_diffusers(name: str, solver: str, steps: int) -> None:
    """In float64 and on sigmas that end above 0, where diffusers' last step is defined."""
    plan = schedule("karras", steps, TABLE)
    levels = plan.sigmas[:-1].double()
    scheduler = UniPCMultistepScheduler(
        **BETAS, solver_order=3, solver_type=solver, final_sigmas_type="sigma_min", lower_order_final=True
    )
    scheduler.set_timesteps(steps - 1)
    scheduler.sigmas = levels
    scheduler.timesteps = plan.timesteps[:-1]
    x = begin(plan.sigmas)
    z = x / torch.sqrt(1 + levels[0] ** 2)
    for sigma, t in zip(levels[:-1], scheduler.timesteps, strict=True):
        wide = z * torch.sqrt(1 + sigma**2)
        z = scheduler.step((wide - bent(wide, sigma)) / sigma, t, z, return_dict=False)[0]
    expected = z * torch.sqrt(1 + levels[-1] ** 2)
    torch.testing.assert_close(run(name, bent, x, levels), expected, rtol=1e-5, atol=1e-5)


@pytest.mark.parametrize("name", ["uni_pc", "uni_pc_bh2"])
def test_uni_pc_converges_to_the_flow(name: str) -> None:
    x = torch.linspace(-20, 20, 9, dtype=torch.float64).reshape(1, 1, 3, 3)
    errors = []
    for steps in (20, 40, 80):
        sigmas = torch.tensor(np.geomspace(10.0, 0.1, steps + 1))
        errors.append(float((run(name, gaussian, x, sigmas) - flow(x, 10.0, 0.1)).abs().max()))
    assert errors[0] > 2.5 * errors[1] > 6 * errors[2]  # its first and its last step are of first order
    assert errors[0] < 1e-3


def test_dpm_adaptive_meets_its_error_whatever_the_number_of_steps() -> None:
    x = torch.linspace(-20, 20, 9, dtype=torch.float64).reshape(1, 1, 3, 3)
    for steps in (2, 50):
        sigmas = torch.tensor(np.geomspace(10.0, 0.1, steps + 1))
        assert float((run("dpm_adaptive", gaussian, x, sigmas) - flow(x, 10.0, 0.1)).abs().max()) < 0.1


def test_dpm_fast_makes_as_many_calls_as_there_are_steps() -> None:
    for steps in (1, 2, 3, 7, 12):
        calls: list[Tensor] = []

        def counted(x: Tensor, sigma: Tensor, calls: list[Tensor] = calls) -> Tensor:
            calls.append(sigma)
            return gaussian_answer(x, sigma)

        sigmas = torch.tensor(np.geomspace(10.0, 0.1, steps + 1))
        made = list(sample("dpm_fast", counted, begin(sigmas), sigmas))
        assert len(calls) == steps
        assert len(made) == samplers.step_count("dpm_fast", sigmas) == steps // 3 + 1


@pytest.mark.parametrize("name", SAMPLERS)
@pytest.mark.parametrize("spacing", ["karras", "normal"])
def test_a_single_step_works(name: str, spacing: str) -> None:
    sigmas = schedule(spacing, 1, TABLE).sigmas.double()
    x = begin(sigmas)
    torch.testing.assert_close(run(name, gaussian, x, sigmas), gaussian(x, sigmas[0]), rtol=1e-9, atol=1e-9)


@pytest.mark.parametrize("name", SAMPLERS)
def test_step_count_equals_the_number_of_sampler_steps(name: str) -> None:
    sigmas = schedule("karras", 24, TABLE).sigmas.double()
    made = list(sample(name, gaussian, begin(sigmas), sigmas, NoiseSource(SEED, 2)))
    assert samplers.step_count(name, sigmas) == (None if name == "dpm_adaptive" else len(made))


@pytest.mark.parametrize("name", [name for name, kind in SAMPLERS.items() if kind.cfg_pp])
def test_cfg_pp_asks_for_a_model_that_answers_twice(name: str) -> None:
    sigmas = schedule("karras", 3, TABLE).sigmas.double()
    with pytest.raises(ValueError, match="negative prompt"):
        run(name, gaussian_answer, begin(sigmas), sigmas)


def test_nan_is_never_a_result() -> None:
    plan = schedule("normal", 3, TABLE)
    with pytest.raises(ValueError, match="NaN or infinity"):
        run("euler", lambda x, sigma: x * math.nan, begin(plan.sigmas), plan.sigmas)


@pytest.mark.parametrize("levels", [[1.0], [1.0, 1.0], [0.5, 1.0], [[1.0, 0.0]]])
def test_sigmas_that_do_not_fall_are_refused(levels: list[Any]) -> None:
    with pytest.raises(ValueError, match="each below"):
        sample("euler", gaussian, torch.zeros(1, 1, 2, 2), torch.tensor(levels))


def test_an_unknown_sampler_is_refused_at_once() -> None:
    with pytest.raises(ValueError, match=r"'bogus'.*euler, euler_ancestral"):
        sample("bogus", gaussian, torch.zeros(1, 1, 2, 2), torch.tensor([1.0, 0.0]))


def test_a_stochastic_sampler_asks_for_noise_at_once() -> None:
    with pytest.raises(ValueError, match="noise source"):
        sample("euler_ancestral", gaussian, torch.zeros(1, 1, 2, 2), torch.tensor([1.0, 0.0]))


def test_the_torch_free_names_are_the_table() -> None:
    assert get_args(SamplerName) == tuple(SAMPLERS)
