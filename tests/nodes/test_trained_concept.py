"""The example's concept: what the trained word draws, measured by a judge that never saw the pictures."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

import numpy as np
import pytest
from PIL import Image as pillow

from engine.session import Session
from engine.sources import source
from engine.testing import run_node
from nodes.dataset.load_dataset import LoadDataset
from nodes.latent.decode import Decode
from nodes.latent.latents import EmptyLatent
from nodes.model.load import LoadModel
from nodes.prompt.encode_prompt import EncodePrompt
from nodes.sampling.denoise import Denoise
from nodes.sd.embeddings.embedding import Embedding
from nodes.training.train_ti import TrainTI
from nodes.values import Dataset, Image
from tests.nodes.conftest import GRAPHS
from tests.nodes.sd.tiny.concept import COLOUR, SHAPE, concept_pictures
from tests.nodes.sd.tiny.judge import look

SEEDS = 64
GROUNDS = ("green", "white", "blue", "gray")


def test_the_shipped_pictures_are_those_of_the_generator() -> None:
    drawn = concept_pictures()
    assert {path.name for path in (GRAPHS / "hearts").iterdir()} == drawn.keys()
    for name, picture in drawn.items():
        with pillow.open(GRAPHS / "hearts" / name) as shipped:
            assert np.array_equal(np.asarray(shipped.convert("RGB")), np.asarray(picture)), name


def example_inputs() -> dict[str, Any]:
    """The settings of the example's TrainTI."""
    graph = source.load(GRAPHS / "train_embedding.json")
    inputs = {name: getattr(item, "value", None) for name, item in graph.nodes["train"].inputs.items()}
    own = {name: graph.inputs[name].default for name in ("name", "initial_text", "steps", "rate", "seed")}
    return {name: value for name, value in inputs.items() if value is not None} | own


def share(session: Session, parts: dict[str, Any], encoder: Any, word: str) -> float:
    """The share of pictures that show the concept, over all seeds and four backgrounds."""
    seen = 0
    for number, ground in enumerate(GROUNDS):
        prompt = EncodePrompt(encoder=encoder, prompt=f"a {word} on a {ground} background")
        canvas = EmptyLatent(width=128, height=128, batch=SEEDS // 4)
        inputs: dict[str, Any] = {
            "positive": run_node(session, prompt)["out"],
            "negative": run_node(session, EncodePrompt(encoder=encoder, negative=True))["out"],
            "latent": run_node(session, canvas)["out"],
        }
        node = Denoise(model=parts["model"], seed=1000 * number, steps=12, guidance=4.0, **inputs)
        latent: Any = run_node(session, node)["latent"]
        image = run_node(session, Decode(vae=parts["vae"], latent=latent))["out"]
        assert isinstance(image, Image)
        found = [look(image.pil(n)) for n in range(SEEDS // 4)]
        seen += sum((one.colour, one.shape) == (COLOUR, SHAPE) for one in found)
    return seen / SEEDS


@pytest.mark.slow
def test_the_trained_word_draws_the_concept(session: Session) -> None:
    parts: dict[str, Any] = dict(run_node(session, LoadModel()))
    dataset = run_node(session, LoadDataset(folder=str(GRAPHS / "hearts")))["out"]
    assert isinstance(dataset, Dataset)
    kept = replace(dataset, pictures=dataset.pictures[:8])
    held_out = replace(dataset, pictures=dataset.pictures[8:])
    losses: list[float] = []

    def keep(event: Any) -> None:
        for row in getattr(event, "rows", ()):
            losses.extend([row["validation_loss"]] if "validation_loss" in row else [])

    inputs = {**example_inputs(), "sample_every": 0, "validate_every": 50}
    outputs = run_node(session, TrainTI(**parts, dataset=kept, validation=held_out, **inputs), emit=keep)
    embedding = outputs["embedding"]
    assert isinstance(embedding, Embedding)
    encoder = parts["encoder"]
    taught = replace(encoder, embeddings=replace(encoder.embeddings, made=(embedding,)))
    assert losses[-1] < 0.9 * losses[0]
    assert share(session, parts, taught, "<lumo>") >= 0.8
    assert share(session, parts, encoder, "lumo") < 0.1
    assert share(session, parts, encoder, "heart") < 0.3
