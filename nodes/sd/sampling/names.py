"""The names of samplers and schedules, for nodes that must not import torch."""

from __future__ import annotations

from typing import Literal

SamplerName = Literal[
    "euler",
    "euler_ancestral",
    "euler_cfg_pp",
    "euler_ancestral_cfg_pp",
    "heun",
    "heunpp2",
    "dpm2",
    "dpm2_ancestral",
    "lms",
    "dpm_fast",
    "dpm_adaptive",
    "dpmpp_2s_ancestral",
    "dpmpp_2s_ancestral_cfg_pp",
    "dpmpp_sde",
    "dpmpp_2m",
    "dpmpp_2m_cfg_pp",
    "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde",
    "restart",
    "ddim",
    "ddim_cfg_pp",
    "ddpm",
    "plms",
    "uni_pc",
    "uni_pc_bh2",
    "lcm",
    "ipndm",
    "ipndm_v",
    "deis",
    "res_multistep",
    "res_multistep_cfg_pp",
    "res_multistep_ancestral",
    "res_multistep_ancestral_cfg_pp",
    "gradient_estimation",
    "gradient_estimation_cfg_pp",
    "er_sde",
    "seeds_2",
    "seeds_3",
    "exp_heun_2_x0",
    "exp_heun_2_x0_sde",
    "sa_solver",
    "sa_solver_pece",
]

DISCARDS_PENULTIMATE: frozenset[SamplerName] = frozenset(
    ("dpm2", "dpm2_ancestral", "uni_pc", "uni_pc_bh2", "dpmpp_3m_sde")
)
"""Samplers for which A1111's and ComfyUI's sampling nodes leave out the schedule's penultimate level."""

ScheduleName = Literal[
    "normal",
    "karras",
    "exponential",
    "polyexponential",
    "kl_optimal",
    "kl_optimal_a1111",
    "align_your_steps",
    "align_your_steps_xl",
    "simple",
    "sgm_uniform",
    "time_uniform",
    "ddim_uniform",
    "ddim_a1111",
    "ddim_diffusers",
    "beta",
    "beta_a1111",
    "linear_quadratic",
    "lcm",
    "sd_turbo",
]

NoiseKind = Literal["cpu", "nv", "comfyui", "comfyui_gpu"]
"""The generators of noise; see `noise.NoiseSource`."""

Prediction = Literal["epsilon", "v_prediction", "sample", "flow"]
"""The prediction types of models: the noise, the velocity (arXiv:2202.00512), the clean latent, or the flow:
noise minus clean latent (arXiv:2209.03003)."""
