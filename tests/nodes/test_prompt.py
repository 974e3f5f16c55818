"""EncodePrompt: what is read, what is cut off, and that nobody is left in the dark."""

from __future__ import annotations

import torch

from engine.events import Event
from engine.session import Session
from engine.testing import run_node
from nodes.load import LoadModel
from nodes.prompt import EncodePrompt
from nodes.values import Conditioning, TextEncoder
from tests.nodes.conftest import warnings


def encoder(session: Session) -> TextEncoder:
    found = run_node(session, LoadModel())["encoder"]
    assert isinstance(found, TextEncoder)
    return found


def encoded(session: Session, prompt: str, **more: int) -> tuple[Conditioning, list[str]]:
    events: list[Event] = []
    node = EncodePrompt(encoder=encoder(session), prompt=prompt, **more)
    made = run_node(session, node, emit=events.append)["out"]
    assert isinstance(made, Conditioning)
    return made, warnings(events)


def test_it_counts_the_places_used(session: Session) -> None:
    conditioning, told = encoded(session, "a cute adorable bunny")
    assert conditioning.tokens == 4
    assert conditioning.embeddings.shape == (1, 77, 64)
    assert told == []


def test_a_prompt_too_long_is_read_as_far_as_it_goes_and_said(session: Session) -> None:
    short, _ = encoded(session, "red " * 75)
    long, told = encoded(session, "red " * 75 + "circle on blue")
    assert torch.equal(short.embeddings, long.embeddings)
    assert told == ["only 75 tokens are read; cut off: 'circle on blue'"]


def test_clip_skip_listens_to_an_earlier_layer(session: Session) -> None:
    last, _ = encoded(session, "a red circle")
    earlier, _ = encoded(session, "a red circle", clip_skip=2)
    assert not torch.allclose(last.embeddings, earlier.embeddings)


def test_what_other_tools_read_as_weights_is_said_to_be_plain_words(session: Session) -> None:
    for prompt in ("a (red circle:1.3)", "<lora:ink:1> a mug", "red BREAK blue"):
        assert "read as plain words" in encoded(session, prompt)[1][0]
    assert encoded(session, "a red circle (small)")[1] == []
