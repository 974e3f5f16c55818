"""Loaded text encoders of a model."""

from __future__ import annotations

from typing import TYPE_CHECKING, NamedTuple

from nodes.sd.families.family import EncoderRole

if TYPE_CHECKING:
    from transformers.models.clip.modeling_clip import CLIPTextModel
    from transformers.models.clip.tokenization_clip import CLIPTokenizer


class LoadedEncoder(NamedTuple):
    """A tokenizer and its text encoder."""

    role: EncoderRole
    """The role of the encoder, which defines how its output is used."""
    tokenizer: CLIPTokenizer
    encoder: CLIPTextModel


LoadedTextEncoder = tuple[LoadedEncoder, ...]
"""The text encoders of one checkpoint, which encode prompts together. Most families have one, SDXL has
two."""
