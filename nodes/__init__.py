"""Safelight's built-in nodes: what an artist wires together."""
