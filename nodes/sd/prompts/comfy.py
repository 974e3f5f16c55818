"""Parses weights in ComfyUI's syntax: `(words)`, and `(words:1.3)`, whose number replaces outer weights."""

from __future__ import annotations

import math
import re

from nodes.sd.prompts.attention import UP, Segment
from nodes.sd.prompts.excerpt import Excerpt, PromptError

_PIECE = re.compile(r"\\[()]|[()]|[^\\()]++|\\")


def read(prompt: Excerpt) -> list[Segment]:
    """Split a prompt into segments of equal weight, at the brackets.

    Only round brackets count. A bare pair multiplies the weight by 1.1; a pair whose text ends in `:` and a
    number (in Python's notation) sets the weight. Brackets without their other half are text, and so is
    everything inside an unclosed bracket.

    Raises:
        PromptError: a weight is not finite.
    """
    pieces = list(_PIECE.finditer(prompt.text))
    pairs, left_open = _pairs([piece[0] for piece in pieces])
    closing = set(pairs.values())
    ends: dict[int, int] = {}
    weights = [1.0]
    found: list[Segment] = []
    spans: list[tuple[int, int]] = []

    def close() -> None:
        words = prompt.keep(spans)
        if words.text:
            found.append(Segment(words, weights[-1]))
        spans.clear()

    for number, piece in enumerate(pieces):
        if number in pairs:
            close()
            weight = weights[-1] * UP
            if (given := _number(pieces, number, pairs[number])) is not None:
                weight, ends[pairs[number] - 1] = given
            if not math.isfinite(weight):
                place = prompt.origin(piece.start()) + 1
                raise PromptError(f"The weight of the bracket at character {place} is not finite.")
            weights.append(weight)
        elif number in closing:
            close()
            weights.pop()
        else:
            if number == left_open:
                close()
            start, end = piece.span()
            escaped = piece[0] in {"\\(", "\\)"}
            spans.append((start + escaped, start + ends[number] if number in ends else end))
    close()
    return found


def _pairs(pieces: list[str]) -> tuple[dict[int, int], int | None]:
    """Find the closing bracket of each opening one, as ComfyUI does, and the first that stays open, or None.

    From the first bracket that is never closed, the rest of the prompt is text. Exception: closing brackets
    at the very end of the prompt close the first open bracket instead of the last. After a surplus closing
    bracket, the next opening one is text.
    """
    pairs: dict[int, int] = {}
    opened: list[int] = []
    too_many = 0
    final = len(pieces)
    while final and pieces[final - 1] == ")":
        final -= 1
    for number, piece in enumerate(pieces):
        if number == final and len(opened) > len(pieces) - final:
            closers = range(len(pieces) - 1, final - 1, -1)
            text_from = opened[len(closers)]
            kept = {pair: closes for pair, closes in pairs.items() if pair < text_from}
            return kept | dict(zip(opened, closers, strict=False)), text_from
        if piece == "(":
            if too_many:
                too_many -= 1
            else:
                opened.append(number)
        elif piece == ")":
            if opened:
                pairs[opened.pop()] = number
            else:
                too_many += 1
    if not opened:
        return pairs, None
    return {pair: closes for pair, closes in pairs.items() if pair < opened[0]}, opened[0]


def _number(pieces: list[re.Match[str]], opens: int, closes: int) -> tuple[float, int] | None:
    """Parse the weight at the end of a bracket; None if there is no weight.

    Returns the weight, and the length of the bracket's last piece without it.
    """
    last = pieces[closes - 1][0]
    text, colon, number = last.rpartition(":")
    if not colon or (not text and closes - opens == 2) or closes - opens < 2:
        return None
    try:
        return float(number), len(text)
    except ValueError:
        return None
