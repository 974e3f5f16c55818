"""Trains the text encoder on captions alone, before there are pictures."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import torch
from torch import Tensor, nn
from torch.nn import functional as F

from nodes.sd.training_loop.loop import Batch
from nodes.sd.training_loop.random_sources import RandomSources
from tests.nodes.sd.tiny.parts import END, WIDTH, WORDS, Vocabulary
from tests.nodes.sd.tiny.scenes import (
    COLOURS,
    FILLS,
    PATTERNS,
    POSITIONS,
    RADII,
    RELATIONS,
    SHAPES,
    STYLES,
    Scene,
    draw_scene,
    free_caption,
)
from tests.nodes.sd.tiny.stage import run_stage

BATCH = 96
ABSENT = -100
THING = (SHAPES, tuple(COLOURS), FILLS, tuple(POSITIONS), tuple(RADII))
QUESTIONS = (tuple(COLOURS), PATTERNS, STYLES, ("alone", *RELATIONS), *THING, *THING)
"""The possible answers to each question about a caption: the scene, the first thing, the second thing."""


def train_text(
    text_encoder: Any, vocabulary: Vocabulary, file: Path, *, steps: int, seed: int, until: float
) -> bool:
    """Train the text encoder so that each token after a caption describes the whole scene.

    A small denoiser then finds what it needs at any of these tokens. The arguments are those of `run_stage`.

    Returns:
        whether the last step is done.
    """
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        head = nn.Linear(WIDTH, sum(map(len, QUESTIONS)))

    def loss(draws: RandomSources, place: Batch) -> Tensor:
        rng = draws.python
        scenes = [draw_scene(rng) for _ in range(BATCH)]
        tokens = vocabulary.encode([free_caption(s, rng, lambda: vocabulary.filler(rng)) for s in scenes])
        longest = int((tokens != END).sum(1).max()) + 1
        tokens = tokens[:, : min(WORDS, longest + rng.choice([0, 2, 8, 20]))]
        with torch.autocast("cpu", dtype=torch.bfloat16):
            hidden = text_encoder(tokens)[0].float()
        weight = (tokens == END) * torch.rand(tokens.shape, generator=draws.torch)
        pooled = (hidden * weight[..., None]).sum(1) / weight.sum(1, keepdim=True)
        answers = torch.tensor([answer(scene) for scene in scenes])
        logits = head(pooled).split([len(options) for options in QUESTIONS], 1)
        losses = [
            F.cross_entropy(logit, answers[:, i], ignore_index=ABSENT)
            for i, logit in enumerate(logits)
            if (answers[:, i] != ABSENT).any()
        ]
        return torch.stack(losses).sum()

    modules = {"text": text_encoder, "head": head}
    return run_stage(modules, loss, file, steps=steps, rate=2.5e-3, seed=seed, until=until)


def answer(scene: Scene) -> list[int]:
    """The index of the right answer to each question; -100 for the second thing of a scene with one thing."""
    alone = len(scene.things) == 1
    found = [
        list(COLOURS).index(scene.background),
        PATTERNS.index(scene.pattern),
        STYLES.index(scene.style),
        0 if alone else 1 + RELATIONS.index(scene.relation),
    ]
    for thing in scene.things:
        words = (thing.shape, thing.colour, thing.fill, thing.position, thing.size)
        found += [options.index(word) for options, word in zip(THING, words, strict=True)]
    return found + [ABSENT] * (len(QUESTIONS) - len(found))
