"""The `parameters` text, read back with the rules by which A1111 reads it."""

from __future__ import annotations

import re
from typing import get_args

from engine.registry import Made
from nodes.metadata import SAMPLERS, SCHEDULES, annotate
from nodes.sd.names import SamplerName, ScheduleName

FIELD = re.compile(r'\s*(\w[\w \-/]+):\s*("(?:\\.|[^\\"])+"|[^,]*)(?:,|$)')


def made(node_type: str, links: dict[str, str] | None = None, **inputs: object) -> Made:
    return Made(node_type, inputs, links or {}, {})  # type: ignore[arg-type]


STEPS = {
    "model": made("LoadModel", model="dream, v2"),
    "positive": made("EncodePrompt", {"encoder": "model"}, prompt="a mug\non a desk", clip_skip=2),
    "negative": made("EncodePrompt", {"encoder": "model"}, prompt="blurry", clip_skip=1),
    "canvas": made("EmptyLatent", width=512, height=768, batch=2),
    "denoise": made(
        "Denoise",
        {"model": "model", "positive": "positive", "negative": "negative", "latent": "canvas"},
        seed=40,
        steps=20,
        guidance=7.0,
        sampler="euler_ancestral",
        schedule="karras",
        strength=1.0,
    ),
    "decode": made("Decode", {"vae": "model", "latent": "denoise"}, tiled=False),
}


def test_a1111_reads_every_field_back() -> None:
    text = annotate(STEPS, "decode", 1)["parameters"]
    *prompt, last = text.split("\n")
    assert prompt == ["a mug", "on a desk", "Negative prompt: blurry"]
    fields = dict(FIELD.findall(last))
    version = fields.pop("Version")
    assert fields == {
        "Steps": "20",
        "Sampler": "Euler a",
        "Schedule type": "Karras",
        "CFG scale": "7",
        "Seed": "41",
        "Size": "512x768",
        "Model": '"dream, v2"',
        "Clip skip": "2",
        "RNG": "CPU",
    }
    assert version.startswith("Safelight ")


def test_every_sampler_and_schedule_has_its_name() -> None:
    assert set(SAMPLERS) == set(get_args(SamplerName))
    assert set(SCHEDULES) == set(get_args(ScheduleName))


def test_a_picture_that_was_only_loaded_has_no_parameters() -> None:
    assert annotate({"load": made("LoadImage", image="a.png")}, "load", 0) == {}
