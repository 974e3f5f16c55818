"""What a person may type to mean an embedding: the rules of five tools as one."""

from __future__ import annotations

import re
import unicodedata
from collections.abc import Iterator
from pathlib import PurePosixPath
from typing import NamedTuple

from nodes.sd.formats.embedding import Term

GENERIC = frozenset({"learned_embeds", "learned_embedding", "learned_embeddings", "learned_embeds_2"})
"""File names that trainers give to every embedding; the folder says which it is."""

_PIECE = re.compile(r"\w+|\s+|[^\w\s]")
_LONGEST = 200


class Trigger(NamedTuple):
    """A way to write an embedding in a prompt."""

    text: str
    rank: int
    """Who has it where two files claim the same: the lower rank, then the earlier file."""


def triggers_of(file: str, term: Term, *, alone: bool, folder: str = "", bare: bool = True) -> list[Trigger]:
    """Every way to write a term of a file, the plainest first.

    The file's stem (A1111), the name in the file (A1111's pictures, InvokeAI), the key in the file
    (diffusers), `<stem>` (InvokeAI), `embedding:stem` (ComfyUI); and all that with the folders that the file
    lies in, which are the way to one of two files of the same name.

    Args:
        file: the way to the file from its folder of embeddings, with `/`; empty for what has a name alone.
        term: one of its terms.
        alone: whether that is its only term; of several, each goes by its own name alone.
        folder: the folder of embeddings, if it is not the first: further names begin with it.
        bare: whether plain words count, or only what is marked by `<…>` or `embedding:`.
    """
    path = PurePosixPath(file)
    stem, inside = path.stem, path.parent.parts
    if stem.lower() in GENERIC and inside:
        stem, inside = inside[-1], inside[:-1]
    found: list[Trigger] = []

    def add(text: str, rank: int) -> None:
        text = " ".join(unicodedata.normalize("NFC", text).split())
        marked = text.startswith(("<", "embedding:"))
        # A bare comma, or a bracket, is never meant as a name, whatever a file is called.
        if (bare and any(map(_telling, text))) or marked:
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
    """Words, spaces and single signs from a place on, folded so that case and kind of space do not matter.

    Yields:
        each piece, and where it ends.
    """
    for match in _PIECE.finditer(text, at):
        piece = match[0]
        yield " " if piece.isspace() else piece.casefold(), match.end()


def inside_word(text: str, at: int) -> bool:
    """Whether a place lies between two letters of a word."""
    return 0 < at < len(text) and _word(text[at - 1]) and _word(text[at])


def _telling(letter: str) -> bool:
    return letter.isalnum() or not letter.isascii()


def _word(letter: str) -> bool:
    return letter.isalnum() or letter == "_"
