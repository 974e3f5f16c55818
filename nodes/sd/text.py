"""Prompts as the UNet reads them: text to tokens, tokens to embeddings."""

from __future__ import annotations

from collections.abc import Iterator, Sequence
from contextlib import contextmanager
from dataclasses import dataclass
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.models.clip.modeling_clip import CLIPTextModel, CLIPTextModelWithProjection
from transformers.models.clip.tokenization_clip import CLIPTokenizer

WINDOW = 77
"""Tokens that CLIP reads at once, its start and end tokens counted."""


@dataclass(frozen=True)
class Tokens:
    """A prompt in CLIP's vocabulary, cut or padded to one window."""

    ids: Tensor
    """int64 [1, 77]: start, words, end, then the end token again up to the window."""
    used: int
    """Words' tokens that found room, 75 at most."""
    overflow: str
    """The end of the prompt, as CLIP spells it, that found no room; empty as a rule."""


def tokenize(tokenizer: CLIPTokenizer, text: str) -> Tokens:
    """Spell a prompt in tokens, as `StableDiffusionPipeline.encode_prompt` of diffusers does."""
    words: list[int] = tokenizer(text, add_special_tokens=False, verbose=False).input_ids
    room = WINDOW - 2
    kept, rest = words[:room], words[room:]
    return Tokens(
        ids=window(tokenizer, kept),
        used=len(kept),
        overflow=tokenizer.decode(rest) if rest else "",
    )


def window(tokenizer: CLIPTokenizer, words: Sequence[int]) -> Tensor:
    """Up to 75 tokens between start and end, padded as the tokenizer says: int64 [1, 77]."""
    start, end = tokenizer.bos_token_id, tokenizer.eos_token_id
    padding = [tokenizer.pad_token_id] * (WINDOW - 2 - len(words))
    return torch.tensor([[start, *words, end, *padding]])


class Vectors(NamedTuple):
    """Vectors that take the places of tokens."""

    place: int
    """The first place that they take in the window, counted from 0."""
    vectors: Tensor
    """[n, width]"""


class Read(NamedTuple):
    """What a text encoder answers."""

    rows: Tensor
    """[batch, 77, width], one row for each place."""
    pooled: Tensor | None
    """[batch, width], the whole in one vector; None if the encoder has no projection for it."""


def encode(encoder: CLIPTextModel, ids: Tensor, clip_skip: int = 1) -> Tensor:
    """Read tokens with the text encoder; the rows of `read`."""
    return read(encoder, ids, clip_skip).rows


def read(
    encoder: CLIPTextModel | CLIPTextModelWithProjection,
    ids: Tensor,
    clip_skip: int = 1,
    vectors: Sequence[Vectors] = (),
    *,
    mask: Tensor | None = None,
    norm: bool = True,
) -> Read:
    """Read tokens with a text encoder.

    Args:
        encoder: the model's own, or its second with a projection (SDXL).
        ids: int64 [batch, 77].
        clip_skip: which layer's output is taken, counted from the last, which is 1 (as in A1111; diffusers
            counts the layers left out, one less). The pooled vector is always the last layer's.
        vectors: what takes the places of tokens; of `ids`, those places count for nothing.
        mask: int64 [batch, 77], 0 at the places that no other place may look at; None is 1 everywhere.
        norm: whether the final layer norm follows an earlier layer too, as it does in SD 1; not so in SDXL.

    Returns:
        Rows and pooled vector in the encoder's dtype, on its device.

    Raises:
        ValueError: the encoder has no such layer, a vector has another width, or the result is not finite.
    """
    layers = encoder.config.num_hidden_layers
    if not 1 <= clip_skip <= layers:
        raise ValueError(
            f"clip_skip is {clip_skip}; this text encoder has {layers} layers, so 1 to {layers}."
        )
    with _placed(encoder.get_input_embeddings(), vectors):
        answer = encoder(ids.to(encoder.device), attention_mask=mask, output_hidden_states=clip_skip > 1)
    rows: Tensor = answer.last_hidden_state
    if clip_skip > 1:
        rows = answer.hidden_states[-clip_skip]
        rows = getattr(encoder, "text_model", encoder).final_layer_norm(rows) if norm else rows
    pooled: Tensor | None = getattr(answer, "text_embeds", None)
    if not torch.isfinite(rows).all() or not (pooled is None or torch.isfinite(pooled).all()):
        raise ValueError("The text encoder answered with NaN or infinity. Run it in float32.")
    return Read(rows, pooled)


@contextmanager
def _placed(embedding: Any, vectors: Sequence[Vectors]) -> Iterator[None]:
    if not vectors:
        yield
        return

    def place(module: Any, inputs: Any, found: Tensor) -> Tensor:
        changed = found.clone()
        for given in vectors:
            changed[:, given.place : given.place + len(given.vectors)] = given.vectors.to(found)
        return changed

    for given in vectors:
        if given.vectors.ndim != 2 or given.vectors.shape[1] != embedding.embedding_dim:
            raise ValueError(
                f"An embedding is {list(given.vectors.shape)}, this text encoder reads [n,"
                f" {embedding.embedding_dim}]."
            )
    hook = embedding.register_forward_hook(place)
    try:
        yield
    finally:
        hook.remove()
