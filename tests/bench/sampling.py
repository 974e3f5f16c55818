"""Sampling step by step: against diffusers' own pipeline, and with each way to save work on and off.

Both sides of a row compute in turn, in one process, with the same weights, prompts and noise.
"""

from __future__ import annotations

import statistics
from collections.abc import Callable, Iterator
from dataclasses import dataclass
from typing import Any

from tests.bench.bench import ROOT, Row, abba, bench, new_home

GUIDANCE = 5.0
EMBEDDED, TRUE_SIZE = "safelight-tiny at 128 px", "a UNet of SD 1.5's size at 256 px"


@dataclass(frozen=True)
class Case:
    """A UNet, the size of its latents, the steps of one drawing, and the rounds of a measurement."""

    name: str
    unet: Any
    cells: int
    steps: int
    rounds: int


def case(name: str, dtype: str = "float32") -> Case:
    """The embedded UNet, or one of SD 1.5's size with random weights."""
    import torch

    from nodes.sd.models.folder import describe_folder
    from nodes.sd.models.weights import load_unet

    torch.set_num_threads(1)
    if name == EMBEDDED:
        unet = load_unet(describe_folder(ROOT / "nodes" / "sd" / "tiny" / "weights"), getattr(torch, dtype))
        return Case(name, unet, 16, 20, 12)
    return Case(name, random_unet(getattr(torch, dtype)), 32, 2, 4)


def random_unet(dtype: Any) -> Any:
    """A UNet with the shapes of SD 1.5: 860 million random weights that keep activations near 1."""
    import torch
    from diffusers import UNet2DConditionModel

    with torch.device("meta"):
        unet = UNet2DConditionModel(cross_attention_dim=768, attention_head_dim=8).to(dtype)
    unet.to_empty(device="cpu").eval().requires_grad_(False)
    numbers = torch.randn(1 << 20, generator=torch.Generator().manual_seed(1))
    for name, weight in unet.named_parameters():
        if weight.ndim == 1:
            weight.fill_(float(name.endswith("weight")))
            continue
        spread = weight[0].numel() ** -0.5
        for piece in weight.view(-1).split(len(numbers)):
            piece.copy_(numbers[: len(piece)] * spread)
    return unet


def ours(case: Case, *, keys: bool = True, guided: tuple[float, float] = (0.0, 1.0)) -> Callable[[int], Any]:
    """Draws the latents of a seed, as Denoise does."""
    from nodes.sd.families.family import Betas
    from nodes.sd.sampling.denoiser import Denoiser
    from nodes.sd.sampling.noise import NoiseSource
    from nodes.sd.sampling.noise_table import NoiseTable
    from nodes.sd.sampling.samplers import sample, start
    from nodes.sd.sampling.schedules import schedule
    from nodes.sd.sampling.text_keys import with_text_keys

    cond, uncond = prompts(case)

    def draw(seed: int) -> Any:
        plan = schedule("normal", case.steps, NoiseTable(Betas()))
        unet = with_text_keys(case.unet) if keys else case.unet
        denoiser = Denoiser(unet, plan, "epsilon", cond, uncond=uncond, guidance=GUIDANCE, guided=guided)
        x = start(NoiseSource(seed).draw((4, case.cells, case.cells)), plan.sigmas)
        for step in sample("euler", denoiser, x, plan.sigmas):
            x = step.x
        return x

    return draw


def bare(case: Case) -> Callable[[int], Any]:
    """Draws the same latents with diffusers' pipeline."""
    import torch
    from diffusers import EulerDiscreteScheduler, StableDiffusionPipeline

    from nodes.sd.models.folder import describe_folder
    from nodes.sd.models.weights import load_vae

    pipeline: Any = StableDiffusionPipeline(
        unet=case.unet,
        vae=load_vae(describe_folder(ROOT / "nodes" / "sd" / "tiny" / "weights")),
        text_encoder=None,
        tokenizer=None,
        scheduler=EulerDiscreteScheduler(
            beta_schedule="scaled_linear",
            beta_start=0.00085,
            beta_end=0.012,
            timestep_spacing="linspace",
            steps_offset=1,
        ),
        safety_checker=None,
        feature_extractor=None,
        requires_safety_checker=False,
    )
    pipeline.set_progress_bar_config(disable=True)
    cond, uncond = (rows.to(case.unet.dtype) for rows in prompts(case))

    def draw(seed: int) -> Any:
        return pipeline(
            prompt_embeds=cond,
            negative_prompt_embeds=uncond,
            num_inference_steps=case.steps,
            guidance_scale=GUIDANCE,
            height=8 * case.cells,
            width=8 * case.cells,
            generator=torch.Generator().manual_seed(seed),
            output_type="latent",
        ).images

    return draw


def prompts(case: Case) -> tuple[Any, Any]:
    """Two encoded prompts of random numbers."""
    import torch

    rows = torch.randn(
        2, 1, 77, case.unet.config.cross_attention_dim, generator=torch.Generator().manual_seed(2)
    )
    return rows[0], rows[1]


def compared(
    name: str, what: Case, mine: Callable[[int], Any], other: Callable[[int], Any], goal: float
) -> Row:
    """A row with the steps per second of two sides, which must draw the same bits."""
    import torch

    equal = torch.equal(mine(3), other(3))
    took = abba(mine, other, what.rounds)
    speed, theirs = (what.steps / statistics.median(one.cpu for one in side) for side in took)
    return Row(
        f"{name}, {what.name}",
        round(speed, 3),
        "steps per s CPU",
        f"ratio >= {goal:g} and latents bit-equal",
        speed / theirs >= goal and equal,
        f"Euler, {what.steps} steps, guidance {GUIDANCE:g}, float32, 1 thread, {what.rounds} rounds of ABBA,"
        f" medians; latents {'' if equal else 'NOT '}bit-equal",
        peer=round(theirs, 3),
        ratio=round(speed / theirs, 4),
    )


@bench
def sampling_steps() -> Iterator[Row]:
    """Against diffusers."""
    for name in (EMBEDDED, TRUE_SIZE):
        what = case(name)
        yield compared("sampling against bare diffusers", what, ours(what), bare(what), 0.99)


@bench
def text_keys() -> Iterator[Row]:
    """With the keys and values of the prompts computed once, and in each step."""
    for name in (EMBEDDED, TRUE_SIZE):
        what = case(name)
        yield compared("keys and values of prompts once", what, ours(what), ours(what, keys=False), 1.0)


@bench
def guidance_range() -> Iterator[Row]:
    """With guidance in half of the steps, and in all: a step without it takes half the time."""
    for name, guided in ((EMBEDDED, (0.25, 0.75)), (TRUE_SIZE, (0.5, 1.0))):
        what = case(name)
        some, all_steps = abba(ours(what, guided=guided), ours(what), what.rounds)
        speed, whole = (what.steps / statistics.median(one.cpu for one in side) for side in (some, all_steps))
        yield Row(
            f"guidance in half of the steps, {what.name}",
            round(speed, 3),
            "steps per s CPU",
            "ratio >= 1.25",
            speed / whole >= 1.25,
            f"Euler, {what.steps} steps, guidance {GUIDANCE:g}, 1 thread, {what.rounds} rounds of ABBA,"
            " medians; the peer has guidance in all steps",
            peer=round(whole, 3),
            ratio=round(speed / whole, 4),
        )


@bench
def precision_auto() -> Iterator[Row]:
    """In bfloat16 and in float32: `auto` is to choose the faster one."""
    from engine import settings
    from engine.devices.compute import compute_settings

    with new_home() as home:
        auto = compute_settings(settings.load(home, device="cpu", dtype="auto")).dtype
    whole, half = case(TRUE_SIZE), case(TRUE_SIZE, "bfloat16")
    took = abba(ours(half), ours(whole), whole.rounds)
    speed, theirs = (whole.steps / statistics.median(one.cpu for one in side) for side in took)
    ratio = speed / theirs
    yield Row(
        f"bfloat16 against float32, {whole.name}",
        round(speed, 3),
        "steps per s CPU",
        "ratio >= 2 if `auto` is bfloat16, else < 1.2",
        ratio >= 2 if auto == "bfloat16" else ratio < 1.2,
        f"`auto` is {auto} on this CPU; Euler, {whole.steps} steps, 1 thread, {whole.rounds} rounds of ABBA,"
        f" medians; {picture_difference()}",
        peer=round(theirs, 3),
        ratio=round(ratio, 4),
    )


def picture_difference() -> str:
    """How much bfloat16 changes the pictures of the embedded model."""
    import numpy

    from engine import settings
    from engine.session import Session
    from tests.bench import text_to_image

    pictures = []
    for dtype in ("float32", "bfloat16"):
        with new_home() as home, Session(settings.load(home, device="cpu", dtype=dtype)) as session:
            draw = text_to_image.ours(session)
            pixels = [draw("a blue star on a red background", seed, "pil").pixels for seed in range(3)]
            pictures.append(numpy.stack(pixels).astype(float))
    apart = numpy.abs(pictures[0] - pictures[1])
    return f"three pictures of safelight-tiny differ by {apart.mean():.2f} of 255 on average"
