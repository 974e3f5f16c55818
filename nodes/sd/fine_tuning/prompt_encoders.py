"""Encodes the prompts of a training, so that gradients reach the vectors of the trained embedding."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nodes.sd.families.family import EncoderName
from nodes.sd.models import text_encoder as texts
from nodes.sd.models.loaded_encoder import LoadedEncoder
from nodes.sd.prompts import chunks, dialects, emphasis, t5
from nodes.sd.prompts.attention import Break, Segment
from nodes.sd.prompts.chunks import Chunk
from nodes.sd.prompts.dialects import Dialect
from nodes.sd.prompts.encoding import ContextShape
from nodes.sd.prompts.spelling import Speller
from nodes.sd.prompts.triggers import Triggers


@dataclass(frozen=True)
class ReadPrompt:
    """A prompt as tokens, in windows: CLIP has one for each chunk of 75 tokens, T5 one for the prompt."""

    ids: Tensor
    """int64 [chunks, window]"""
    weights: Tensor | None
    """float32 [chunks, window]: the weights of the tokens; None if all are 1."""
    trained: tuple[tuple[int, int], ...]
    """The places of the trained embedding: the chunk, and the place of its first vector in the window."""
    others: tuple[tuple[int, int, Tensor], ...]
    """The places of other embeddings, in the same form, each with its vectors."""


class EncodedBatch(NamedTuple):
    """A batch of prompts, encoded for a UNet or a transformer."""

    rows: Tensor
    """The text embeddings, [batch, 77 * chunks + tail, width]."""
    pooled: Tensor | None
    """The pooled vector of each prompt's first chunk, [batch, width]; None if the network reads none."""
    tail: int = 0
    """The number of rows after those of the chunks: T5's output, or zeros in its place."""


class ChangingPromptError(ValueError):
    """Raised for a prompt that changes from step to step, which trainings do not support."""

    code = "changing_prompt"


def constant(prompt: str, dialect: Dialect) -> list[Segment | Break]:
    """Parse a prompt of a training into segments and breaks.

    As in A1111's training, AND and a number at the end are words.

    Raises:
        ChangingPromptError: the prompt changes from step to step, as `[a:b:0.5]` and `[a|b]` do.
        PromptError: the prompt cannot be parsed.
    """
    (part,) = dialects.read(prompt, dialect, negative=True).parts
    if len(part.texts) != 1:
        raise ChangingPromptError(
            f"The prompt {prompt[:80]!r} changes from step to step, which trainings do not support."
        )
    return part.texts[0]


class PromptEncoders:
    """The text encoders of a model, which encode prompts with vectors that may need gradients.

    Args:
        encoders: the loaded text encoders, whose own weights are not trained.
        triggers: the embeddings, including the trained one.
        trained: the id of the trained embedding in `triggers`; None if no embedding is trained.
        dialect: the syntax of the prompts; `compel` is not supported.
        clip_skip: the layer whose output is used, counted from the last, which is 1.
        shape: the shape of the text embeddings; see `context_shape`.
        warn: called once, with a message about the first prompt that is too long for T5.
    """

    def __init__(
        self,
        encoders: Sequence[LoadedEncoder],
        triggers: Triggers,
        trained: str | None,
        *,
        dialect: Dialect = "a1111",
        clip_skip: int = 1,
        shape: ContextShape | None = None,
        warn: Callable[[str], object] = lambda message: None,
    ) -> None:
        chunked = [one for one in encoders if one.role.along != "tokens"]
        whole = [one for one in encoders if one.role.along == "tokens"]
        self._has_rows = any(one.role.along == "width" for one in chunked)
        self._chunked = [_ChunkEncoder(one, triggers, trained, dialect, clip_skip) for one in chunked]
        self._whole = [_WholeEncoder(one, triggers, trained, dialect, warn) for one in whole]
        self._shape = shape

    def check(self, prompt: str) -> bool:
        """Return whether a prompt contains the trained embedding.

        Raises:
            ValueError: the prompt cannot be parsed, or changes from step to step.
        """
        read = [encoder.read(prompt) for encoder in self._chunked]
        read += [encoder.read(prompt) for encoder in self._whole]
        return all(one.trained for one in read)

    def encode(self, prompts: Sequence[str], vectors: Mapping[str, Tensor]) -> EncodedBatch:
        """Encode a batch of prompts; shorter ones are padded with empty chunks, as A1111 does.

        Args:
            prompts: the prompts.
            vectors: the trained vectors for each text encoder, [n, width]; empty if no embedding is trained.

        Returns:
            the outputs of the CLIP encoders, joined along the width, followed by that of T5, joined along the
            tokens, as in EncodePrompt; in the encoders' dtype and on their device. Encoders of which only the
            pooled vector is used have no rows.
        """
        found = [encoder.encode(prompts, vectors.get(encoder.name)) for encoder in self._chunked]
        shortest = min(one.rows.shape[1] for one in found)
        rows = torch.cat([one.rows[:, :shortest] for one in found], -1)
        vectors_of_all = [one.pooled for one in found if one.pooled is not None]
        pooled = torch.cat(vectors_of_all, -1) if vectors_of_all else None
        if self._shape is None:
            return EncodedBatch(rows, pooled)
        padded = torch.nn.functional.pad(rows, (0, self._shape.width - rows.shape[-1]))
        if not self._has_rows:
            padded = padded[:, :0]
        behind = [encoder.encode(prompts, vectors.get(encoder.name)) for encoder in self._whole]
        behind.append(rows.new_zeros(len(prompts), self._shape.missing, self._shape.width))
        return EncodedBatch(torch.cat([padded, *behind], 1), pooled, sum(one.shape[1] for one in behind))


class _ChunkEncoder:
    """Encodes prompts with one CLIP, in chunks of 75 tokens, as EncodePrompt does."""

    def __init__(
        self, loaded: LoadedEncoder, triggers: Triggers, trained: str | None, dialect: Dialect, clip_skip: int
    ) -> None:
        role, self._tokenizer, self._encoder = loaded
        self.name: EncoderName = role.name
        self._trained = trained
        self._speller = Speller(self._tokenizer, triggers, role.name)
        self._dialect, self._clip_skip, self._norm = dialect, role.layer(clip_skip), role.norm
        self._pooled = role.pooled
        self._comma: int = self._tokenizer.convert_tokens_to_ids(",</w>")
        self._read: dict[str, ReadPrompt] = {}

    def read(self, prompt: str) -> ReadPrompt:
        """Tokenise a prompt; recent prompts are cached.

        Raises:
            ValueError: the prompt cannot be parsed, or changes from step to step.
        """
        if prompt not in self._read:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[prompt] = self._prompt(prompt)
        return self._read[prompt]

    def encode(self, prompts: Sequence[str], vectors: Tensor | None) -> EncodedBatch:
        """Encode a batch of prompts with the trained vectors, [n, width]; None if none are trained."""
        read = [self.read(prompt) for prompt in prompts]
        longest = max(len(prompt.ids) for prompt in read)
        ids, placed, weights = [], [], []
        empty = texts.window(self._tokenizer, [])
        for number, prompt in enumerate(read):
            first = number * longest
            ids += [prompt.ids, empty.expand(longest - len(prompt.ids), -1)]
            if vectors is not None:
                placed += [texts.Vectors(at, vectors, first + chunk) for chunk, at in prompt.trained]
            placed += [texts.Vectors(at, other, first + chunk) for chunk, at, other in prompt.others]
            if prompt.weights is not None:
                weights += [(first + chunk, row) for chunk, row in enumerate(prompt.weights)]
        answer = texts.read(
            self._encoder, torch.cat(ids), self._clip_skip, placed, norm=self._norm, pooled=self._pooled
        )
        rows = answer.rows
        if weights:
            parts = list(rows.chunk(len(rows)))
            for at, weight in weights:
                parts[at] = emphasis.scaled(parts[at], weight.to(rows))
            rows = torch.cat(parts)
        pooled = answer.pooled[::longest] if self._pooled and answer.pooled is not None else None
        return EncodedBatch(rows.reshape(len(read), longest * texts.WINDOW, rows.shape[-1]), pooled)

    def _prompt(self, prompt: str) -> ReadPrompt:
        pieces = constant(prompt, self._dialect)
        groups = iter(self._speller.spell([piece for piece in pieces if isinstance(piece, Segment)]))
        segments = [None if isinstance(piece, Break) else next(groups) for piece in pieces]
        found = chunks.at_commas(segments, self._comma)
        ids = torch.cat([texts.window(self._tokenizer, [place.id for place in chunk]) for chunk in found])
        return _in_windows(ids, found, 1, self._speller, self._trained)


class _WholeEncoder:
    """Encodes prompts with T5, in one window that cuts off longer prompts, as EncodePrompt does.

    Args:
        loaded: T5.
        triggers: the embeddings, including the trained one.
        trained: the id of the trained embedding; None if no embedding is trained.
        dialect: the syntax of the prompts.
        warn: called with a message about the first prompt that is too long.
    """

    def __init__(
        self,
        loaded: LoadedEncoder,
        triggers: Triggers,
        trained: str | None,
        dialect: Dialect,
        warn: Callable[[str], object],
    ) -> None:
        role, tokenizer, self._encoder = loaded
        self._warn, self._warned = warn, False
        self.name: EncoderName = role.name
        self._trained, self._dialect, self._length = trained, dialect, role.length
        self._speller = Speller(tokenizer, triggers, role.name, drop=True)
        self._read: dict[str, ReadPrompt] = {}

    def read(self, prompt: str) -> ReadPrompt:
        """Tokenise a prompt; recent prompts are cached. The errors are those of `_ChunkEncoder.read`."""
        if prompt not in self._read:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            tokens = t5.tokens_of(constant(prompt, self._dialect), self._speller)
            if len(tokens) >= self._length and not self._warned:
                self._warned = True
                size = f"{self._length - 1} of the {len(tokens)} tokens"
                self._warn(
                    f"T5 reads only {size} of the prompt {prompt[:80]!r}; shorten it to use the others"
                )
            ids = t5.window(tokens, self._length)
            kept = tokens[: self._length - 1]
            self._read[prompt] = _in_windows(ids, [kept], 0, self._speller, self._trained)
        return self._read[prompt]

    def encode(self, prompts: Sequence[str], vectors: Tensor | None) -> Tensor:
        """Encode a batch of prompts with the trained vectors, if there are any: [batch, length, width]."""
        read = [self.read(prompt) for prompt in prompts]
        placed = []
        for number, prompt in enumerate(read):
            own = [(at, vectors) for _, at in prompt.trained if vectors is not None]
            for at, given in (*own, *((at, other) for _, at, other in prompt.others)):
                placed.append(texts.Vectors(at, given[: self._length - 1 - at], number))
        rows = t5.read(self._encoder, torch.cat([prompt.ids for prompt in read]), placed)
        if all(prompt.weights is None for prompt in read):
            return rows
        ones = torch.ones(1, self._length)
        weights = torch.cat([ones if prompt.weights is None else prompt.weights for prompt in read])
        return rows * weights.to(rows)[..., None]  # as the emphasis `no_norm`


_REMEMBERED = 4096


def _in_windows(
    ids: Tensor, found: Sequence[Chunk], start: int, speller: Speller, own: str | None
) -> ReadPrompt:
    """Find the weights and the embeddings in the windows of a prompt.

    Args:
        ids: the windows, int64 [chunks, window].
        found: the tokens of each window, without its start and end tokens.
        start: the place of the first of these tokens in a window.
        speller: the speller that made the tokens; it has the vectors of the embeddings.
        own: the id of the trained embedding; None if no embedding is trained.
    """
    trained: list[tuple[int, int]] = []
    others: list[tuple[int, int, Tensor]] = []
    weights = torch.ones(ids.shape)
    for number, chunk in enumerate(found):
        weights[number, start : start + len(chunk)] = torch.tensor([place.weight for place in chunk])
        for at, place in enumerate(chunk, start):
            if place.trigger and place.trigger == own and place.vector == 0:
                trained.append((number, at))
            elif place.trigger and place.vector == 0:
                others.append((number, at, speller.vectors[place.trigger]))
    plain = bool((weights == 1).all())
    return ReadPrompt(ids, None if plain else weights, tuple(trained), tuple(others))
