"""Nodes that create and change latents, and convert between latents and pictures."""
