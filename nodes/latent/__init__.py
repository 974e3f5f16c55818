"""Nodes for latents, and between latents and pictures."""
