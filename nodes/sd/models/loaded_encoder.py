"""Loaded text encoders of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nodes.sd.families.family import EncoderRole

if TYPE_CHECKING:
    from nodes.sd.models.clip import ClipTextModel
    from nodes.sd.models.tokenizer import ClipTokenizer


class LoadedEncoder(NamedTuple):
    """A loaded text encoder with its tokenizer and its role in the model family."""

    role: EncoderRole
    """The role of the encoder, which defines how its output is used."""
    tokenizer: ClipTokenizer
    encoder: ClipTextModel


LoadedTextEncoder = tuple[LoadedEncoder, ...]
"""The text encoders of one checkpoint, which encode prompts together. Most families have one, SDXL has
two."""
