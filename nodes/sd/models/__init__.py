"""Stable Diffusion 1 models: describes, loads and patches the networks of a folder, and writes them."""
