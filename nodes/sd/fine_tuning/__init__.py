"""Training on pictures: their latents and prompts, the loss, samples, and what is trained."""
