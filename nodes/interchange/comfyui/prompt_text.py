"""Resolves comments and random choices in a prompt, as ComfyUI's editor does before a run."""

from __future__ import annotations

import re
from typing import NamedTuple

_COMMENT = re.compile(r"/\*[\s\S]*?\*/|//.*")
_PIECE = re.compile(r"\\[\s\S]|[{}|]|[^\\{}|]++|\\")
_ESCAPED = re.compile(r"\\([{}|])")


class ResolvedPrompt(NamedTuple):
    """A prompt as ComfyUI's text encoder receives it."""

    text: str
    choices: tuple[str, ...] = ()
    """The outermost choices, such as `{red|blue}`; the first option of each was used."""


def resolve_prompt(text: str) -> ResolvedPrompt:
    """Remove `//` and `/* */` comments, and replace each `{a|b}` by its first option.

    ComfyUI draws an option at random in each run. Choices may be nested; an unclosed choice ends with the
    prompt. Brackets and `|` after a backslash are text; the backslash is removed.
    """
    plain = _COMMENT.sub("", text)
    kept: list[str] = []
    choices: list[str] = []
    options: list[int] = []  # the index of the current option of each open choice
    later = 0  # the number of open choices after their first option
    begin = 0
    for match in _PIECE.finditer(plain):
        piece = match[0]
        if piece == "{":
            if not options:
                begin = match.start()
            options.append(0)
        elif piece == "}" and options:
            later -= options.pop() > 0
            if not options:
                choices.append(plain[begin : match.end()])
        elif piece == "|" and options:
            later += options[-1] == 0
            options[-1] += 1
        elif not later:
            kept.append(_ESCAPED.sub(r"\1", piece))
    if options:
        choices.append(plain[begin:])
    return ResolvedPrompt("".join(kept), tuple(choices))
