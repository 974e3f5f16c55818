"""Derives the triggers of an embedding, the texts that invoke it in a prompt, by the rules of five tools."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from nodes.sd.formats.embedding import Term

GENERIC = frozenset({"learned_embeds", "learned_embedding", "learned_embeddings", "learned_embeds_2"})
"""Generic file names from trainers; the name of the folder is used instead."""

_PIECE = re.compile(r"\w+|\s+|[^\w\s]")
_LONGEST = 200


class Trigger(NamedTuple):
    """A text that invokes an embedding in a prompt."""

    text: str
    rank: int
    """The priority if two files have the same trigger: the lowest rank wins, then the earlier file."""


def triggers_of(file: str, term: Term, *, alone: bool, folder: str = "", bare: bool = True) -> list[Trigger]:
    """List the triggers of a term (one embedding of a file), the simplest first.

    These are the file's stem (A1111), the name in the file (A1111's pictures, InvokeAI), the key in the file
    (diffusers), `<stem>` (InvokeAI) and `embedding:stem` (ComfyUI); and the same with the sub-folders of the
    file, which distinguish files of the same name.

    Args:
        file: the file's path inside its embedding folder, with `/`; empty if there is no file.
        term: one of the file's terms.
        alone: True if it is the file's only term. If there are several, each has only its own name.
        folder: the name of the embedding folder, for further triggers that begin with it; empty for the
            first folder.
        bare: False to list only the triggers with `<…>` or `embedding:`.
    """
    path = PurePosixPath(file)
    stem, inside = path.stem, path.parent.parts
    if stem.lower() in GENERIC and inside:
        stem, inside = inside[-1], inside[:-1]
    found: list[Trigger] = []

    def add(text: str, rank: int) -> None:
        text = " ".join(unicodedata.normalize("NFC", text).split())
        marked = bool(mark_of(text))
        # A single comma or bracket is never a trigger, even if a file has this name.
        if (bare and any(map(_can_name, text))) or marked:
            if len(text) <= _LONGEST:
                found.append(Trigger(text, rank))

    own = term.name
    if stem and (alone or own is None):
        label = stem
        add(label, 0)
    else:
        label = (own or "").strip("<>")
    if own is not None:
        add(own, 1)
        add(f"<{own.strip('<>')}>", 2)
    add(f"<{label}>", 3)
    add(f"embedding:{label}", 4)
    if stem and alone:
        add(f"embedding:{label}{path.suffix}", 4)
    for above in filter(None, ("/".join(inside), "/".join(filter(None, (folder, *inside))))):
        add(f"{above}/{label}", 5)
        add(f"<{above}/{label}>", 5)
        add(f"embedding:{above}/{label}", 5)
    return list(dict.fromkeys(found))


def pieces(text: str, at: int = 0) -> Iterator[tuple[str, int]]:
    r"""Split a text into words, spaces and single characters, normalised for comparing triggers.

    Case and kinds of spaces are unified, and `\` becomes `/`.

    Yields:
        each piece, and its end position.
    """
    for match in _PIECE.finditer(text, at):
        piece = match[0]
        if piece.isspace():
            yield " ", match.end()
        else:
            yield "/" if piece == "\\" else piece.casefold(), match.end()


def folded(text: str) -> str:
    """Normalise a text as `pieces` does, so that all spellings of a trigger become equal."""
    return "".join(piece for piece, _ in pieces(text))


def mark_of(trigger: str) -> str:
    """Return the prefix that marks a trigger: `<`, `embedding:`, or empty for a bare name."""
    return next((mark for mark in ("<", "embedding:") if trigger.startswith(mark)), "")


def inside_word(text: str, at: int) -> bool:
    """Return whether a position in a text is inside a word."""
    return 0 < at < len(text) and _in_word(text[at - 1]) and _in_word(text[at])


def _can_name(letter: str) -> bool:
    return letter.isalnum() or not letter.isascii()


def _in_word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"
