"""Converts a prompt to chunks of tokens without torch, so that counting tokens is fast."""

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
"""Unpaired surrogates, which are not valid Unicode, so that tokenizers refuse them."""


class Tokens(NamedTuple):
    """A prompt as tokens."""

    written: Written
    speller: Speller
    chunks: list[list[list[Chunk]]]
    """For each part of the prompt, the chunks of each of its readings."""

    @property
    def longest(self) -> list[Chunk]:
        """The chunks of the reading with the most tokens; among equals, that with the fullest last chunk."""
        readings = [found for part in self.chunks for found in part]
        return max(readings, key=lambda found: (sum(map(len, found)), len(found[-1])))

    @property
    def warnings(self) -> list[PromptWarning]:
        """All warnings about the prompt, each only once."""
        return list(dict.fromkeys([*self.written.warnings, *self.speller.warnings]))


def check_characters(prompt: str) -> None:
    """Refuse a prompt that tokenizers cannot read.

    Raises:
        PromptError: the prompt contains an unpaired surrogate.
    """
    if (broken := _BROKEN.search(prompt)) is not None:
        place = broken.start() + 1
        raise PromptError(
            f"Character {place} of this prompt is invalid Unicode (an unpaired surrogate). Delete it."
        )


def speller_for(tokenizer: Any, settings: Settings) -> Speller:
    """Make the speller of a text encoder, which converts words to tokens."""
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
        settings: the settings for parsing.

    Raises:
        PromptError: the prompt cannot be parsed.
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
