"""Safelight's engine: graphs, types, scheduling and storage. It contains no diffusion code."""
