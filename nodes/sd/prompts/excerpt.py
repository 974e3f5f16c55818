"""Excerpts of a prompt that know their places in it, so that messages can name a character."""

from __future__ import annotations

from bisect import bisect_right
from collections.abc import Iterable
from typing import NamedTuple, Self


class PromptError(ValueError):
    """Raised if a prompt cannot be parsed; the message names the place."""


class PromptWarning(NamedTuple):
    """A warning about a prompt that can be parsed, with the place of its cause."""

    message: str
    at: int
    """The place in the prompt as it was typed, counted from 0."""

    def __str__(self) -> str:
        return f"{self.message} (character {self.at + 1})"


class Excerpt:
    """A text, and the place in the prompt of each of its characters.

    Args:
        text: the text.
        starts: where each piece of the prompt begins in `text`, in rising order, the first at 0.
        origins: where each of these pieces begins in the prompt.
    """

    def __init__(self, text: str, starts: list[int] | None = None, origins: list[int] | None = None) -> None:
        self.text = text
        self._starts = starts or [0]
        self._origins = origins or [0]

    def origin(self, at: int) -> int:
        """Return the place in the prompt of the character `at` of this text, counted from 0."""
        piece = bisect_right(self._starts, at) - 1
        return self._origins[piece] + at - self._starts[piece]

    def keep(self, spans: Iterable[tuple[int, int]]) -> Self:
        """Join the given spans of this text. A span includes its start, but not its end."""
        texts, starts, origins, length = [], [], [], 0
        for start, end in spans:
            first = bisect_right(self._starts, start) - 1
            for piece in range(first, len(self._starts)):
                if piece > first and self._starts[piece] >= end:
                    break
                begins = max(start, self._starts[piece])
                starts.append(length + begins - start)
                origins.append(self._origins[piece] + begins - self._starts[piece])
            texts.append(self.text[start:end])
            length += end - start
        return type(self)("".join(texts), starts, origins)
