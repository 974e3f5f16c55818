"""Denoise, and what changes how it samples."""
