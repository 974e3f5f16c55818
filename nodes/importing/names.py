"""What other tools call our samplers and schedules; how exactly each agrees, the samplers' tests say."""

from __future__ import annotations

A1111_SAMPLERS = {
    "euler": "Euler",
    "euler_ancestral": "Euler a",
    "heun": "Heun",
    "dpm2": "DPM2",
    "lms": "LMS",
    "ddim": "DDIM",
    "dpmpp_2m": "DPM++ 2M",
    "dpmpp_2m_sde": "DPM++ 2M SDE",
    "dpmpp_sde": "DPM++ SDE",
    "dpmpp_2s_ancestral": "DPM++ 2S a",
}
"""What A1111 calls each sampler of ours."""
A1111_SCHEDULES = {
    "normal": "Normal",
    "karras": "Karras",
    "exponential": "Exponential",
    "kl_optimal": "KL Optimal",
    "align_your_steps": "Align Your Steps",
    "simple": "Simple",
    "sgm_uniform": "SGM Uniform",
    "ddim_uniform": "DDIM",
}
"""What A1111 calls each schedule of ours, as its "Schedule type"."""
A1111_AUTOMATIC = {
    "dpmpp_2m": "karras",
    "dpmpp_sde": "karras",
    "dpmpp_2s_ancestral": "karras",
    "dpm2": "karras",
    "dpmpp_2m_sde": "exponential",
    "ddim": "ddim_uniform",
}
"""The schedule that A1111 chooses for a sampler by itself; for any other, `normal`."""

COMFY_SAMPLERS = {
    "euler": "euler",
    "euler_ancestral": "euler_ancestral",
    "heun": "heun",
    "dpm_2": "dpm2",
    "lms": "lms",
    "ddim": "ddim",
    "dpmpp_2m": "dpmpp_2m",
    "dpmpp_2m_sde": "dpmpp_2m_sde",
    "dpmpp_2m_sde_gpu": "dpmpp_2m_sde",
    "dpmpp_sde": "dpmpp_sde",
    "dpmpp_sde_gpu": "dpmpp_sde",
    "dpmpp_2s_ancestral": "dpmpp_2s_ancestral",
}
COMFY_SCHEDULES = {
    name: name
    for name in ("normal", "karras", "exponential", "simple", "sgm_uniform", "ddim_uniform", "kl_optimal")
}

INVOKE_SCHEDULERS = {
    "ddim": ("ddim", "ddim_uniform"),
    "euler": ("euler", "ddim_uniform"),
    "euler_k": ("euler", "karras"),
    "euler_a": ("euler_ancestral", "ddim_uniform"),
    "heun": ("heun", "ddim_uniform"),
    "heun_k": ("heun", "karras"),
    "lms": ("lms", "ddim_uniform"),
    "lms_k": ("lms", "karras"),
    "kdpm_2": ("dpm2", "ddim_uniform"),
    "kdpm_2_k": ("dpm2", "karras"),
    "dpmpp_2m": ("dpmpp_2m", "ddim_uniform"),
    "dpmpp_2m_k": ("dpmpp_2m", "karras"),
    "dpmpp_2m_sde": ("dpmpp_2m_sde", "ddim_uniform"),
    "dpmpp_2m_sde_k": ("dpmpp_2m_sde", "karras"),
    "dpmpp_sde": ("dpmpp_sde", "ddim_uniform"),
    "dpmpp_sde_k": ("dpmpp_sde", "karras"),
    # before InvokeAI 3
    "k_euler": ("euler", "normal"),
    "k_euler_a": ("euler_ancestral", "normal"),
    "k_heun": ("heun", "normal"),
    "k_lms": ("lms", "normal"),
    "k_dpm_2": ("dpm2", "normal"),
    "k_dpmpp_2": ("dpmpp_2m", "normal"),
}
"""Sampler and schedule. InvokeAI from 3 on builds diffusers' schedulers from the model's configuration, whose
spacing for Stable Diffusion 1 is "leading", which is our `ddim_uniform`."""

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
