"""The Stable Diffusion library behind the nodes: model files, prompts, sampling and training."""

from nodes.sd import lean_diffusers

lean_diffusers.install()
