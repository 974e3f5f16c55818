"""From a prompt as it was typed to what the UNet reads at each step."""

from __future__ import annotations

import re
from dataclasses import dataclass, field
from typing import Any, NamedTuple

import torch
from torch import Tensor
from transformers.models.clip.modeling_clip import CLIPTextModel
from transformers.models.clip.tokenization_clip import CLIPTokenizer

from nodes.sd import text as texts
from nodes.sd.prompts import chunks, dialects, emphasis
from nodes.sd.prompts.attention import Break, Segment
from nodes.sd.prompts.chunks import Chunk
from nodes.sd.prompts.dialects import Dialect
from nodes.sd.prompts.emphasis import Emphasis
from nodes.sd.prompts.excerpt import PromptError, Remark
from nodes.sd.prompts.spelling import ROOM, Speller
from nodes.sd.prompts.tags import Tag
from nodes.sd.prompts.timeline import PromptPart
from nodes.sd.prompts.triggers import EncoderName, NoTriggers, Triggers

_BROKEN = re.compile("[\ud800-\udfff]")
"""Halves of characters that UTF-16 writes in two, which no tokenizer takes."""


@dataclass(frozen=True, kw_only=True)
class Settings:
    """How prompts are read."""

    dialect: Dialect = "a1111"
    emphasis: Emphasis = "original"
    """How the weights of `a1111` act."""
    clip_skip: int = 1
    """Which layer of the text encoder is taken, counted from the last."""
    backtrack: int = 20
    """How far back `a1111` looks for a comma where a chunk is full."""
    negative: bool = False
    """Whether AND has no meaning, as in A1111's negative prompt."""
    bare: bool = True
    """Whether the name of an embedding alone is its trigger, without `<>`."""
    triggers: Triggers = field(default_factory=NoTriggers)
    encoder: EncoderName = "clip_l"
    norm: bool = True
    """Whether the final layer norm follows an earlier layer too."""


class Encoded(NamedTuple):
    """A prompt as the UNet reads it, and what there is to tell of it."""

    parts: tuple[PromptPart, ...]
    pooled: Tensor | None
    """float32 [1, width] of the first chunk of the first reading, of encoders that have one."""
    tokens: list[dict[str, Any]]
    """Each place that is filled: `text`, `id`, `weight`, `chunk`, `position` (1 to 75), `trigger`, and of
    which `part` and `reading` of the prompt it is."""
    used: int
    """Places filled in the longest reading."""
    left: int
    """Places left in the last chunk of that reading."""
    tags: list[Tag]
    remarks: list[Remark]


def encode(
    prompt: str, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, settings: Settings | None = None
) -> Encoded:
    """Read a prompt with a text encoder.

    Raises:
        PromptError: the prompt cannot be read.
        ValueError: the encoder cannot do what is asked; see `nodes.sd.text.read`.
        ModuleNotFoundError: the dialect is `compel`, and compel is not installed.
    """
    settings = settings or Settings()
    if (broken := _BROKEN.search(prompt)) is not None:
        place = broken.start() + 1
        raise PromptError(f"Character {place} of this prompt is half of one, such as a cut emoji. Delete it.")
    if settings.dialect == "compel":
        from nodes.sd.prompts.compel import encode as with_compel

        return with_compel(prompt, tokenizer, encoder, settings)
    written = dialects.read(prompt, settings.dialect, negative=settings.negative)
    comfy = settings.dialect == "comfy"
    speller = Speller(
        tokenizer, settings.triggers, settings.encoder, bare=settings.bare and not comfy, drop=comfy
    )
    reader = _Reader(tokenizer, encoder, speller, settings)
    parts, spelt, tokens = [], [], []
    for number, part in enumerate(written.parts):
        readings = [_chunked(pieces, speller, tokenizer, settings) for pieces in part.texts]
        for reading, found in enumerate(readings):
            tokens += told(found, tokenizer, number, reading)
        spelt += readings
        encodings = tuple(torch.cat([reader.weighted(chunk) for chunk in found], 1) for found in readings)
        parts.append(PromptPart(encodings, part.timeline, part.weight))
    used, last = max((sum(map(len, found)), len(found[-1])) for found in spelt)
    pooled = reader.read(spelt[0][0]).pooled
    pooled = None if pooled is None else pooled.float().cpu()
    remarks = list(dict.fromkeys([*written.remarks, *speller.remarks]))
    return Encoded(tuple(parts), pooled, tokens, used, ROOM - last, written.tags, remarks)


def _chunked(
    pieces: list[Segment | Break], speller: Speller, tokenizer: CLIPTokenizer, settings: Settings
) -> list[Chunk]:
    groups = iter(speller.spell([piece for piece in pieces if isinstance(piece, Segment)]))
    segments = [next(groups) if isinstance(piece, Segment) else None for piece in pieces]
    if settings.dialect == "comfy":
        return chunks.at_segments(segment for segment in segments if segment is not None)
    comma: int = tokenizer.convert_tokens_to_ids(",</w>")
    return chunks.at_commas(segments, comma, settings.backtrack)


class _Reader:
    """Reads chunks with one text encoder, each only once."""

    def __init__(
        self, tokenizer: CLIPTokenizer, encoder: CLIPTextModel, speller: Speller, settings: Settings
    ) -> None:
        self._tokenizer, self._encoder, self._speller = tokenizer, encoder, speller
        self._settings = settings
        self._known: dict[tuple[tuple[int, str, int], ...], texts.Read] = {}

    def read(self, chunk: Chunk) -> texts.Read:
        """The rows and the pooled vector of a chunk without its weights, float32 for the rows."""
        key = tuple((place.id, place.trigger, place.vector) for place in chunk)
        if key not in self._known:
            vectors = [
                texts.Vectors(1 + at, self._speller.vectors[place.trigger])
                for at, place in enumerate(chunk)
                if place.trigger and place.vector == 0
            ]
            ids = texts.window(self._tokenizer, [place.id for place in chunk])
            read = texts.read(self._encoder, ids, self._settings.clip_skip, vectors, norm=self._settings.norm)
            self._known[key] = texts.Read(read.rows.float(), read.pooled)
        return self._known[key]

    def weighted(self, chunk: Chunk) -> Tensor:
        """The rows of a chunk with its weights in them: float32 [1, 77, width], on the CPU."""
        rows = self.read(chunk).rows
        weights = torch.ones(texts.WINDOW, device=rows.device)
        weights[1 : 1 + len(chunk)] = torch.tensor([place.weight for place in chunk], device=rows.device)
        if self._settings.dialect != "comfy":
            rows = emphasis.scaled(rows, weights, self._settings.emphasis)
        elif not bool((weights == 1).all()):
            rows = emphasis.drawn_from(self.read([]).rows, rows, weights)
        if not torch.isfinite(rows).all():
            raise ValueError("The weights of this prompt lead to NaN or infinity. Use smaller ones.")
        return rows.cpu()


def told(
    found: list[Chunk], tokenizer: CLIPTokenizer, part: int = 0, reading: int = 0
) -> list[dict[str, Any]]:
    """The places of all chunks as plain JSON, in order."""
    return [
        {
            "text": place.typed or tokenizer.decode([place.id]),
            "id": place.id,
            "weight": place.weight,
            "chunk": number,
            "position": position,
            "trigger": place.trigger,
            "part": part,
            "reading": reading,
        }
        for number, chunk in enumerate(found)
        for position, place in enumerate(chunk, start=1)
    ]
