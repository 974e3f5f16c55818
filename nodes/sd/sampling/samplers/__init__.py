"""The samplers, which turn noise into a picture step by step.

All work on x in the sigma form of arXiv:2206.00364, x = clean latent + sigma * noise, and call a denoise
model D(x, sigma) for the clean latent in x. `flow.py` says how they run on models that learned a flow.

To add a sampler, write its function into the file of its family, and list it here and in
`nodes/sd/sampling/names.py`. Its names in other tools are listed in `nodes/interchange/sampler_names.py`.
"""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from typing import Any, Literal

import torch
from torch import Tensor

from nodes.sd.not_finite import NotFinite
from nodes.sd.sampling.noise import NoiseSource
from nodes.sd.sampling.samplers import (
    dpm,
    dpmpp,
    dpmpp_sde,
    er_sde,
    euler,
    flow,
    heun,
    multistep,
    res,
    sa_solver,
    seeds,
    unipc,
)
from nodes.sd.sampling.samplers.step import ANY_LEVEL, NO_CHURN, Churn, Denoise, Levels, Run, Step
from nodes.sd.sampling.tables import Table

__all__ = [
    "SAMPLERS",
    "Churn",
    "Denoise",
    "Levels",
    "Sampler",
    "SamplerSettings",
    "Step",
    "needs_noise",
    "sample",
    "start",
    "step_count",
    "unused_settings",
]


FlowForm = Literal["levels", "ratios", "own", "none"]
"""How a sampler runs on models that learned a flow: on the levels of the model, since it only follows the
flow; on the ratios of noise to signal (`flow.py`); by rules of its own; or not at all."""


@dataclass(frozen=True)
class Sampler:
    """A sampler and its settings."""

    run: Run
    eta: float | None = None
    """Its default eta; None if it has none."""
    scales_noise: bool = False
    """True if it adds noise of adjustable standard deviation between its steps."""
    churns: bool = False
    """Whether noise can be added before its steps (`Churn`)."""
    discards_penultimate: bool = False
    """True if A1111 and ComfyUI leave out the schedule's penultimate level for it."""
    noise_in_the_middle: bool = False
    """True if it adds noise only within a range of levels (`SamplerSettings.noisy_levels`)."""
    cfg_pp: bool = False
    """Whether it follows CFG++: guidance then lies within 0 and 1."""
    flow: FlowForm = "levels"
    """How it runs on models that learned a flow."""


def _ode(run: Run, flow: FlowForm = "levels", **more: bool) -> Sampler:
    """A sampler that follows the probability flow and adds no noise."""
    return Sampler(run, flow=flow, **more)


def _ancestral(run: Run, eta: float = 1.0, flow: FlowForm = "ratios", **more: bool) -> Sampler:
    """A sampler that adds noise between its steps, by its eta."""
    return Sampler(run, eta=eta, scales_noise=True, flow=flow, **more)


def _noisy(run: Run, flow: FlowForm = "ratios") -> Sampler:
    """A sampler that adds a fixed amount of noise between its steps."""
    return Sampler(run, scales_noise=True, flow=flow)


SAMPLERS: dict[str, Sampler] = {
    "euler": _ode(euler.euler, churns=True),
    "euler_ancestral": _ancestral(euler.euler_ancestral, flow="own"),
    "euler_cfg_pp": _ode(euler.euler_cfg_pp, "ratios", cfg_pp=True),
    "euler_ancestral_cfg_pp": _ancestral(euler.euler_ancestral_cfg_pp, cfg_pp=True),
    "heun": _ode(heun.heun, churns=True),
    "heunpp2": _ode(heun.heunpp2, churns=True),
    "dpm2": _ode(dpm.dpm2, churns=True, discards_penultimate=True),
    "dpm2_ancestral": _ancestral(dpm.dpm2_ancestral, flow="own", discards_penultimate=True),
    "lms": _ode(multistep.lms),
    "dpm_fast": _ancestral(dpm.dpm_fast, 0.0, "none"),
    "dpm_adaptive": _ancestral(dpm.dpm_adaptive, 0.0, "none"),
    "dpmpp_2s_ancestral": _ancestral(dpmpp.dpmpp_2s_ancestral, flow="own"),
    "dpmpp_2s_ancestral_cfg_pp": _ancestral(dpmpp.dpmpp_2s_ancestral_cfg_pp, cfg_pp=True),
    "dpmpp_sde": _ancestral(dpmpp_sde.dpmpp_sde),
    "dpmpp_2m": _ode(dpmpp.dpmpp_2m),
    "dpmpp_2m_cfg_pp": _ode(dpmpp.dpmpp_2m_cfg_pp, "ratios", cfg_pp=True),
    "dpmpp_2m_sde": _ancestral(dpmpp_sde.dpmpp_2m_sde),
    "dpmpp_2m_sde_heun": _ancestral(dpmpp_sde.dpmpp_2m_sde_heun),
    "dpmpp_3m_sde": _ancestral(dpmpp_sde.dpmpp_3m_sde, discards_penultimate=True),
    "restart": _noisy(heun.restart, "none"),
    "ddim": _ancestral(euler.ddim, eta=0.0),
    "ddim_cfg_pp": _ancestral(euler.euler_ancestral_cfg_pp, eta=0.0, cfg_pp=True),
    "ddpm": _noisy(euler.ddpm),
    "plms": _ode(multistep.plms),
    "uni_pc": _ode(unipc.uni_pc, discards_penultimate=True),
    "uni_pc_bh2": _ode(unipc.uni_pc_bh2, discards_penultimate=True),
    "lcm": _noisy(euler.lcm),
    "ipndm": _ode(multistep.ipndm),
    "ipndm_v": _ode(multistep.ipndm_v),
    "deis": _ode(multistep.deis),
    "res_multistep": _ode(res.res_multistep),
    "res_multistep_cfg_pp": _ode(res.res_multistep_cfg_pp, "ratios", cfg_pp=True),
    "res_multistep_ancestral": _ancestral(res.res_multistep_ancestral),
    "res_multistep_ancestral_cfg_pp": _ancestral(res.res_multistep_ancestral_cfg_pp, cfg_pp=True),
    "gradient_estimation": _ode(euler.gradient_estimation),
    "gradient_estimation_cfg_pp": _ode(euler.gradient_estimation_cfg_pp, "ratios", cfg_pp=True),
    "er_sde": _noisy(er_sde.er_sde),
    "seeds_2": _ancestral(seeds.seeds_2),
    "seeds_3": _ancestral(seeds.seeds_3),
    "exp_heun_2_x0": _ode(seeds.exp_heun_2_x0, "ratios"),
    "exp_heun_2_x0_sde": _ancestral(seeds.exp_heun_2_x0_sde),
    "sa_solver": _ancestral(sa_solver.sa_solver, noise_in_the_middle=True),
    "sa_solver_pece": _ancestral(sa_solver.sa_solver_pece, noise_in_the_middle=True),
}


@dataclass(frozen=True)
class SamplerSettings:
    """Settings that only some samplers have."""

    eta: float | None = None
    """The amount of noise added between steps; 0 adds none, None is the sampler's default."""
    noise_scale: float = 1.0
    """The standard deviation of noise that is added between steps."""
    churn: Churn = NO_CHURN
    noisy_levels: Levels = ANY_LEVEL
    """The levels to which SA-Solver adds noise."""


DEFAULTS = SamplerSettings()


def start(
    noise: Tensor,
    sigmas: Tensor,
    latent: Tensor | None = None,
    *,
    unit_variance: bool = False,
    table: Table | None = None,
) -> Tensor:
    """The start of sampling: noise at the schedule's first level, added to a given latent for img2img.

    Args:
        noise: standard normal noise.
        sigmas: the levels of the schedule.
        latent: a given picture.
        unit_variance: scale the noise to sqrt(1 + sigma^2), so that the model sees a variance of exactly 1
            (ComfyUI at full strength, A1111's "SGM noise multiplier"). A1111 scales it to sigma. It has no
            effect on models that learned a flow.
        table: the noise levels of the model; None for those of a diffusion model.
    """
    if table is not None and table.is_flow:
        return noise * sigmas[0] if latent is None else table.noised(latent, noise, sigmas[0])
    scaled = noise * ((1 + sigmas[0] ** 2) ** 0.5 if unit_variance else sigmas[0])
    return scaled if latent is None else latent + scaled


def sample(
    name: str,
    denoise: Denoise,
    x: Tensor,
    sigmas: Tensor,
    noise: NoiseSource | None = None,
    settings: SamplerSettings = DEFAULTS,
    table: Table | None = None,
) -> Iterator[Step]:
    """Sample a latent along a schedule, step by step; stop iterating to cancel.

    Args:
        name: one of `SAMPLERS`.
        denoise: the model.
        x: [batch, channels, height, width] at noise level `sigmas[0]`; see `start`.
        sigmas: [steps + 1] on the CPU, falling, the last one mostly 0.
        noise: the noise of stochastic samplers; other samplers do not use it.
        settings: settings that the sampler does not have are ignored; see `unused_settings`.
        table: the noise levels of the model; None for those of a diffusion model.

    Raises:
        ValueError: at once, if the name is unknown, the sigmas do not fall, noise is missing, or the sampler
            cannot run on a model that learned a flow.
        NotFinite: a step gives NaN or infinity; on accelerators, raised after the last step.
    """
    sampler = _known(name)
    if sigmas.ndim != 1 or len(sigmas) < 2 or not bool((sigmas[1:] < sigmas[:-1]).all()):
        raise ValueError("A sampler needs at least two sigmas, each below the one before it.")
    if noise is None and needs_noise(name, settings):
        raise ValueError(f"The sampler {name!r} adds noise between its steps. Give it a noise source.")
    given: dict[str, Any] = {}
    if sampler.eta is not None:
        given["eta"] = sampler.eta if settings.eta is None else settings.eta
    if sampler.scales_noise:
        given["noise_scale"] = settings.noise_scale
    if sampler.churns:
        given["churn"] = settings.churn
    if sampler.noise_in_the_middle:
        given["noisy_levels"] = settings.noisy_levels
    if table is None or not table.is_flow:
        return _finite(sampler.run(denoise, x, sigmas, noise, **given))
    _check_flow(name, settings)
    if sampler.flow == "ratios":
        return _finite(flow.in_ratios(sampler.run, denoise, x, sigmas, noise, table, given))
    if sampler.flow == "own":
        given["flow"] = True
    return _finite(sampler.run(denoise, x, sigmas, noise, **given))


def _check_flow(name: str, settings: SamplerSettings) -> None:
    """Check that a sampler can run on a model that learned a flow.

    Raises:
        ValueError: it adds noise by a rule for diffusion models, or ends at the lowest level instead of 0,
            which leaves noise in the picture of a flow.
    """
    sampler = _known(name)
    if sampler.flow == "none":
        raise ValueError(
            f"The sampler {name} is for diffusion models, and this model learned a flow. Choose another, such"
            " as euler, dpmpp_2m or euler_ancestral."
        )
    if sampler.churns and settings.churn.amount > 0:
        raise ValueError("Churn is for diffusion models, and this model learned a flow. Set `churn` to 0.")


def needs_noise(name: str, settings: SamplerSettings = DEFAULTS) -> bool:
    """Whether a sampler adds noise between its steps."""
    sampler = _known(name)
    if sampler.eta is not None:
        return (sampler.eta if settings.eta is None else settings.eta) > 0
    return sampler.scales_noise or (sampler.churns and settings.churn.amount > 0)


def unused_settings(name: str, settings: SamplerSettings) -> list[str]:
    """The settings that are set and that a sampler does not have."""
    sampler = _known(name)
    unused = []
    if settings.eta is not None and sampler.eta is None:
        unused.append("eta")
    churns = sampler.churns and settings.churn.amount > 0
    if settings.noise_scale != 1 and not (sampler.scales_noise or churns):
        unused.append("noise_scale")
    if settings.churn.amount and not sampler.churns:
        unused.append("churn")
    return unused


def step_count(name: str, sigmas: Tensor) -> int | None:
    """The number of steps that a sampler takes for a schedule; None if it depends on the picture."""
    if name == "dpm_adaptive":
        return None
    if name == "dpm_fast":
        return len(dpm.fast_orders(len(sigmas) - 1))
    return len(heun.restart_steps(sigmas)) if name == "restart" else len(sigmas) - 1


def _known(name: str) -> Sampler:
    if name not in SAMPLERS:
        raise ValueError(f"There is no sampler {name!r}. Choose one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]


def _finite(steps: Iterator[Step]) -> Iterator[Step]:
    last: Step | None = None
    for last in steps:
        if last.x.device.type == "cpu":
            _require_finite(last)
        yield last
    # On other devices only the last step is checked: reading a value back makes them wait.
    if last is not None and last.x.device.type != "cpu":
        _require_finite(last)


def _require_finite(step: Step) -> None:
    if not torch.isfinite(step.x).all():
        raise NotFinite(
            "Sampling ended in NaN or infinity. Lower the guidance or the weights of LoRAs; in half"
            " precision, set `dtype` to float32. If it stays, the weights of the model are unusable."
        )
