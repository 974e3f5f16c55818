"""The table of the samplers, with the settings that each has.

To add a sampler, write its function into the file of its family, list it here, and add its name to
`nodes/sd/sampling/names.py` and its names in other tools to `nodes/interchange/sampler_names.py`. Then write
`nodes/samplers.md` anew: `python -m tests.nodes.sd.sampling.sampler_table`.
"""

from __future__ import annotations

from dataclasses import dataclass
from typing import Literal

from torch import Tensor

from nodes.sd.sampling.samplers import (
    dpm,
    dpmpp,
    dpmpp_sde,
    er_sde,
    euler,
    heun,
    multistep,
    res,
    sa_solver,
    seeds,
    unipc,
)
from nodes.sd.sampling.samplers.step import ANY_LEVEL, NO_CHURN, Churn, Levels, Run

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
    "dpm2": _ode(dpm.dpm2, churns=True),
    "dpm2_ancestral": _ancestral(dpm.dpm2_ancestral, flow="own"),
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
    "dpmpp_3m_sde": _ancestral(dpmpp_sde.dpmpp_3m_sde),
    "restart": _noisy(heun.restart, "none"),
    "ddim": _ancestral(euler.ddim, eta=0.0),
    "ddim_cfg_pp": _ancestral(euler.euler_ancestral_cfg_pp, eta=0.0, cfg_pp=True),
    "ddpm": _noisy(euler.ddpm),
    "plms": _ode(multistep.plms),
    "uni_pc": _ode(unipc.uni_pc),
    "uni_pc_bh2": _ode(unipc.uni_pc_bh2),
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


def needs_noise(name: str, settings: SamplerSettings = DEFAULTS) -> bool:
    """Whether a sampler adds noise between its steps."""
    sampler = known(name)
    if sampler.eta is not None:
        return (sampler.eta if settings.eta is None else settings.eta) > 0
    return sampler.scales_noise or (sampler.churns and settings.churn.amount > 0)


def unused_settings(name: str, settings: SamplerSettings) -> list[str]:
    """The settings that are set and that a sampler does not have."""
    sampler = known(name)
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


def known(name: str) -> Sampler:
    """A sampler by name.

    Raises:
        ValueError: there is none of this name.
    """
    if name not in SAMPLERS:
        raise ValueError(f"There is no sampler {name!r}. Choose one of {', '.join(SAMPLERS)}.")
    return SAMPLERS[name]
