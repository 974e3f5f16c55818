"""Denoise, and nodes that change how it samples."""
