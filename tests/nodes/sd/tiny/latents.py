"""Caches the latents and captions of rendered scenes, for the training of the denoiser."""

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

from tests.nodes.sd.tiny.classifier import to_pixels
from tests.nodes.sd.tiny.parts import Vocabulary
from tests.nodes.sd.tiny.render import render
from tests.nodes.sd.tiny.scenes import caption, draw_scene, free_caption

PART = 1000
"""The number of scenes in one file."""
CAPTIONS = 4
"""The number of captions per scene: the plain one and three with free wording."""


def cache_latents(
    vae: Any, vocabulary: Vocabulary, folder: Path, *, scenes: int, seed: int, until: float
) -> bool:
    """Write the latents and captions of random scenes to files. Returns False if the time ended before."""
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
    """Scenes read from the cache: latents, captions, and the number of things in each."""

    pictures: Tensor
    """Scaled latents, [scenes, 4, 16, 16]."""
    captions: Tensor
    """Tokens, [scenes, captions, 77]."""
    things: Tensor
    """The number of things in each scene, [scenes]."""


def load_latents(folder: Path) -> Latents:
    """Read all files of a folder, in the order of their names."""
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
            # Most prompts ask for plain things, and shapes are learnt best where nothing hides their edges.
            # Nearly half are pairs: which colour belongs to which shape is hardest to learn.
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
