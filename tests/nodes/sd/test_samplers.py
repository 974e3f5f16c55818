"""Samplers against the papers' formulas in float64, an exactly solved flow, and diffusers' schedulers."""

from __future__ import annotations

import math
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
    KDPM2DiscreteScheduler,
)
from torch import Tensor

from nodes.sd import samplers
from nodes.sd.names import SamplerName
from nodes.sd.noise import NoiseSource
from nodes.sd.samplers import Denoise, sample, start
from nodes.sd.samplers.ancestral import ddim
from nodes.sd.schedules import NoiseTable, schedule

# numpy 2 warns of how diffusers turns tensors into arrays and back
pytestmark = pytest.mark.filterwarnings("ignore:__array_:DeprecationWarning")

TABLE = NoiseTable()
MEAN, SPREAD = 0.3, 0.7
SEED = 5


def gaussian(x: Tensor, sigma: Tensor) -> Tensor:
    """The exact denoiser of latents drawn from a normal distribution."""
    return MEAN + SPREAD**2 / (SPREAD**2 + sigma**2) * (x - MEAN)


def flow(x: Tensor, sigma: float, target: float) -> Tensor:
    """Where the probability flow of that distribution takes x, exactly."""
    return MEAN + (x - MEAN) * math.sqrt((SPREAD**2 + target**2) / (SPREAD**2 + sigma**2))


def bent(x: Tensor, sigma: Tensor) -> Tensor:
    """A denoiser that is linear in nothing, so that no term of a formula can hide."""
    return torch.tanh(x / (1 + sigma)) + 0.1 * torch.sin(3 * x) / (1 + sigma**2)


def run(name: str, denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    *_, last = sample(name, denoise, x, sigmas, NoiseSource(SEED, len(x)))
    return last.x


def begin(sigmas: Tensor) -> Tensor:
    return start(NoiseSource(1, 2).draw((4, 8, 8)).double(), sigmas)


def signal(sigma: Tensor) -> tuple[Tensor, Tensor]:
    """alpha and sigma of the variance-preserving form: x_vp = alpha * clean + spread * noise."""
    alpha = 1 / torch.sqrt(1 + sigma**2)
    return alpha, sigma * alpha


def paper_ddim(denoise: Denoise, x: Tensor, sigmas: Tensor, eta: float = 0.0) -> Tensor:
    """arXiv:2010.02502, equations 12 and 16, in its own alpha (the square of ours), in x_vp."""
    draws = NoiseSource(SEED, len(x))
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


def paper_euler(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    for now, then in pairwise(sigmas):
        x = x + (then - now) * (x - denoise(x, now)) / now
    return x


def paper_posterior(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """What eta 1 amounts to: x at the next level drawn given x now and the clean latent (Bayes' rule)."""
    draws = NoiseSource(SEED, len(x))
    for now, then in pairwise(sigmas):
        clean = denoise(x, now)
        precision = 1 / then**2 + 1 / (now**2 - then**2) if then > 0 else torch.tensor(math.inf)
        x = clean + (then / now) ** 2 * (x - clean)
        if then > 0:
            x = x + draws.like(x) / precision.sqrt()
    return x


def paper_dpmpp_2m(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
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


def paper_heun(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """The explicit trapezoid rule on dx/dsigma."""
    for now, then in pairwise(sigmas):
        first = (x - denoise(x, now)) / now
        guess = x + (then - now) * first
        second = (guess - denoise(guess, then)) / then if then > 0 else first
        x = x + (then - now) * (0.5 * first + 0.5 * second)
    return x


def paper_dpm2(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2206.00927's idea in sigma: the slope at the mean of lambda, over the whole step."""
    for now, then in pairwise(sigmas):
        if then == 0:
            x = denoise(x, now)
            continue
        middle = torch.exp((now.log() + then.log()) / 2)
        guess = x + (middle - now) * (x - denoise(x, now)) / now
        x = x + (then - now) * (guess - denoise(guess, middle)) / middle
    return x


def paper_lms(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
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


def paper_dpmpp_2m_sde(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2211.01095, SDE-DPM-Solver++(2M) of its appendix, in x_vp."""
    draws = NoiseSource(SEED, len(x))
    z = x * signal(sigmas[0])[0]
    lambdas = [-s.log() if s > 0 else torch.tensor(math.inf) for s in sigmas]
    before = x
    for i, (now, then) in enumerate(pairwise(sigmas)):
        (a_now, s_now), (a_then, s_then) = signal(now), signal(then)
        clean = denoise(z / a_now, now)
        h = lambdas[i + 1] - lambdas[i]
        change = a_then * (1 - torch.exp(-2 * h))
        z = s_then / s_now * torch.exp(-h) * z + change * clean
        if i > 0 and then > 0:
            z = z + change / 2 * (clean - before) / (lambdas[i] - lambdas[i - 1]) * h
        if then > 0:
            z = z + s_then * torch.sqrt(1 - torch.exp(-2 * h)) * draws.like(z)
        before = clean
    return z / signal(sigmas[-1])[0]


def first_order(x: Tensor, clean: Tensor, now: Tensor, then: Tensor) -> Tensor:
    """DPM-Solver++-1 in lambda."""
    h = now.log() - then.log()
    return torch.exp(-h) * x - (torch.exp(-h) - 1) * clean


def posterior(now: Tensor, then: Tensor) -> tuple[Tensor, Tensor]:
    """The spread of x at a lower level given x now and the clean latent, and what is left of the level."""
    spread = then * torch.sqrt(1 - (then / now) ** 2)
    return spread, then**2 / now


def paper_dpmpp_sde(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """k-diffusion's sample_dpmpp_sde with r = 1/2; W is a Brownian path that runs in sigma."""
    draws = NoiseSource(SEED, len(x))
    for now, then in pairwise(sigmas):
        clean = denoise(x, now)
        if then == 0:
            return clean
        middle = torch.exp((now.log() + then.log()) / 2)
        at_middle = draws.like(x) * torch.sqrt(now - middle)
        at_end = at_middle + draws.like(x) * torch.sqrt(middle - then)
        spread, level = posterior(now, middle)
        guess = first_order(x, clean, now, level) + spread * at_middle / torch.sqrt(now - middle)
        spread, level = posterior(now, then)
        x = first_order(x, denoise(guess, middle), now, level) + spread * at_end / torch.sqrt(now - then)
    return x


def paper_dpmpp_2s_ancestral(denoise: Denoise, x: Tensor, sigmas: Tensor) -> Tensor:
    """arXiv:2211.01095, algorithm 1 with r = 1/2, down to the posterior's level."""
    draws = NoiseSource(SEED, len(x))
    for now, then in pairwise(sigmas):
        clean = denoise(x, now)
        if then == 0:
            return clean
        spread, level = posterior(now, then)
        middle = torch.exp((now.log() + level.log()) / 2)
        seen = denoise(first_order(x, clean, now, middle), middle)
        x = first_order(x, seen, now, level) + spread * draws.like(x)
    return x


PAPERS: dict[str, Any] = {
    "euler": paper_euler,
    "euler_ancestral": paper_posterior,
    "heun": paper_heun,
    "dpm2": paper_dpm2,
    "lms": paper_lms,
    "ddim": paper_ddim,
    "dpmpp_2m": paper_dpmpp_2m,
    "dpmpp_2m_sde": paper_dpmpp_2m_sde,
    "dpmpp_sde": paper_dpmpp_sde,
    "dpmpp_2s_ancestral": paper_dpmpp_2s_ancestral,
}


@pytest.mark.parametrize("name", samplers.SAMPLERS)
@pytest.mark.parametrize("spacing", ["normal", "karras"])
@pytest.mark.parametrize("denoise", [gaussian, bent])
def test_every_sampler_is_its_paper(name: str, spacing: str, denoise: Denoise) -> None:
    sigmas = schedule(spacing, 12, TABLE).sigmas.double()
    x = begin(sigmas)
    torch.testing.assert_close(
        run(name, denoise, x, sigmas), PAPERS[name](denoise, x, sigmas), rtol=1e-10, atol=1e-10
    )


@pytest.mark.parametrize("eta", [0.5, 1.0])
def test_ddim_with_noise_is_its_paper(eta: float) -> None:
    sigmas = schedule("ddim_uniform", 12, TABLE).sigmas.double()
    x = begin(sigmas)
    *_, last = ddim(bent, x, sigmas, NoiseSource(SEED, 2), eta)
    torch.testing.assert_close(last.x, paper_ddim(bent, x, sigmas, eta), rtol=1e-10, atol=1e-10)


@pytest.mark.parametrize(
    ("name", "order"), [("euler", 1), ("ddim", 1), ("heun", 2), ("dpm2", 2), ("dpmpp_2m", 2)]
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


@pytest.mark.parametrize("name", sorted(samplers.STOCHASTIC))
def test_noise_on_the_way_ends_in_the_distribution_itself(name: str) -> None:
    sigmas = schedule("karras", 300, TABLE).sigmas.double()
    x = start(NoiseSource(2).draw((1, 128, 128)).double(), sigmas)
    found = run(name, gaussian, x, sigmas)
    error = SPREAD / 128  # of a mean over 128 * 128 samples
    assert float(found.mean()) == pytest.approx(MEAN, abs=4 * error)
    assert float(found.std()) == pytest.approx(SPREAD, abs=0.02)


@pytest.mark.parametrize("name", [name for name in samplers.SAMPLERS if name != "lms"])
def test_the_last_step_to_no_noise_lands_on_the_clean_latent(name: str) -> None:
    sigmas = schedule("karras", 6, TABLE).sigmas.double()
    *_, last = sample(name, bent, begin(sigmas), sigmas, NoiseSource(SEED, 2))
    torch.testing.assert_close(last.x, last.x0, rtol=0, atol=1e-12)


@pytest.mark.parametrize("name", samplers.SAMPLERS)
def test_steps_come_one_by_one_and_stop_when_the_caller_does(name: str) -> None:
    calls: list[float] = []

    def counted(x: Tensor, sigma: Tensor) -> Tensor:
        calls.append(float(sigma))
        return gaussian(x, sigma)

    plan = schedule("normal", 5, TABLE)
    steps = sample(name, counted, begin(plan.sigmas).float(), plan.sigmas, NoiseSource(SEED, 2))
    assert calls == []
    first = next(steps)
    assert first.number == 0
    assert calls[0] == float(plan.sigmas[0])
    assert min(calls) > 0.999 * float(plan.sigmas[1])
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


def theirs(scheduler: Any, x: Tensor, generators: list[torch.Generator] | None = None) -> Tensor:
    """diffusers' loop round the bent denoiser, told each model call's sigma by the scheduler itself."""
    for i, t in enumerate(scheduler.timesteps):
        if isinstance(scheduler, DDIMScheduler):
            kept = scheduler.alphas_cumprod[int(t)]
            sigma = ((1 - kept) / kept).sqrt()
        elif isinstance(scheduler, KDPM2DiscreteScheduler) and not scheduler.state_in_first_order:
            sigma = scheduler.sigmas_interpol[i]
        else:
            sigma = scheduler.sigmas[i]
        scaled = scheduler.scale_model_input(x, t)
        wide = scaled * torch.sqrt(1 + sigma**2)
        eps = (wide - bent(wide, sigma)) / sigma
        extra = {"generator": generators} if generators else {}
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
    ],
)
def test_samplers_of_k_diffusion_are_those_of_diffusers(name: str, kind: Any) -> None:
    scheduler = kind(**BETAS, timestep_spacing="linspace")
    scheduler.set_timesteps(10)
    plan = schedule("normal", 10, TABLE)
    x = begin(plan.sigmas).float()
    generators = [torch.Generator().manual_seed(SEED + i) for i in range(2)]
    found = run(name, bent, x, plan.sigmas)
    expected = theirs(scheduler, x, generators if name in samplers.STOCHASTIC else None)
    torch.testing.assert_close(found, expected, rtol=2e-5, atol=2e-5)


def test_dpmpp_2m_sde_karras_is_that_of_diffusers() -> None:
    scheduler = DPMSolverMultistepScheduler(**BETAS, use_karras_sigmas=True, algorithm_type="sde-dpmsolver++")
    scheduler.set_timesteps(20)
    plan = schedule("karras", 20, TABLE)
    x = begin(plan.sigmas).float()
    unit = x / math.sqrt(1 + float(plan.sigmas[0]) ** 2)
    generators = [torch.Generator().manual_seed(SEED + i) for i in range(2)]
    found = run("dpmpp_2m_sde", bent, x, plan.sigmas)
    torch.testing.assert_close(found, theirs(scheduler, unit, generators), rtol=5e-5, atol=5e-5)


def test_nan_is_never_a_result() -> None:
    plan = schedule("normal", 3, TABLE)
    with pytest.raises(ValueError, match="NaN or infinity"):
        run("euler", lambda x, _: x * math.nan, begin(plan.sigmas), plan.sigmas)


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
    assert get_args(SamplerName) == tuple(samplers.SAMPLERS)
