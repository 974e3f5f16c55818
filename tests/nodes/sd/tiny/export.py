"""Writes trained parts as a diffusers folder in float16."""

from __future__ import annotations

import copy
import json
from pathlib import Path

import torch
from diffusers import StableDiffusionPipeline

from tests.nodes.sd.tiny.parts import Parts, Vocabulary, new_scheduler

MACHINE_DEPENDENT = ("is_local", "local_files_only")
"""Tokenizer settings that depend on the machine that wrote the folder."""


def export(parts: Parts, vocabulary: Vocabulary, folder: Path) -> None:
    """Write a folder that `StableDiffusionPipeline.from_pretrained` loads."""
    text_encoder = copy.deepcopy(parts.text_encoder)
    vocabulary.spread_unknown(text_encoder)
    pipeline = StableDiffusionPipeline(
        vae=copy.deepcopy(parts.vae),
        text_encoder=text_encoder,
        tokenizer=vocabulary.tokenizer,
        unet=copy.deepcopy(parts.unet),
        scheduler=new_scheduler(),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.to(torch.float16).save_pretrained(folder, safe_serialization=True)
    for file in (
        folder / "tokenizer" / "tokenizer_config.json",
        folder / "vae" / "config.json",
        folder / "unet" / "config.json",
    ):
        settings = json.loads(file.read_text())
        for key in (*MACHINE_DEPENDENT, "_name_or_path"):
            settings.pop(key, None)
        file.write_text(json.dumps(settings, indent=2, sort_keys=True) + "\n")
