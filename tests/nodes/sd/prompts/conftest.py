"""Prompts read with the small model's text encoder."""

from __future__ import annotations

from collections.abc import Callable
from typing import Any

import pytest
import torch
from torch import Tensor

from nodes.sd.prompts.encoded import Encoded, Settings
from nodes.sd.prompts.encoding import encode

Encode = Callable[..., Encoded]


@pytest.fixture(scope="session")
def read_as(encoder: Any, tokenizer: Any) -> Encode:
    """Encodes a prompt; more are the settings."""

    def call(prompt: str, **settings: Any) -> Encoded:
        with torch.no_grad():
            return encode(prompt, tokenizer, encoder, Settings(**settings))

    return call


@pytest.fixture(scope="session")
def vectors_of(encoder: Any, tokenizer: Any) -> Callable[[str], Tensor]:
    """The vectors that the text encoder has for the tokens of some words."""

    def call(words: str) -> Tensor:
        ids = tokenizer(words, add_special_tokens=False).input_ids
        found: Tensor = encoder.get_input_embeddings().weight[torch.tensor(ids)].detach().clone()
        return found

    return call
