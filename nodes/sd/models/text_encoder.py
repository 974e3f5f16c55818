"""Encodes tokens with a CLIP text encoder, with CLIP skip and embedding vectors."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor

from nodes.sd.models.clip import ClipTextModel, ClipTextModelWithProjection
from nodes.sd.models.tokenizer import ClipTokenizer
from nodes.sd.not_finite import NotFinite

WINDOW = 77
"""The number of tokens that CLIP reads at once, with the start and end tokens."""


@dataclass(frozen=True)
class Tokens:
    """A tokenised prompt, cut or padded to one window of CLIP."""

    ids: Tensor
    """int64 [1, 77]: start, words, end, then the end token again up to the window."""
    used: int
    """The number of word tokens in the window, at most 75."""
    overflow: str
    """The end of the prompt that does not fit into the window, in CLIP's spelling."""


def tokenize(tokenizer: ClipTokenizer, text: str) -> Tokens:
    """Convert a prompt to tokens, as `StableDiffusionPipeline.encode_prompt` of diffusers does."""
    words: list[int] = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    room = WINDOW - 2
    kept, rest = words[:room], words[room:]
    return Tokens(
        ids=window(tokenizer, kept),
        used=len(kept),
        overflow=tokenizer.decode(rest) if rest else "",
    )


def window(tokenizer: ClipTokenizer, words: Sequence[int]) -> Tensor:
    """Up to 75 tokens between the start and end tokens, padded: int64 [1, 77]."""
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    padding = [tokenizer.pad_token_id] * (WINDOW - 2 - len(words))
    return torch.tensor([[start, *words, end, *padding]])


class Vectors(NamedTuple):
    """Vectors that replace tokens."""

    place: int
    """The position of the first vector in the window, counted from 0."""
    vectors: Tensor
    """[n, width]"""
    row: int | None = None
    """The index of the text in the batch that receives them; None for all texts."""


class EncoderOutput(NamedTuple):
    """The output of a text encoder."""

    rows: Tensor
    """[batch, 77, width], one row for each token."""
    pooled: Tensor | None
    """[batch, width], one vector for the whole text; None if there is none."""


def encode(encoder: ClipTextModel, ids: Tensor, clip_skip: int = 1) -> Tensor:
    """Encode tokens; return only the rows of `read`."""
    return read(encoder, ids, clip_skip).rows


def read(
    encoder: ClipTextModel | ClipTextModelWithProjection,
    ids: Tensor,
    clip_skip: int = 1,
    vectors: Sequence[Vectors] = (),
    *,
    mask: Tensor | None = None,
    norm: bool = True,
    pooled: bool = False,
) -> EncoderOutput:
    """Encode tokens with a text encoder.

    Args:
        encoder: a CLIP text encoder, with or without a projection.
        ids: int64 [batch, 77].
        clip_skip: the layer whose output is used, counted from the last, which is 1 (as in A1111; the number
            in diffusers is smaller by 1). The pooled vector is always that of the last layer.
        vectors: vectors that replace tokens; the tokens at their places are ignored.
        mask: int64 [batch, 77], 0 for the tokens that are hidden from attention; None for 1 everywhere.
        norm: True to apply the final layer norm to an earlier layer, too: True in SD 1, False in SDXL.
        pooled: True to return the pooled vector also of an encoder without a projection, as it is.

    Returns:
        rows and pooled vector in the encoder's dtype, on its device.

    Raises:
        ValueError: the encoder has no such layer, a vector has another width, or the result is not finite.
    """
    layers = encoder.config.num_hidden_layers
    if not 1 <= clip_skip <= layers:
        raise ValueError(
            f"clip_skip is {clip_skip}; this text encoder has {layers} layers, so choose 1 to {layers}."
        )
    with placed(token_embedding(encoder), vectors):
        answer = encoder(ids.to(encoder.device), attention_mask=mask, output_hidden_states=clip_skip > 1)
    rows: Tensor = answer.last_hidden_state
    if clip_skip > 1:
        rows = answer.hidden_states[-clip_skip]
        inner: Any = getattr(encoder, "text_model", encoder)
        rows = inner.final_layer_norm(rows) if norm else rows
    vector: Tensor | None = getattr(answer, "text_embeds", None)
    if vector is None and pooled:
        vector = answer.pooler_output
    if not torch.isfinite(rows).all() or not (vector is None or torch.isfinite(vector).all()):
        raise NotFinite(
            "The output of the text encoder contains NaN or infinity. In half precision, set `dtype` to"
            " float32; otherwise lower the weights of LoRAs and embeddings, or choose another model."
        )
    return EncoderOutput(rows, vector)


def token_embedding(encoder: Any) -> Any:
    """Return the module that converts tokens to vectors when a text encoder runs.

    T5 runs the one of its stack, which shares only the weight with `get_input_embeddings()`.
    """
    stack = getattr(encoder, "encoder", None)
    return getattr(stack, "embed_tokens", None) or encoder.get_input_embeddings()


@contextmanager
def placed(embedding: Any, vectors: Sequence[Vectors]) -> Iterator[None]:
    """Make a text encoder read vectors in place of some tokens inside a `with` block.

    Raises:
        ValueError: a vector has another width than the encoder's.
    """
    if not vectors:
        yield
        return

    def place(module: Any, inputs: Any, found: Tensor) -> Tensor:
        changed = found.clone()
        for given in vectors:
            rows = slice(None) if given.row is None else given.row
            changed[rows, given.place : given.place + len(given.vectors)] = given.vectors.to(found)
        return changed

    for given in vectors:
        if given.vectors.ndim != 2 or given.vectors.shape[1] != embedding.embedding_dim:
            raise ValueError(
                f"An embedding is {list(given.vectors.shape)}, this text encoder needs [n,"
                f" {embedding.embedding_dim}]."
            )
    hook = embedding.register_forward_hook(place)
    try:
        yield
    finally:
        hook.remove()
