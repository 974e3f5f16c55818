"""The embedded model: a small world of shapes, and a diffusion model of Stable Diffusion 1's form for it."""
