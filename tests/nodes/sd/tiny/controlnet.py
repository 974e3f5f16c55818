"""Trains the example's ControlNet for `safelight-tiny`: `python -m tests.nodes.sd.tiny.controlnet --out DIR`.

It reads the outline of a shape, white on black, and makes the model draw the thing of the prompt there. The
prompts of its training name no place, so the place can only come from the outline. The result is a folder in
diffusers' layout, DIR/outline; training takes about ten minutes on one CPU core.
"""

from __future__ import annotations

import argparse
import json
import random
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import torch
from diffusers import ControlNetModel
from PIL import Image, ImageChops
from torch import Tensor

from nodes.sd.training_loop.loop import Batch
from nodes.sd.training_loop.random_sources import RandomSources
from tests.nodes.sd.tiny.classifier import to_pixels
from tests.nodes.sd.tiny.parts import WEIGHTS, WIDTH, Parts, Vocabulary, new_scheduler
from tests.nodes.sd.tiny.render import FULL, OVERSAMPLE, silhouette
from tests.nodes.sd.tiny.scenes import COLOURS, SHAPES, SIZE
from tests.nodes.sd.tiny.stage import run_stage
from tests.nodes.sd.tiny.unet import emphasis

LINE = 8
"""The width of an outline on the oversampled canvas."""
RADII = (18, 36)
"""The range of a thing's radius in pixels."""
LOW = 300
"""The lowest noise level of the training; the shape is decided above it."""


@dataclass(frozen=True)
class Example:
    """A picture, the outline of its thing, and a caption that names no place."""

    picture: Image.Image
    outline: Image.Image
    caption: str


def draw_example(rng: random.Random) -> Example:
    """Draw a thing at any place of a plain ground."""
    shape, (ground, colour) = rng.choice(SHAPES), rng.sample(list(COLOURS), 2)
    radius = rng.uniform(*RADII)
    x, y = (rng.uniform(radius, SIZE - radius) for _ in range(2))
    area = silhouette(shape, *(OVERSAMPLE * side for side in (x, y, radius)))
    picture = Image.new("RGB", (FULL, FULL), COLOURS[ground])
    picture.paste(Image.new("RGB", (FULL, FULL), COLOURS[colour]), (0, 0), area)
    return Example(
        picture.reduce(OVERSAMPLE),
        draw_outline(shape, x, y, radius),
        f"a {colour} {shape} on a {ground} background",
    )


def draw_outline(shape: str, x: float, y: float, radius: float) -> Image.Image:
    """The outline of a shape, white on black: a picture to follow. All sizes are in pixels."""
    x, y, radius = (OVERSAMPLE * side for side in (x, y, radius))
    inner = silhouette(shape, x, y, radius, grow=-LINE)
    line = ImageChops.difference(silhouette(shape, x, y, radius), inner)
    return line.reduce(OVERSAMPLE).convert("RGB")


def new_controlnet(unet: Any) -> Any:
    """A ControlNet that begins as the first half of the UNet without its attention, and adds nothing yet."""
    network = ControlNetModel(
        down_block_types=("DownBlock2D",) * 4,
        mid_block_type="UNetMidBlock2D",
        block_out_channels=(WIDTH,) * 4,
        layers_per_block=2,
        norm_num_groups=16,
        attention_head_dim=2,
        cross_attention_dim=WIDTH,
        conditioning_embedding_out_channels=(8, 16, 32, 32),
    )
    known = unet.state_dict()
    own = network.state_dict()
    network.load_state_dict(own | {name: known[name] for name in own if name in known})
    return network


def train_controlnet(out: Path, *, steps: int, batch: int, scenes: int, rate: float, seed: int) -> None:
    """Train and write the folder `out/outline`; the same command continues a run that was interrupted."""
    out.mkdir(parents=True, exist_ok=True)
    with torch.random.fork_rng(devices=[]):
        torch.manual_seed(seed)
        parts = Parts.load(WEIGHTS)
        network = new_controlnet(parts.unet)
    for module in (parts.unet, parts.vae, parts.text_encoder):
        module.requires_grad_(False)
    data = _encoded(parts, scenes, seed)
    signal = new_scheduler().alphas_cumprod

    def loss(draws: RandomSources, place: Batch) -> Tensor:
        chosen = torch.randint(scenes, (batch,), generator=draws.torch)
        clean, outline, hidden = (part[chosen] for part in data)
        t = LOW + torch.randint(1000 - LOW, (batch,), generator=draws.torch)
        a, s = (share[t].sqrt()[:, None, None, None] for share in (signal, 1 - signal))
        noise = torch.randn(clean.shape, generator=draws.torch)
        noisy = a * clean + s * noise
        down, middle = network(noisy, t, hidden, outline.float(), return_dict=False)
        drawn = parts.unet(
            noisy,
            t,
            hidden,
            down_block_additional_residuals=down,
            mid_block_additional_residual=middle,
        ).sample
        error = (drawn - (a * noise - s * clean)).square().mean(1)
        weight = emphasis(clean, torch.ones(batch))
        value: Tensor = (error * weight).mean() / weight.mean()
        return value

    run_stage({"controlnet": network}, loss, out / "controlnet.pt", steps=steps, rate=rate, seed=seed)
    folder = out / "outline"
    network.to(torch.float16).save_pretrained(folder)
    config = json.loads((folder / "config.json").read_text())
    config.pop("_name_or_path", None)
    (folder / "config.json").write_text(json.dumps(config, indent=2, sort_keys=True) + "\n")


@torch.no_grad()
def _encoded(parts: Parts, scenes: int, seed: int) -> tuple[Tensor, Tensor, Tensor]:
    """Latents, outlines and encoded captions of random examples."""
    rng = random.Random(seed)
    vocabulary = Vocabulary()
    latents, outlines, hidden = [], [], []
    for _ in range(0, scenes, 16):
        examples = [draw_example(rng) for _ in range(16)]
        pixels = to_pixels([example.picture for example in examples])
        latents.append(parts.vae.encode(pixels).latent_dist.mean * parts.vae.config.scaling_factor)
        outlines.append(to_pixels([example.outline for example in examples]).add(1).div(2).half())
        hidden.append(parts.text_encoder(vocabulary.encode([one.caption for one in examples]))[0])
    return torch.cat(latents), torch.cat(outlines), torch.cat(hidden)


def main() -> None:
    """Read the command line and train."""
    parser = argparse.ArgumentParser(prog="python -m tests.nodes.sd.tiny.controlnet", description=__doc__)
    parser.add_argument("--out", type=Path, required=True, help="the folder of checkpoint and result")
    parser.add_argument("--steps", type=int, default=400)
    parser.add_argument("--batch", type=int, default=8)
    parser.add_argument("--scenes", type=int, default=480, help="the number of pictures to train on")
    parser.add_argument("--rate", type=float, default=2e-3, help="the highest learning rate")
    parser.add_argument("--seed", type=int, default=0)
    options = parser.parse_args()
    train_controlnet(
        options.out,
        steps=options.steps,
        batch=options.batch,
        scenes=options.scenes,
        rate=options.rate,
        seed=options.seed,
    )


if __name__ == "__main__":
    main()
