"""Training Stable Diffusion on pictures: latents, prompts, losses, samples, and the weights that are trained.

`nodes.sd.training_loop` takes the steps; the nodes and their jobs are in `nodes.training`.
"""
