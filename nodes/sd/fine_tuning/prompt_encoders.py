"""Encodes prompts with the vectors in training, so that gradients reach them."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import NamedTuple

import torch
from torch import Tensor

from nodes.sd.families.family import EncoderName
from nodes.sd.models import text_encoder as texts
from nodes.sd.models.loaded_encoder import LoadedEncoder
from nodes.sd.prompts import chunks, dialects, emphasis
from nodes.sd.prompts.attention import Break, Segment
from nodes.sd.prompts.chunks import Chunk
from nodes.sd.prompts.dialects import Dialect
from nodes.sd.prompts.spelling import Speller
from nodes.sd.prompts.triggers import Triggers


@dataclass(frozen=True)
class ReadPrompt:
    """A prompt in tokens. Each chunk of 75 tokens is one window of the text encoder."""

    ids: Tensor
    """int64 [chunks, 77]"""
    weights: Tensor | None
    """float32 [chunks, 77]: the weights of the tokens; None if all are 1."""
    trained: tuple[tuple[int, int], ...]
    """The places of the trained embedding: the chunk, and the place of its first vector in the window."""
    others: tuple[tuple[int, int, Tensor], ...]
    """The places of other embeddings, with their vectors."""


class EncodedBatch(NamedTuple):
    """A batch of prompts, encoded for a UNet."""

    rows: Tensor
    """[batch, 77 * chunks, width]"""
    pooled: Tensor | None
    """[batch, width]: each prompt as one vector, of the first chunk; None if the UNet reads none."""


class ChangingPromptError(ValueError):
    """Raised for a prompt that changes from step to step, which a training cannot encode once."""

    code = "changing_prompt"


def constant(prompt: str, dialect: Dialect) -> list[Segment | Break]:
    """The pieces of a prompt for a training.

    As in A1111's training, AND and a number at the end are words.

    Raises:
        ChangingPromptError: it changes from step to step, as `[a:b:0.5]` and `[a|b]` do.
        PromptError: it cannot be read.
    """
    (part,) = dialects.read(prompt, dialect, negative=True).parts
    if len(part.texts) != 1:
        raise ChangingPromptError(
            f"The prompt {prompt[:80]!r} changes from step to step, which a training cannot follow."
        )
    return part.texts[0]


class PromptEncoders:
    """The text encoders of a model, which encode prompts with vectors that may need gradients.

    Args:
        encoders: the loaded text encoders, whose own weights are not trained.
        triggers: the embeddings, the trained one among them.
        trained: the id of the trained embedding in `triggers`; None if no embedding is trained.
        dialect: the syntax of the prompts, except `compel`.
        clip_skip: the layer whose output is used, counted from the last, which is 1.
    """

    def __init__(
        self,
        encoders: Sequence[LoadedEncoder],
        triggers: Triggers,
        trained: str | None,
        *,
        dialect: Dialect = "a1111",
        clip_skip: int = 1,
    ) -> None:
        self._encoders = [_PromptEncoder(one, triggers, trained, dialect, clip_skip) for one in encoders]

    def check(self, prompt: str) -> bool:
        """Whether a prompt contains the trained embedding.

        Raises:
            ValueError: it cannot be read, or changes from step to step.
        """
        return all(encoder.read(prompt).trained for encoder in self._encoders)

    def encode(self, prompts: Sequence[str], vectors: Mapping[str, Tensor]) -> EncodedBatch:
        """Encode a batch of prompts; shorter ones are padded with empty chunks, as A1111 does.

        Args:
            prompts: the prompts.
            vectors: the trained vectors for each text encoder, [n, width]; empty if no embedding is trained.

        Returns:
            the outputs of the encoders, joined along the width, in their dtype and on their device.
        """
        found = [encoder.encode(prompts, vectors.get(encoder.name)) for encoder in self._encoders]
        rows = found[0].rows if len(found) == 1 else torch.cat([one.rows for one in found], -1)
        return EncodedBatch(rows, found[-1].pooled)


class _PromptEncoder:
    """Encodes prompts with one text encoder, as EncodePrompt does."""

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
            ValueError: it cannot be read, or changes from step to step.
        """
        if prompt not in self._read:
            if len(self._read) >= _REMEMBERED:
                self._read.clear()
            self._read[prompt] = self._prompt(prompt)
        return self._read[prompt]

    def encode(self, prompts: Sequence[str], vectors: Tensor | None) -> EncodedBatch:
        """Encode a batch of prompts with the trained vectors, [n, width], if there are any."""
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
        answer = texts.read(self._encoder, torch.cat(ids), self._clip_skip, placed, norm=self._norm)
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
        trained: list[tuple[int, int]] = []
        others: list[tuple[int, int, Tensor]] = []
        for number, chunk in enumerate(found):
            for at, place in enumerate(chunk, 1):
                if place.trigger and place.trigger == self._trained and place.vector == 0:
                    trained.append((number, at))
                elif place.trigger and place.vector == 0:
                    others.append((number, at, self._speller.vectors[place.trigger]))
        ids = torch.cat([texts.window(self._tokenizer, [place.id for place in chunk]) for chunk in found])
        return ReadPrompt(ids, _weights(found), tuple(trained), tuple(others))


_REMEMBERED = 4096


def _weights(found: list[Chunk]) -> Tensor | None:
    """The weight of each token of each window, float32 [chunks, 77]; None if all are 1."""
    if all(place.weight == 1 for chunk in found for place in chunk):
        return None
    weights = torch.ones(len(found), texts.WINDOW)
    for number, chunk in enumerate(found):
        weights[number, 1 : 1 + len(chunk)] = torch.tensor([place.weight for place in chunk])
    return weights
