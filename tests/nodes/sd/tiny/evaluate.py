"""Measures how well a model draws what prompts ask for: `python -m tests.nodes.sd.tiny.evaluate [FOLDER]`.

It uses diffusers only, so that it measures the weights and not Safelight's samplers.
"""

from __future__ import annotations

import argparse
import random
import time
import warnings
from collections.abc import Callable, Sequence
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import torch
from diffusers import (
    DDIMScheduler,
    DPMSolverMultistepScheduler,
    EulerAncestralDiscreteScheduler,
    EulerDiscreteScheduler,
    StableDiffusionPipeline,
)
from PIL import Image

from tests.nodes.sd.tiny.classifier import HEADS, Classifier, train_classifier
from tests.nodes.sd.tiny.judge import Verdict, judge
from tests.nodes.sd.tiny.parts import WEIGHTS
from tests.nodes.sd.tiny.scenes import FILLS, PATTERNS, SIZE, STYLES, Scene, caption, draw_scene

SAMPLERS: dict[str, Callable[[Any], Any]] = {
    "euler": EulerDiscreteScheduler.from_config,
    "euler_a": EulerAncestralDiscreteScheduler.from_config,
    "dpmpp_2m": lambda config: DPMSolverMultistepScheduler.from_config(config, use_karras_sigmas=True),
    "ddim": lambda config: DDIMScheduler.from_config(
        config, clip_sample=False, set_alpha_to_one=False, timestep_spacing="trailing"
    ),
}
GUIDANCE = 4.0
"""The guidance scale that gives the best results."""
EVALUATION_SEED = 20_000
"""The seed of the evaluated scenes; training uses other seeds."""


@dataclass(frozen=True)
class Settings:
    """The sampling settings."""

    sampler: str = "euler"
    steps: int = 20
    guidance: float = GUIDANCE


def load(folder: Path) -> Any:
    """The pipeline in a folder, in float32, without a progress bar."""
    pipeline = StableDiffusionPipeline.from_pretrained(folder, dtype=torch.float32)
    pipeline.set_progress_bar_config(disable=True)
    return pipeline


def draw(pipeline: Any, prompts: Sequence[str], settings: Settings, *, seed: int = 0) -> list[Image.Image]:
    """Draw each prompt from its own seed, 16 at a time."""
    pipeline.scheduler = SAMPLERS[settings.sampler](pipeline.scheduler.config)
    pictures: list[Image.Image] = []
    for first in range(0, len(prompts), 16):
        part = list(prompts[first : first + 16])
        pictures += pipeline(
            part,
            num_inference_steps=settings.steps,
            guidance_scale=settings.guidance,
            height=SIZE,
            width=SIZE,
            generator=[torch.Generator().manual_seed(seed + first + i) for i in range(len(part))],
        ).images
    return pictures


def single_scenes(count: int, seed: int = EVALUATION_SEED) -> list[Scene]:
    """Scenes of one flat thing on a plain background."""
    rng = random.Random(seed)
    return [_flat(draw_scene(rng, two=0, plain=1)) for _ in range(count)]


def pair_scenes(count: int, seed: int = EVALUATION_SEED + 1) -> list[Scene]:
    """Scenes of two flat things on a plain background."""
    rng = random.Random(seed)
    return [_flat(draw_scene(rng, two=1, plain=1)) for _ in range(count)]


def dressed_scenes(count: int, head: str, seed: int = EVALUATION_SEED + 2) -> list[Scene]:
    """Scenes of one thing that differ from the plain ones in just one way: fill, style or pattern."""
    rng = random.Random(f"{seed} {head}")
    scenes = []
    for i in range(count):
        scene = _flat(draw_scene(rng, two=0, plain=1))
        if head == "fill":
            fill = FILLS[1 + i % (len(FILLS) - 1)]
            scene = replace(scene, things=(replace(scene.things[0], fill=fill),))
        elif head == "style":
            scene = replace(scene, style=STYLES[1 + i % (len(STYLES) - 1)])
        else:
            scene = replace(scene, pattern=PATTERNS[1 + i % (len(PATTERNS) - 1)])
        scenes.append(scene)
    return scenes


def verdicts(
    pipeline: Any, scenes: Sequence[Scene], settings: Settings, wording: Callable[[str], str] = str
) -> list[list[Verdict]]:
    """Draw scenes from their captions and judge the pictures; `wording` may change each caption."""
    pictures = draw(pipeline, [wording(caption(scene)) for scene in scenes], settings)
    return [judge(picture, scene) for picture, scene in zip(pictures, scenes, strict=True)]


def share(judged: Sequence[Sequence[Verdict]], what: str) -> float:
    """The share of pictures in which a property (a field of `Verdict`) is right for every thing."""
    return sum(all(getattr(verdict, what) for verdict in of_one) for of_one in judged) / len(judged)


def classified(
    pipeline: Any, classifier: Classifier, scenes: Sequence[Scene], settings: Settings, head: str
) -> float:
    """The share of pictures whose requested fill, style or pattern the classifier recognises."""
    pictures = draw(pipeline, [caption(scene) for scene in scenes], settings)
    asked = [{"fill": s.things[0].fill, "style": s.style, "pattern": s.pattern}[head] for s in scenes]
    return sum(classifier.name(p, head) == a for p, a in zip(pictures, asked, strict=True)) / len(scenes)


def main() -> None:
    """Read the command line and print a table of accuracies."""
    parser = argparse.ArgumentParser(prog="python -m tests.nodes.sd.tiny.evaluate", description=__doc__)
    parser.add_argument("folder", nargs="?", type=Path, default=WEIGHTS)
    parser.add_argument("--prompts", type=int, default=300, help="prompts in each row (default 300)")
    parser.add_argument("--steps", type=int, nargs="+", default=[20])
    parser.add_argument("--sampler", choices=SAMPLERS, nargs="+", default=["euler"])
    parser.add_argument("--guidance", type=float, nargs="+", default=[GUIDANCE])
    parser.add_argument("--singles-only", action="store_true", help="leave out pairs, wordings and dress")
    options = parser.parse_args()
    warnings.simplefilter("ignore")
    pipeline = load(options.folder)
    first = Settings(options.sampler[0], options.steps[0], options.guidance[0])
    singles = single_scenes(options.prompts)
    print("| prompts | sampler | steps | guidance | colour | background | position | shape | s a picture |")
    print("|---|---|---|---|---|---|---|---|---|")
    for sampler in options.sampler:
        for steps in options.steps:
            for guidance in options.guidance:
                _print_row("one thing", pipeline, singles, Settings(sampler, steps, guidance))
    if options.singles_only:
        return
    half = max(1, options.prompts // 2)
    _print_row("two things", pipeline, pair_scenes(half), first)
    _print_row("with other words", pipeline, singles[:half], first, "a photo of {}, highly detailed".format)
    classifier = train_classifier()
    for head in HEADS:
        accuracy = classified(pipeline, classifier, dressed_scenes(half, head), first, head)
        print(f"{head}: {accuracy:.3f}", flush=True)


def _print_row(
    title: str, pipeline: Any, scenes: list[Scene], settings: Settings, wording: Callable[[str], str] = str
) -> None:
    started = time.perf_counter()
    judged = verdicts(pipeline, scenes, settings, wording)
    seconds = (time.perf_counter() - started) / len(scenes)
    shares = " | ".join(f"{share(judged, w):.3f}" for w in ("colour", "background", "position", "shape"))
    how = f"{settings.sampler} | {settings.steps} | {settings.guidance:g}"
    print(f"| {title} | {how} | {shares} | {seconds:.2f} |", flush=True)


def _flat(scene: Scene) -> Scene:
    return replace(scene, things=tuple(replace(thing, fill="flat") for thing in scene.things))


if __name__ == "__main__":
    main()
