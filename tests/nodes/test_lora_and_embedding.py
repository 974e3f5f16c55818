"""A LoRA and an embedding in one graph: their order does not matter, and one may change without the other."""

from __future__ import annotations

from pathlib import Path
from typing import Any
from unittest import mock

import numpy as np
import pytest
from safetensors.torch import save_file

from engine.document.graph import Entry, From, Graph, Literal
from engine.session import Session
from engine.sources import source
from nodes.values import Model, TextEncoder, Vae
from tests.nodes.conftest import GRAPHS, output, ran
from tests.nodes.model.test_lora import rand, small, text_lora

QUICK: dict[str, Any] = {"prompt": "a <ruby> circle on a yellow background", "steps": 2}


def embedding(home: Path, seed: int) -> None:
    """Write `ruby`, an embedding of two vectors."""
    folder = home / "models" / "embeddings"
    folder.mkdir(parents=True, exist_ok=True)
    save_file({"emb_params": rand(seed, 2, 64) * 0.02}, folder / "ruby.safetensors")


def graph(*order: str) -> Graph:
    """Text to image with the nodes `lora` and `words`, or one of them, in this order."""
    made = source.load(GRAPHS / "text_to_image.json")
    model, encoder = From("model", "model"), From("model", "encoder")
    for name in order:
        if name == "lora":
            inputs: dict[str, Any] = {"model": model, "encoder": encoder, "lora": Literal("both.safetensors")}
            made.nodes[name] = Entry("ApplyLoRA@1", {**inputs, "weight": Literal(1.0)})
            model, encoder = From(name, "model"), From(name, "encoder")
        else:
            made.nodes[name] = Entry("LoadEmbeddings@1", {"encoder": encoder})
            encoder = From(name, "out")
    made.nodes["denoise"].inputs["model"] = model
    for prompt in ("positive", "negative"):
        made.nodes[prompt].inputs["encoder"] = encoder
    return made


@pytest.fixture(autouse=True)
def files(home: Path) -> None:
    small(home / "models" / "loras", "both.safetensors", text_lora())
    embedding(home, 1)


def test_their_order_does_not_matter_and_both_act(session: Session) -> None:
    pictures = [
        output(session.run(graph(*order), QUICK)).pixels
        for order in (("lora", "words"), ("words", "lora"), ("lora",), ("words",))
    ]
    assert np.array_equal(pictures[0], pictures[1])
    assert not any(np.array_equal(pictures[0], other) for other in pictures[2:])


def test_another_embedding_loads_no_model_and_no_lora_again(session: Session, home: Path) -> None:
    work = graph("lora", "words")
    before = output(session.run(work, QUICK)).pixels
    embedding(home, 2)
    with (
        mock.patch.multiple(Model, load=None, compose=None),
        mock.patch.multiple(TextEncoder, load=None, compose=None),
        mock.patch.object(Vae, "load", None),
    ):
        report = session.run(work, QUICK)
    assert report.state == "done"
    assert ran(report) == {"words", "positive", "negative", "denoise", "decode"}
    assert not np.array_equal(output(report).pixels, before)
