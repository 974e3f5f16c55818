"""Encodes a prompt with T5, which reads it at once and not in chunks."""

from __future__ import annotations

from collections.abc import Sequence
from typing import Any

import torch
from torch import Tensor

from nodes.sd.models.text_encoder import Vectors, placed, token_embedding
from nodes.sd.not_finite import NotFinite
from nodes.sd.prompts import emphasis
from nodes.sd.prompts.attention import Break, Segment
from nodes.sd.prompts.dialects import Written
from nodes.sd.prompts.encoded import Encoded, Settings
from nodes.sd.prompts.excerpt import PromptWarning
from nodes.sd.prompts.spelling import Place, Speller
from nodes.sd.prompts.timeline import PromptPart

_PAD, _END = 0, 1
"""The tokens that fill and that end a prompt; equal in all T5 models."""


def encode(written: Written, encoder: Any, speller: Speller, settings: Settings, length: int) -> Encoded:
    """Encode a parsed prompt; each of its readings becomes float32 rows [1, length, width], on the CPU.

    The padding is encoded, too, as in diffusers. BREAK has no effect. Weights multiply rows as with the
    emphasis `no_norm`, because the mean of T5's rows is close to 0; in the dialect `comfy` they move rows
    away from those of the empty prompt.

    Args:
        written: the parsed prompt.
        encoder: a T5EncoderModel of transformers.
        speller: converts words to tokens.
        settings: the settings for encoding.
        length: the number of tokens that are encoded, including the end token and padding; more for a longer
            prompt if the settings say so.

    Raises:
        NotFinite: the output contains NaN or infinity.
    """
    parts, used = [], 0
    warnings = list(written.warnings)
    for part in written.parts:
        encodings = []
        for pieces in part.texts:
            tokens = tokens_of(pieces, speller)
            used = max(used, len(tokens))
            size = max(length, len(tokens) + 1) if settings.grows else length
            if len(tokens) >= size:
                message = f"T5 reads the first {size - 1} tokens of this prompt, which has {len(tokens)}"
                warnings.append(PromptWarning(message, 0))
            encodings.append(_weighted(tokens[: size - 1], encoder, speller, settings, size))
        parts.append(PromptPart(tuple(encodings), part.timeline, part.weight))
    warnings = list(dict.fromkeys([*warnings, *speller.warnings]))
    return Encoded(tuple(parts), None, [], used, max(0, length - 1 - used), written.tags, warnings)


def tokens_of(pieces: Sequence[Segment | Break], speller: Speller) -> list[Place]:
    """Convert a prompt to tokens, without the end token."""
    groups = speller.spell([piece for piece in pieces if isinstance(piece, Segment)])
    return [place for segment in groups for group in segment for place in group]


def window(tokens: Sequence[Place], length: int) -> Tensor:
    """Cut tokens to fit before the end token, add it, and pad them: int64 [1, length]."""
    ids = [*(place.id for place in tokens[: length - 1]), _END]
    return torch.tensor([ids + [_PAD] * (length - len(ids))])


def read(encoder: Any, ids: Tensor, vectors: Sequence[Vectors]) -> Tensor:
    """Encode windows of tokens: [batch, length, width], in the encoder's dtype and on its device.

    Raises:
        NotFinite: the output contains NaN or infinity.
    """
    with placed(token_embedding(encoder), vectors):
        rows: Tensor = encoder(ids.to(encoder.device))[0]
    if not torch.isfinite(rows).all():
        raise NotFinite(
            "The output of the text encoder T5 contains NaN or infinity. In half precision, set `dtype` to"
            " float32; otherwise choose another model."
        )
    return rows


def _weighted(
    tokens: Sequence[Place], encoder: Any, speller: Speller, settings: Settings, length: int
) -> Tensor:
    rows = _read(tokens, encoder, speller, length)
    weights = torch.ones(length)
    weights[: len(tokens)] = torch.tensor([place.weight for place in tokens])
    if settings.dialect == "comfy" and not bool((weights == 1).all()):
        rows = emphasis.drawn_from(_read([], encoder, speller, length), rows, weights)
    elif settings.dialect != "comfy":
        rows = emphasis.scaled(rows, weights, "ignore" if settings.emphasis == "ignore" else "no_norm")
    if not torch.isfinite(rows).all():
        raise NotFinite("The weights of this prompt give NaN or infinity. Use smaller ones.")
    return rows


def _read(tokens: Sequence[Place], encoder: Any, speller: Speller, length: int) -> Tensor:
    """Encode tokens without their weights: float32 [1, length, width], on the CPU."""
    vectors = [
        Vectors(at, speller.vectors[place.trigger][: length - 1 - at])
        for at, place in enumerate(tokens)
        if place.trigger and place.vector == 0
    ]
    with torch.no_grad():
        return read(encoder, window(tokens, length), vectors).float().cpu()
