"""The colours of latents that several families share."""

from __future__ import annotations

from nodes.sd.families.family import Colours

SD_COLOURS: Colours = (
    (0.3512, 0.2297, 0.3227),
    (0.3250, 0.4974, 0.2350),
    (-0.2829, 0.1762, 0.2721),
    (-0.2120, -0.2616, -0.7177),
    (0.0, 0.0, 0.0),
)
"""The latents of SD 1 and SD 2, as in comfy/latent_formats.py of ComfyUI."""
