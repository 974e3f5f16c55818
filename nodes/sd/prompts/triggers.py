"""Triggers: the words in a prompt that stand for an embedding's vectors."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, Literal, NamedTuple, Protocol

if TYPE_CHECKING:
    from torch import Tensor

EncoderName = Literal["clip_l", "clip_g"]
"""Which text encoder reads: `clip_l` is SD 1's only one, `clip_g` the second of SDXL."""


class Triggers(Protocol):
    """The embeddings at hand, as the prompt's reader asks for them."""

    def match(self, text: str, at: int) -> tuple[str, int] | None:
        """The longest trigger that begins at a place of the text: its id, and how many characters it takes.

        None where none begins, and inside a word. Asked at each place where a word or a sign begins.
        """
        ...

    def vectors(self, trigger: str, encoder: EncoderName) -> Tensor:
        """The vectors of a trigger for a text encoder, [n, width].

        Raises:
            ValueError: it has none of that encoder's width; the message, a clause without a full stop, names
                file, found and wanted width.
        """
        ...

    def remarks(self, trigger: str, written: str) -> Iterable[str]:
        """What a person should know who writes a trigger so, such as that another file claims this name."""
        ...

    def names(self) -> Iterable[str]:
        """Everything that a person may type to mean a trigger; near ones are suggested for a misspelt one."""
        ...


class NoTriggers:
    """A catalogue without embeddings: every word is a plain word."""

    def match(self, text: str, at: int) -> None:
        return None

    def vectors(self, trigger: str, encoder: EncoderName) -> Tensor:
        raise ValueError(f"there is no embedding {trigger!r}")

    def remarks(self, trigger: str, written: str) -> Iterable[str]:
        return ()

    def names(self) -> Iterable[str]:
        return ()


class Found(NamedTuple):
    """A trigger in a text, from `start` up to `end`."""

    start: int
    end: int
    trigger: str


_BEGINS = re.compile(r"(?<!\w)\w|[^\w\s]")
"""Where a trigger may begin: at a word's first character, or at a sign."""

_BRACKETED = re.compile(r"<[^\W_](?:[\w., /-]{0,98}[^\W_])?>|\bembedding:[\w./\\-]{1,100}")
"""What is certainly meant as a trigger: `<name>`, and ComfyUI's `embedding:name`."""


def find(text: str, triggers: Triggers) -> Iterator[Found]:
    """Every trigger in a text, from left to right, none within another."""
    end = 0
    for begins in _BEGINS.finditer(text):
        at = begins.start()
        if at < end:
            continue
        found = triggers.match(text, at)
        if found is not None and found[1] > 0:
            end = at + found[1]
            yield Found(at, end, found[0])


def unknown(text: str, known: Iterable[Found]) -> Iterator[tuple[int, str]]:
    """What is written as a trigger but is none: where, and as it is written."""
    taken = {found.start for found in known}
    for written in _BRACKETED.finditer(text):
        if written.start() not in taken:
            yield written.start(), written[0]


def near(written: str, triggers: Triggers) -> str:
    """A hint with the triggers that look like what was written, or with what to do if there are none."""
    plain = written.strip("<>").removeprefix("embedding:").casefold()
    names = {name.strip("<>").removeprefix("embedding:").casefold(): name for name in triggers.names()}
    close = get_close_matches(plain, names, n=3, cutoff=0.6)
    if not close:
        return "none of that name is here; LoadEmbeddings, wired before the prompt, brings the files in"
    return "near names: " + ", ".join(names[name] for name in close)
