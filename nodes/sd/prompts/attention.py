"""Attention as A1111 writes it: `(words)`, `[words]`, `(words:1.3)`, escapes and BREAK."""

from __future__ import annotations

import math
import re
from itertools import groupby
from typing import NamedTuple

from nodes.sd.prompts.excerpt import Excerpt, PromptError, Remark

_PIECE = re.compile(r"\\[()\[\]\\]?|:\s*+([+-]?[.\d]++)\s*+\)|[()\[\]:]|[^\\()\[\]:]++")
_BREAK = re.compile(r"\bBREAK\b\s*+")
UP = 1.1
"""What a pair of round brackets multiplies by, and a pair of square ones divides by."""


class Segment(NamedTuple):
    """Words that are read together, with one weight."""

    words: Excerpt
    weight: float

    @property
    def text(self) -> str:
        """The words as plain text."""
        return self.words.text


class Break(NamedTuple):
    """The end of a chunk, however full it is."""

    at: int


def read(prompt: Excerpt) -> tuple[list[Segment | Break], list[Remark]]:
    """A prompt's words by weight, and what a person should know of how they were read.

    Round and square brackets are paired apart from each other, as in A1111, so that they may interlock; an
    unclosed one acts up to the end, a stray closing one is text. Weights of nested brackets multiply.

    Raises:
        PromptError: a weight is no finite number.
    """
    pieces = list(_PIECE.finditer(prompt.text))
    factors = _paired(pieces, prompt)
    scales = {"(": [1.0], "[": [1.0]}
    found: list[tuple[int, int, float] | Break] = []
    remarks: list[Remark] = []
    for number, piece in enumerate(pieces):
        start, end = piece.span()
        if number in factors:
            bracket, factor = factors[number]
            scale = scales[bracket]
            if factor is None:
                scale.pop()
            else:
                scale.append(scale[-1] * factor)
            continue
        weight = scales["("][-1] * scales["["][-1]
        if not math.isfinite(weight):
            place = prompt.origin(start) + 1
            raise PromptError(
                f"The weight at character {place} grows beyond all numbers. Use fewer brackets."
            )
        if piece[0].startswith("\\"):
            found.append((start + 1, end, weight))
            continue
        for closes in _BREAK.finditer(prompt.text, start, end):
            before = prompt.text[start : closes.start()].rstrip()
            found += [(start, start + len(before), weight), Break(prompt.origin(closes.start()))]
            if weight != 1:
                message = "BREAK acts inside brackets here, where A1111 reads it as a word"
                remarks.append(Remark(message, prompt.origin(closes.start())))
            start = closes.end()
        found.append((start, end, weight))
    return _merged(found, prompt), remarks


def _paired(pieces: list[re.Match[str]], prompt: Excerpt) -> dict[int, tuple[str, float | None]]:
    """The pieces that are brackets: which kind, and what an opening one multiplies by; None closes."""
    factors: dict[int, tuple[str, float | None]] = {}
    opened: dict[str, list[int]] = {"(": [], "[": []}
    for number, piece in enumerate(pieces):
        text = piece[0]
        if text in opened:
            opened[text].append(number)
            factors[number] = (text, UP if text == "(" else 1 / UP)
        elif text == "]" and opened["["]:
            opened["["].pop()
            factors[number] = ("[", None)
        elif text.endswith(")") and not text.startswith("\\") and opened["("]:
            pair = opened["("].pop()
            factors[number] = ("(", None)
            if piece[1] is not None:
                factors[pair] = ("(", _weight(piece[1], prompt.origin(piece.start(1))))
    return factors


def _weight(text: str, at: int) -> float:
    try:
        return float(text)
    except ValueError:
        raise PromptError(
            f"{text[:40]!r} at character {at + 1} is not a number. Write a weight as in (x:1.2)."
        ) from None


def _merged(pieces: list[tuple[int, int, float] | Break], prompt: Excerpt) -> list[Segment | Break]:
    """Segments out of spans with their weights: neighbours of equal weight are one, empty ones left out."""
    found: list[Segment | Break] = []
    for weight, group in groupby(pieces, lambda piece: None if isinstance(piece, Break) else piece[2]):
        if weight is None:
            found += [piece for piece in group if isinstance(piece, Break)]
            continue
        words = prompt.keep(piece[:2] for piece in group if not isinstance(piece, Break))
        if words.text:
            found.append(Segment(words, weight))
    return found
