"""Encodes scenes once, so that the denoiser's training never waits for a picture."""

from __future__ import annotations

import os
import random
import time
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from safetensors.torch import load_file, save_file
from torch import Tensor

from nodes.sd.tiny.classifier import to_pixels
from nodes.sd.tiny.parts import Vocabulary
from nodes.sd.tiny.render import render
from nodes.sd.tiny.scenes import caption, draw_scene, free_caption

PART = 1000
"""Scenes in one file."""
CAPTIONS = 4
"""Captions of each scene: the plain one and three free ones."""


def cache_latents(
    vae: Any, vocabulary: Vocabulary, folder: Path, *, scenes: int, seed: int, until: float
) -> bool:
    """Write latents and captions of random scenes into a folder, a file at a time; whether all are there."""
    folder.mkdir(parents=True, exist_ok=True)
    for first in range(0, scenes, PART):
        file = folder / f"{first:06}.safetensors"
        if file.exists():
            continue
        if time.monotonic() >= until:
            return False
        rng = random.Random(seed * 1_000_003 + first)
        unfinished = file.with_suffix(".unfinished")
        save_file(_encode(vae, vocabulary, min(PART, scenes - first), rng), unfinished)
        os.replace(unfinished, file)
    return True


@dataclass(frozen=True)
class Latents:
    """Encoded scenes."""

    pictures: Tensor
    """Scaled latents of shape (scenes, 4, 16, 16)."""
    captions: Tensor
    """Tokens of shape (scenes, captions, 77)."""
    things: Tensor
    """How many things each scene shows, of shape (scenes,)."""


def load_latents(folder: Path) -> Latents:
    """All files of a folder, in order."""
    parts = [load_file(file) for file in sorted(folder.glob("*.safetensors"))]
    return Latents(
        *(torch.cat([part[name] for part in parts]) for name in ("pictures", "captions", "things"))
    )


@torch.no_grad()
def _encode(vae: Any, vocabulary: Vocabulary, scenes: int, rng: random.Random) -> dict[str, Tensor]:
    latents, texts, things = [], [], []
    for first in range(0, scenes, 16):
        pictures = []
        for _ in range(min(16, scenes - first)):
            # Most of what people ask for is plain; and shapes are learnt where nothing hides their edges.
            # Nearly half are pairs: which colour and shape belong together is the hardest thing to learn.
            scene = draw_scene(rng, two=0.45, plain=0.88)
            pictures.append(render(scene, rng))
            things.append(len(scene.things))
            texts.append(caption(scene))
            texts += [free_caption(scene, rng, lambda: vocabulary.filler(rng)) for _ in range(CAPTIONS - 1)]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            mean = vae.encode(to_pixels(pictures)).latent_dist.mean.float()
        latents.append((mean * vae.config.scaling_factor).half())
    tokens = vocabulary.encode(texts).reshape(scenes, CAPTIONS, -1)
    return {
        "pictures": torch.cat(latents).contiguous(),
        "captions": tokens.int().contiguous(),
        "things": torch.tensor(things),
    }
