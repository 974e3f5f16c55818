"""A small classifier of fills, styles and background patterns, trained on rendered scenes."""

from __future__ import annotations

import random

import numpy as np
import torch
from PIL import Image
from torch import Tensor, nn
from torch.nn import functional as F

from tests.nodes.sd.tiny.render import render
from tests.nodes.sd.tiny.scenes import FILLS, PATTERNS, STYLES, Scene, draw_scene

HEADS = {"fill": FILLS, "style": STYLES, "pattern": PATTERNS}


class Classifier(nn.Module):
    """Names the fill, the style and the background pattern of a picture of one thing."""

    def __init__(self, width: int = 16) -> None:
        super().__init__()
        self.features = nn.Sequential(
            nn.Conv2d(6, width, 5, 2, 2), nn.GroupNorm(4, width), nn.SiLU(),
            nn.Conv2d(width, width, 3, 2, 1), nn.GroupNorm(4, width), nn.SiLU(),
            nn.Conv2d(width, 2 * width, 3, 2, 1), nn.GroupNorm(4, 2 * width), nn.SiLU(),
            nn.Conv2d(2 * width, 2 * width, 3, 1, 1), nn.SiLU(),
        )  # fmt: skip
        sizes = {name: len(names) for name, names in HEADS.items()}
        # The mean describes the whole background, the maximum a single thing on it.
        self.heads = nn.ModuleDict({name: nn.Linear(4 * width, size) for name, size in sizes.items()})

    def forward(self, pixels: Tensor) -> dict[str, Tensor]:
        """Logits by head for pictures of shape (n, 3, 128, 128) in -1 to 1."""
        fine = pixels - F.avg_pool2d(pixels, 9, 1, 4, count_include_pad=False)
        # After normalisation, faint edges such as gray on brown count as much as white on black.
        fine = fine / (fine.std((1, 2, 3), keepdim=True) + 1e-3)
        features = self.features(torch.cat([pixels, fine], 1))
        pooled = torch.cat([features.mean((2, 3)), features.amax((2, 3))], 1)
        return {name: head(pooled) for name, head in self.heads.items()}

    @torch.no_grad()
    def name(self, picture: Image.Image, head: str) -> str:
        """The most likely name under `head`: fill, style or pattern."""
        logits = self(to_pixels([picture]))[head]
        return str(HEADS[head][int(logits.argmax())])


def to_pixels(pictures: list[Image.Image]) -> Tensor:
    """Pictures of one size as a tensor of shape (n, 3, height, width) in -1 to 1."""
    stacked = np.stack([np.asarray(picture.convert("RGB")) for picture in pictures])
    return torch.from_numpy(stacked).permute(0, 3, 1, 2).float().div(127.5).sub(1)


def train_classifier(steps: int = 600, batch: int = 20, seed: int = 5) -> Classifier:
    """Train a classifier on new renders with random blur and noise; takes a minute or two on one core."""
    rng = random.Random(seed)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        model = Classifier()
        optimizer = torch.optim.AdamW(model.parameters(), lr=4e-3, weight_decay=1e-3)
        schedule = torch.optim.lr_scheduler.OneCycleLR(optimizer, 4e-3, total_steps=steps)
        for _ in range(steps):
            scenes = [draw_scene(rng, two=0, plain=0.5) for _ in range(batch)]
            pixels = to_pixels([render(scene, rng) for scene in scenes])
            blur = rng.choice([1, 3, 3, 5])
            pixels = F.avg_pool2d(pixels, blur, 1, blur // 2, count_include_pad=False)
            pixels = pixels + torch.randn_like(pixels) * 0.05 * rng.random()
            logits = model(pixels)
            loss = sum(
                (F.cross_entropy(logits[name], _labels(scenes, name), ignore_index=-1) for name in HEADS),
                torch.zeros(()),
            )
            optimizer.zero_grad()
            loss.backward()  # type: ignore[no-untyped-call]
            optimizer.step()
            schedule.step()
    return model.eval()


def truth(scene: Scene, head: str) -> str | None:
    """The right answer under `head`, or None where a style hides it: hatching and big pixels have no fill."""
    if head == "fill":
        return scene.things[0].fill if scene.style == "plain" else None
    return scene.pattern if head == "pattern" else scene.style


def _labels(scenes: list[Scene], head: str) -> Tensor:
    answers = [truth(scene, head) for scene in scenes]
    return torch.tensor([-1 if answer is None else HEADS[head].index(answer) for answer in answers])
