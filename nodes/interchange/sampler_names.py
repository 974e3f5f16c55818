"""The names of our samplers and schedules in other tools."""

from __future__ import annotations

from typing import get_args

from nodes.sd.sampling.names import SamplerName, ScheduleName

A1111_SAMPLERS = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "dpm2": "DPM2",
    "dpm2_ancestral": "DPM2 a",
    "lms": "LMS",
    "dpm_fast": "DPM fast",
    "dpm_adaptive": "DPM adaptive",
    "restart": "Restart",
    "ddim": "DDIM",
    "ddim_cfg_pp": "DDIM CFG++",
    "plms": "PLMS",
    "uni_pc": "UniPC",
    "lcm": "LCM",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_2m_sde_heun": "DPM++ 2M SDE Heun",
    "dpmpp_3m_sde": "DPM++ 3M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
}
"""A1111's name of each sampler that it has."""
A1111_SCHEDULES = {
    "normal": "Normal",
    "karras": "Karras",
    "exponential": "Exponential",
    "polyexponential": "Polyexponential",
    "kl_optimal_a1111": "KL Optimal",
    "align_your_steps": "Align Your Steps",
    "simple": "Simple",
    "sgm_uniform": "SGM Uniform",
    "ddim_uniform": "DDIM",
    "beta_a1111": "Beta",
    "beta": "Beta (ComfyUI)",
}
"""A1111's name of each schedule that it has, its "Schedule type". Its name `Beta` is not our `beta`."""
A1111_AUTOMATIC = {
    "dpmpp_2m": "karras",
    "dpmpp_sde": "karras",
    "dpmpp_2s_ancestral": "karras",
    "dpm2": "karras",
    "dpm2_ancestral": "karras",
    "restart": "karras",
    "dpmpp_2m_sde": "exponential",
    "dpmpp_2m_sde_heun": "exponential",
    "dpmpp_3m_sde": "exponential",
    "lcm": "lcm",
}
"""The schedule that A1111's "Automatic" uses for a sampler; `normal` for other samplers."""
A1111_FIXED_SCHEDULES = {
    "ddim": "ddim_a1111",
    "ddim_cfg_pp": "ddim_a1111",
    "plms": "ddim_a1111",
    "uni_pc": "time_uniform",
}
"""The schedule of samplers for which A1111 ignores the schedule type."""


def a1111_sampler_name(sampler: str) -> str:
    """Return A1111's name of a sampler; our own name if A1111 does not have it."""
    return A1111_SAMPLERS.get(sampler, sampler)


def a1111_schedule_name(schedule: str) -> str:
    """Return A1111's name of a schedule; our own name if A1111 does not have it."""
    return A1111_SCHEDULES.get(schedule, schedule)


SAMPLERS_BY_A1111_NAME = {a1111_sampler_name(name).casefold(): name for name in get_args(SamplerName)}
"""Our samplers by the names that a `parameters` text may use, in lower case."""
SCHEDULES_BY_A1111_NAME = {
    a1111_schedule_name(name).casefold().replace(" ", ""): name for name in get_args(ScheduleName)
} | {"uniform": "normal"}
"""Our schedules by the names that a `parameters` text may use, in lower case without spaces."""

_COMFY_OWN_NAMES = {
    "dpm_2": "dpm2",
    "dpm_2_ancestral": "dpm2_ancestral",
    "dpmpp_sde_gpu": "dpmpp_sde",
    "dpmpp_2m_sde_gpu": "dpmpp_2m_sde",
    "dpmpp_2m_sde_heun_gpu": "dpmpp_2m_sde_heun",
    "dpmpp_3m_sde_gpu": "dpmpp_3m_sde",
}
COMFY_GPU_NOISE = "_gpu"
"""The suffix of ComfyUI's samplers whose Brownian noise is drawn on the GPU."""
_NOT_IN_COMFY = ("dpm2", "dpm2_ancestral", "restart", "ddim_cfg_pp", "plms")
COMFY_SAMPLERS = {
    name: name for name in get_args(SamplerName) if name not in _NOT_IN_COMFY
} | _COMFY_OWN_NAMES
"""Our sampler for each of ComfyUI's."""
COMFY_SCHEDULES = {
    name: name
    for name in (
        "normal",
        "karras",
        "exponential",
        "simple",
        "sgm_uniform",
        "ddim_uniform",
        "beta",
        "kl_optimal",
        "linear_quadratic",
    )
}
"""Our schedule for each of ComfyUI's."""

INVOKE_SCHEDULERS = {
    "ddim": ("ddim", "ddim_diffusers"),
    "euler": ("euler", "ddim_diffusers"),
    "euler_k": ("euler", "karras"),
    "euler_a": ("euler_ancestral", "ddim_diffusers"),
    "heun": ("heun", "ddim_diffusers"),
    "heun_k": ("heun", "karras"),
    "lms": ("lms", "ddim_diffusers"),
    "lms_k": ("lms", "karras"),
    "kdpm_2": ("dpm2", "ddim_diffusers"),
    "kdpm_2_k": ("dpm2", "karras"),
    "kdpm_2_a": ("dpm2_ancestral", "ddim_diffusers"),
    "kdpm_2_a_k": ("dpm2_ancestral", "karras"),
    "dpmpp_2m": ("dpmpp_2m", "ddim_diffusers"),
    "dpmpp_2m_k": ("dpmpp_2m", "karras"),
    "dpmpp_2m_sde": ("dpmpp_2m_sde", "ddim_diffusers"),
    "dpmpp_2m_sde_k": ("dpmpp_2m_sde", "karras"),
    "dpmpp_sde": ("dpmpp_sde", "ddim_diffusers"),
    "dpmpp_sde_k": ("dpmpp_sde", "karras"),
    # names from before InvokeAI 3
    "k_euler": ("euler", "normal"),
    "k_euler_a": ("euler_ancestral", "normal"),
    "k_heun": ("heun", "normal"),
    "k_lms": ("lms", "normal"),
    "k_dpm_2": ("dpm2", "normal"),
    "k_dpmpp_2": ("dpmpp_2m", "normal"),
}
"""Our sampler and schedule for each of InvokeAI's schedulers.

Since version 3, InvokeAI builds diffusers' schedulers from the model's own configuration. For Stable
Diffusion 1 its timestep spacing is "leading", which is our `ddim_diffusers`."""

KEEP_PENULTIMATE = ("dpm2", "dpm2_ancestral")
"""Samplers for which InvokeAI, unlike A1111 and ComfyUI, keeps the penultimate noise level."""

NOVELAI_SAMPLERS = {
    "k_euler": "euler",
    "k_euler_ancestral": "euler_ancestral",
    "k_heun": "heun",
    "k_lms": "lms",
    "k_dpm_2": "dpm2",
    "k_dpmpp_2m": "dpmpp_2m",
    "k_dpmpp_sde": "dpmpp_sde",
    "k_dpmpp_2m_sde": "dpmpp_2m_sde",
    "k_dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
    "ddim": "ddim",
    "ddim_v3": "ddim",
}
NOVELAI_SCHEDULES = {"native": "normal", "karras": "karras", "exponential": "exponential"}
