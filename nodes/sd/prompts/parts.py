"""Splits prompts that are combined with AND: `a cat AND a dog :0.5` (A1111)."""

from __future__ import annotations

import re

from nodes.sd.prompts.excerpt import Excerpt

_AND = re.compile(r"\bAND\b")
_NUMBER = re.compile(r"[-+]?(?:\d+\.?|\d*\.\d+)", re.ASCII)


def split(prompt: Excerpt) -> list[tuple[Excerpt, float]]:
    """Split a prompt at each word `AND`. Each part has the weight from `: number` at its end, or 1."""
    parts = []
    begin = 0
    for joins in _AND.finditer(prompt.text):
        parts.append(_part(prompt, begin, joins.start()))
        begin = joins.end()
    return [*parts, _part(prompt, begin, len(prompt.text))]


def _part(prompt: Excerpt, begin: int, end: int) -> tuple[Excerpt, float]:
    text, colon, number = prompt.text[begin:end].rpartition(":")
    if colon and _NUMBER.fullmatch(number.strip()):
        return prompt.keep([(begin, begin + len(text.rstrip()))]), float(number)
    return prompt.keep([(begin, begin + len(prompt.text[begin:end].rstrip()))]), 1.0
