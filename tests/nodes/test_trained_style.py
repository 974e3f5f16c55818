"""The style of the LoRA example: how many pictures of the trained LoRA have its frame."""

from __future__ import annotations

import random
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from engine.document.graph import Literal, Param
from engine.session import Session
from engine.sources import source
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.latent.decode import Decode
from nodes.latent.latents import EmptyLatent
from nodes.model.load import LoadModel
from nodes.model.lora import ApplyLoRA
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sampling.denoise import Denoise
from nodes.sd.lora.lora_value import LoRA
from nodes.training.train_lora import TrainLoRA
from nodes.values import Dataset, Image
from tests.nodes.conftest import GRAPHS
from tests.nodes.sd.tiny.render import render
from tests.nodes.sd.tiny.scenes import draw_scene
from tests.nodes.sd.tiny.style import framed, framed_concept, is_framed, style_pictures

SEEDS = 64
PROMPTS = (
    "a yellow ring on a gray background",
    "a blue star on a pink background",
    "a red heart on a white background",
    "a green moon on a black background",
)


@pytest.mark.parametrize(("folder", "draw"), [("framed", style_pictures), ("framed_hearts", framed_concept)])
def test_the_shipped_pictures_are_those_of_the_generator(folder: str, draw: Any) -> None:
    drawn = draw()
    assert {path.name for path in (GRAPHS / folder).iterdir()} == drawn.keys()
    for name, picture in drawn.items():
        with pillow.open(GRAPHS / folder / name) as shipped:
            assert np.array_equal(np.asarray(shipped.convert("RGB")), np.asarray(picture)), name


def test_the_judge_sees_frames_and_no_others() -> None:
    rng = random.Random(1)
    scenes = [render(draw_scene(rng), rng) for _ in range(60)]
    assert not any(is_framed(picture) for picture in scenes)
    assert all(is_framed(framed(picture)) for picture in scenes)


EXAMPLE = source.load(GRAPHS / "train_lora.json")


def example_inputs(node: str) -> dict[str, Any]:
    """The literal inputs of a node of the example, and the defaults of those that are the graph's."""
    found = {}
    for name, given in EXAMPLE.nodes[node].inputs.items():
        if isinstance(given, Literal):
            found[name] = given.value
        elif isinstance(given, Param):
            found[name] = EXAMPLE.inputs[given.name].default
    return found


def share(session: Session, parts: dict[str, Any], model: Any) -> float:
    """The share of pictures with the frame, over all seeds and four prompts."""
    settings = example_inputs("denoise")
    seen = 0
    for number, prompt in enumerate(PROMPTS):
        inputs: dict[str, Any] = {
            "positive": run_node(session, EncodePrompt(encoder=parts["encoder"], prompt=prompt))["out"],
            "negative": run_node(session, EncodePrompt(encoder=parts["encoder"], negative=True))["out"],
            "latent": run_node(session, EmptyLatent(width=128, height=128, batch=SEEDS // 4))["out"],
        }
        node = Denoise(model=model, **{**settings, "seed": 1000 * number}, **inputs)
        latent: Any = run_node(session, node)["latent"]
        image = run_node(session, Decode(vae=parts["vae"], latent=latent))["out"]
        assert isinstance(image, Image)
        seen += sum(is_framed(image.pil(n)) for n in range(SEEDS // 4))
    return seen / SEEDS


@pytest.mark.slow
@pytest.mark.parametrize("dora", [False, True])
def test_the_trained_lora_draws_the_style(session: Session, dora: bool) -> None:
    parts: dict[str, Any] = dict(run_node(session, LoadModel()))
    dataset = run_node(session, LoadDataset(folder=str(GRAPHS / "framed")))["out"]
    assert isinstance(dataset, Dataset)
    settings = {**example_inputs("train"), "dora": dora}
    lora = run_node(session, TrainLoRA(**parts, dataset=dataset, **settings))["lora"]
    assert isinstance(lora, LoRA)
    model, encoder = parts["model"], parts["encoder"]
    applied = run_node(session, ApplyLoRA(model=model, encoder=encoder, trained=lora, weight=1.0))
    assert share(session, parts, applied["model"]) >= 0.8
    assert share(session, parts, model) <= 0.1
