"""Converts a prompt to chunks of tokens, without torch, so that counting them is cheap."""

from __future__ import annotations

import re
from typing import TYPE_CHECKING, Any, NamedTuple

from nodes.sd.prompts import chunks, dialects
from nodes.sd.prompts.attention import Break, Segment
from nodes.sd.prompts.chunks import Chunk
from nodes.sd.prompts.dialects import Written
from nodes.sd.prompts.excerpt import PromptError, PromptWarning
from nodes.sd.prompts.spelling import Speller

if TYPE_CHECKING:
    from nodes.sd.prompts.encoded import Settings

_BROKEN = re.compile("[\ud800-\udfff]")
"""Surrogates: halves of characters in UTF-16, which tokenizers refuse."""


class Tokens(NamedTuple):
    """A prompt as tokens."""

    written: Written
    speller: Speller
    chunks: list[list[list[Chunk]]]
    """For each part of the prompt, the chunks of each of its readings."""

    @property
    def longest(self) -> list[Chunk]:
        """The chunks of the reading with the most tokens; of several, the one with the fullest last chunk."""
        readings = [found for part in self.chunks for found in part]
        return max(readings, key=lambda found: (sum(map(len, found)), len(found[-1])))

    @property
    def warnings(self) -> list[PromptWarning]:
        """The warnings about the prompt, each once."""
        return list(dict.fromkeys([*self.written.warnings, *self.speller.warnings]))


def check_characters(prompt: str) -> None:
    """Refuse a prompt that tokenizers cannot read.

    Raises:
        PromptError: it contains half of a character.
    """
    if (broken := _BROKEN.search(prompt)) is not None:
        place = broken.start() + 1
        raise PromptError(
            f"Character {place} of this prompt is half of a character, such as a cut emoji. Delete it."
        )


def speller_for(tokenizer: Any, settings: Settings) -> Speller:
    """The speller of a text encoder with a tokenizer."""
    comfy = settings.dialect == "comfy"
    return Speller(
        tokenizer,
        settings.triggers,
        settings.encoder,
        bare=settings.bare and not comfy,
        drop=comfy or settings.whole is not None,
    )


def tokenized(prompt: str, tokenizer: Any, settings: Settings) -> Tokens:
    """Convert a prompt to the chunks that CLIP reads.

    Args:
        prompt: the prompt in a dialect other than `compel`.
        tokenizer: CLIP's.
        settings: how the prompt is read.

    Raises:
        PromptError: the prompt cannot be read.
    """
    check_characters(prompt)
    written = dialects.read(prompt, settings.dialect, negative=settings.negative, comments=settings.comments)
    speller = speller_for(tokenizer, settings)
    found = [
        [_chunked(pieces, speller, tokenizer, settings) for pieces in part.texts] for part in written.parts
    ]
    return Tokens(written, speller, found)


def _chunked(
    pieces: list[Segment | Break], speller: Speller, tokenizer: Any, settings: Settings
) -> list[Chunk]:
    groups = iter(speller.spell([piece for piece in pieces if isinstance(piece, Segment)]))
    segments = [next(groups) if isinstance(piece, Segment) else None for piece in pieces]
    if settings.dialect == "comfy":
        return chunks.at_segments(segment for segment in segments if segment is not None)
    comma: int = tokenizer.convert_tokens_to_ids(",</w>")
    return chunks.at_commas(segments, comma, settings.backtrack)
