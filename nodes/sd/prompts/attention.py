"""Parses weights in A1111's syntax: `(words)`, `[words]`, `(words:1.3)`, escapes and BREAK."""

from __future__ import annotations

import math
import re
from itertools import groupby
from typing import NamedTuple

from nodes.sd.prompts.excerpt import Excerpt, PromptError, PromptWarning
from nodes.sd.prompts.triggers import MARKED

_PIECE = re.compile(r"\\[()\[\]\\]?|:\s*+([+-]?[.\d]++)\s*+\)|[()\[\]:]|[^\\()\[\]:]++")
_BREAK = re.compile(r"\bBREAK\b\s*+")
UP = 1.1
"""A pair of round brackets multiplies the weight by this number, a pair of square ones divides it."""


class Segment(NamedTuple):
    """A part of a prompt whose words have the same weight."""

    words: Excerpt
    weight: float

    @property
    def text(self) -> str:
        """The words as text."""
        return self.words.text


class Break(NamedTuple):
    """The word BREAK, which ends a chunk."""

    at: int
    """The place in the prompt."""


def read(prompt: Excerpt) -> tuple[list[Segment | Break], list[PromptWarning]]:
    r"""Split a prompt into segments of equal weight.

    Round and square brackets are matched separately, as in A1111, so they may overlap. A bracket that is not
    closed acts up to the end; a closing bracket without its opening one is text. Weights of nested brackets
    multiply. A backslash is removed, except in the path of an embedding, as in `embedding:people\ann`.

    Returns:
        the segments and breaks in order, and warnings about syntax that A1111 reads differently.

    Raises:
        PromptError: a weight is not a finite number.
    """
    pieces = list(_PIECE.finditer(prompt.text))
    factors = _paired(pieces, prompt)
    scales = {"(": [1.0], "[": [1.0]}
    found: list[tuple[int, int, float] | Break] = []
    warnings: list[PromptWarning] = []
    paths = [match.span() for match in MARKED.finditer(prompt.text) if "\\" in match[0]]
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
            raise PromptError(f"The weight at character {place} is too large. Use fewer brackets.")
        if piece[0].startswith("\\"):
            in_path = piece[0] == "\\" and any(first < start < last - 1 for first, last in paths)
            found.append((start if in_path else start + 1, end, weight))
            continue
        for closes in _BREAK.finditer(prompt.text, start, end):
            before = prompt.text[start : closes.start()].rstrip()
            found += [(start, start + len(before), weight), Break(prompt.origin(closes.start()))]
            if weight != 1:
                message = "BREAK inside brackets ends a chunk here; A1111 reads it as a word"
                warnings.append(PromptWarning(message, prompt.origin(closes.start())))
            start = closes.end()
        found.append((start, end, weight))
    return _merged(found, prompt), warnings


def _paired(pieces: list[re.Match[str]], prompt: Excerpt) -> dict[int, tuple[str, float | None]]:
    """Find the pieces that are brackets, by their number.

    Each is its kind, `(` or `[`, with the factor of the weight if it opens, or None if it closes.
    """
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
    """Join neighbouring spans of equal weight to segments; empty segments are left out."""
    found: list[Segment | Break] = []
    for weight, group in groupby(pieces, lambda piece: None if isinstance(piece, Break) else piece[2]):
        if weight is None:
            found += [piece for piece in group if isinstance(piece, Break)]
            continue
        words = prompt.keep(piece[:2] for piece in group if not isinstance(piece, Break))
        if words.text:
            found.append(Segment(words, weight))
    return found
