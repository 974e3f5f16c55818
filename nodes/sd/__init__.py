"""The Stable Diffusion domain, without Node classes: weights, text, sampling, training."""
