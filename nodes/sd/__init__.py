"""Stable Diffusion without node classes: model files, prompts, sampling and training."""
