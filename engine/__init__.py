"""Safelight's engine: graphs, types, time and bytes. It knows no diffusion."""
