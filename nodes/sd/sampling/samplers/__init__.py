"""The samplers, which turn noise into a picture step by step.

All work on x in the sigma form of arXiv:2206.00364, x = clean latent + sigma * noise, and call a denoise
model D(x, sigma) for the clean latent in x. `flow.py` says how they run on models that learned a flow, and
`table.py` how to add a sampler.
"""

from nodes.sd.sampling.samplers.sampling import sample, start
from nodes.sd.sampling.samplers.step import Churn, Denoise, Levels, Step
from nodes.sd.sampling.samplers.table import (
    DEFAULTS,
    SAMPLERS,
    Sampler,
    SamplerSettings,
    needs_noise,
    step_count,
    unused_settings,
)

__all__ = [
    "DEFAULTS",
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
