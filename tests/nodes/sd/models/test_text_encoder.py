"""Prompts as diffusers reads them, bit for bit."""

from __future__ import annotations

from collections.abc import Iterator
from typing import Any

import pytest
import torch
from diffusers import EulerDiscreteScheduler

from nodes.sd.models.text_encoder import encode, tokenize

PROMPTS = [
    "",
    "a red cube",
    "it's 12.5% (off), \t <cat-toy> && naïve ÉCOLE",
    "猫 🐈 \x00 \u200d",
    "<|endoftext|> after the end",
    " ".join(["cat"] * 75),
    " ".join(["cat"] * 100),
]


@pytest.fixture
def diffusers_prompts(pipeline: Any) -> Iterator[Any]:
    made = pipeline(EulerDiscreteScheduler)
    theirs = made.text_encoder
    # diffusers looks for the layer norm where older transformers kept it
    object.__setattr__(theirs, "text_model", theirs)
    yield made
    object.__delattr__(theirs, "text_model")


@pytest.mark.parametrize("prompt", PROMPTS)
@pytest.mark.parametrize("clip_skip", [1, 2, 3])
def test_embeddings_are_those_of_diffusers_bit_for_bit(
    diffusers_prompts: Any, encoder: Any, tokenizer: Any, prompt: str, clip_skip: int
) -> None:
    expected, _ = diffusers_prompts.encode_prompt(
        prompt, "cpu", 1, False, clip_skip=None if clip_skip == 1 else clip_skip - 1
    )
    found = encode(encoder, tokenize(tokenizer, prompt).ids, clip_skip)
    assert found.shape == (1, 77, 64)
    assert torch.equal(found, expected)


def test_tokens_are_the_words_between_start_and_end(tokenizer: Any) -> None:
    tokens = tokenize(tokenizer, "a photo of a cat")
    assert tokens.ids[0, :8].tolist() == [49406, 320, 1125, 539, 320, 2368, 49407, 49407]
    assert tokens.ids.shape == (1, 77)
    assert tokens.used == 5
    assert tokens.overflow == ""


def test_embeddings_of_the_wrong_width_are_an_error(tokenizer: Any) -> None:
    tokens = tokenize(tokenizer, " ".join(["cat"] * 75) + " and a red cube")
    assert tokens.used == 75
    assert tokens.overflow == "and a red cube"
    assert tokens.ids[0, -2:].tolist() == [2368, 49407]


def test_a_prompt_that_just_fits_loses_nothing(tokenizer: Any) -> None:
    assert tokenize(tokenizer, " ".join(["cat"] * 75)).overflow == ""


@pytest.mark.parametrize("clip_skip", [0, -1, 4])
def test_a_layer_that_is_not_there_is_refused(encoder: Any, tokenizer: Any, clip_skip: int) -> None:
    with pytest.raises(ValueError, match="1 to 3"):
        encode(encoder, tokenize(tokenizer, "cat").ids, clip_skip)
