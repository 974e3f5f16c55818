"""Trains Stable Diffusion on pictures: latents, prompts, losses, samples, and the weights in training.

The training loop is in `nodes.sd.training_loop`; the nodes and their jobs are in `nodes.training`.
"""
