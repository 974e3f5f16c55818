"""Imports the modules that nearly every run needs, ahead of the first run."""

from __future__ import annotations

from collections.abc import Iterator
from importlib import import_module

MODULES = (
    "torch",
    "torch.utils._device",
    "tokenizers",
    "nodes.sd.families.unet",
    "nodes.sd.models.text_encoder",
    "nodes.sd.models.vae",
    "nodes.sd.models.stored",
    "nodes.sd.models.to_device",
    "nodes.sd.models.latent_preview",
    "nodes.sd.prompts.encoding",
    "nodes.sd.lora.stack",
    "nodes.sd.sampling.samplers",
    "nodes.sd.sampling.schedules",
    "nodes.sd.sampling.denoiser",
    "PIL.PngImagePlugin",
    "PIL.JpegImagePlugin",
)
"""The modules that a text to image imports while it runs; they import torch and diffusers."""


def warm_up() -> Iterator[str]:
    """Import the modules one after the other; yields the name of each."""
    for name in MODULES:
        import_module(name)
        yield name
