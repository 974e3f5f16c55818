"""What the samplers and schedules are called, for nodes that must not import torch to say so."""

from __future__ import annotations

from typing import Literal

SamplerName = Literal[
    "euler",
    "euler_ancestral",
    "heun",
    "dpm2",
    "lms",
    "ddim",
    "dpmpp_2m",
    "dpmpp_2m_sde",
    "dpmpp_sde",
    "dpmpp_2s_ancestral",
]

ScheduleName = Literal[
    "normal",
    "karras",
    "exponential",
    "kl_optimal",
    "align_your_steps",
    "simple",
    "sgm_uniform",
    "ddim_uniform",
]

Prediction = Literal["epsilon", "v_prediction", "sample"]
"""What a UNet was trained to predict: the noise, the velocity (arXiv:2202.00512), or the clean latent."""
