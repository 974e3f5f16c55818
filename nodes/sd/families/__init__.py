"""Model families, such as Stable Diffusion 1: each in its own folder, with only its differences."""
