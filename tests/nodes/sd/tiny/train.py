"""Trains `safelight-tiny` from random weights: `python -m tests.nodes.sd.tiny.train --out DIR`.

There are five stages, each with a checkpoint in DIR. The same command continues a run that was interrupted.
The same seed gives the same weights on the same machine. The result is written to DIR/weights.
"""

from __future__ import annotations

import argparse
import math
import time
from collections.abc import Sequence
from dataclasses import dataclass
from pathlib import Path

from tests.nodes.sd.tiny.export import export
from tests.nodes.sd.tiny.latents import cache_latents
from tests.nodes.sd.tiny.parts import Parts, Vocabulary
from tests.nodes.sd.tiny.text import train_text
from tests.nodes.sd.tiny.unet import train_unet
from tests.nodes.sd.tiny.vae import train_decoder, train_vae

STAGES = ("vae", "decoder", "text", "latents", "unet")


@dataclass(frozen=True)
class Recipe:
    """The length of each stage. The defaults take about five hours on two CPU cores."""

    vae: int = 6000
    """Steps of the autoencoder: batches of 12 crops, later of 4 pictures."""
    decoder: int = 2000
    text: int = 2500
    """Steps of the text encoder: batches of 96 captions."""
    scenes: int = 40_000
    """The number of pictures whose latents are cached."""
    unet: int = 14_000
    batch: int = 32
    """The batch size of the denoiser."""
    rate: float = 1.2e-3
    """The highest learning rate of the denoiser."""


def train(
    out: Path,
    recipe: Recipe,
    *,
    stages: Sequence[str] = STAGES,
    start: Path | None = None,
    seed: int = 0,
    until: float = math.inf,
) -> bool:
    """Train the requested stages in order and export the result.

    Args:
        out: the folder for checkpoints, cached latents and the exported weights.
        recipe: the length of each stage.
        stages: the stages to train; the networks of the others come from `start`.
        start: a diffusers folder of the same architecture to start with; None for random weights.
        seed: the seed of all stages.
        until: a time of `time.monotonic()` at which to stop; the next call continues.

    Returns:
        whether all requested stages are finished. The current state is exported in any case.
    """
    out.mkdir(parents=True, exist_ok=True)
    vocabulary = Vocabulary()
    parts = Parts.new(seed) if start is None else Parts.load(start)

    def finish(stage: str) -> bool:
        file = out / f"{stage}.pt"
        if stage == "vae":
            return train_vae(parts.vae, file, steps=recipe.vae, seed=seed, until=until)
        if stage == "decoder":
            return train_decoder(parts.vae, file, steps=recipe.decoder, seed=seed, until=until)
        if stage == "text":
            return train_text(parts.text_encoder, vocabulary, file, steps=recipe.text, seed=seed, until=until)
        folder = out / "latents"
        if stage == "latents":
            return cache_latents(parts.vae, vocabulary, folder, scenes=recipe.scenes, seed=seed, until=until)
        return train_unet(
            parts, folder, file,
            steps=recipe.unet, batch=recipe.batch, rate=recipe.rate, seed=seed, until=until,
        )  # fmt: skip

    finished = all(finish(stage) for stage in STAGES if stage in stages)
    export(parts, vocabulary, out / "weights")
    return finished


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m tests.nodes.sd.tiny.train", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder for checkpoints and weights")
    parser.add_argument(
        "--stage", choices=STAGES, action="append", help="train only this stage; may be repeated"
    )
    parser.add_argument("--from", dest="start", type=Path, help="a diffusers folder to start with")
    parser.add_argument(
        "--minutes", type=float, default=math.inf, help="stop after this many minutes; call again to continue"
    )
    parser.add_argument("--seed", type=int, default=0)
    for name, value in vars(Recipe()).items():
        parser.add_argument(f"--{name}", type=type(value), default=value, help=f"default {value}")
    options = vars(parser.parse_args())
    recipe = Recipe(**{name: options[name] for name in vars(Recipe())})
    finished = train(
        options["out"],
        recipe,
        stages=options["stage"] or STAGES,
        start=options["start"],
        seed=options["seed"],
        until=time.monotonic() + 60 * options["minutes"],
    )
    print(
        f"{'finished' if finished else 'stopped; the same command continues'}: {options['out'] / 'weights'}"
    )


if __name__ == "__main__":
    main()
