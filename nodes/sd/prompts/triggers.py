"""Finds triggers, which are texts in a prompt that invoke the vectors of an embedding."""

from __future__ import annotations

import re
from collections.abc import Iterable, Iterator
from difflib import get_close_matches
from typing import TYPE_CHECKING, NamedTuple, Protocol

from nodes.sd.families.family import EncoderName

if TYPE_CHECKING:
    from torch import Tensor


class Triggers(Protocol):
    """The interface of the loaded embeddings for the prompt parser."""

    def match(self, text: str, at: int) -> tuple[str, int] | None:
        """Find the longest trigger at a position; return the embedding's id and the trigger's length.

        Returns None if no trigger begins there, or if the position is inside a word. Called at every place
        where a word or a sign begins.
        """
        ...

    def vectors(self, trigger: str, encoder: EncoderName) -> Tensor:
        """Read the vectors of an embedding for a text encoder, [n, width].

        Raises:
            ValueError: the embedding has no vectors for that encoder. The message, without a full stop, names
                the file.
        """
        ...

    def warnings(self, trigger: str, written: str) -> Iterable[str]:
        """Return the warnings about a trigger as written, such as about another file of the same name."""
        ...

    def names(self) -> Iterable[str]:
        """List all triggers, for suggesting similar ones."""
        ...


class NoTriggers:
    """No embeddings: every word is an ordinary word."""

    def match(self, text: str, at: int) -> None:
        return None

    def vectors(self, trigger: str, encoder: EncoderName) -> Tensor:
        raise ValueError(f"there is no embedding {trigger!r}")

    def warnings(self, trigger: str, written: str) -> Iterable[str]:
        return ()

    def names(self) -> Iterable[str]:
        return ()


_MOST_NEAR = 3


class Found(NamedTuple):
    """A trigger in a text, from `start` up to `end`."""

    start: int
    end: int
    trigger: str
    """The id of the embedding; empty for text that is left out."""


_BEGINS = re.compile(r"(?<!\w)\w|[^\w\s]")
"""The positions where a trigger may begin: the first character of a word, or another character."""

MARKED = re.compile(r"<[^\W_](?:[\w., /\\-]{0,98}[^\W_])?>|\bembedding:[\w./\\-]{1,100}")
"""Text that is certainly a trigger: `<name>`, and ComfyUI's `embedding:name`."""


def find(text: str, triggers: Triggers) -> Iterator[Found]:
    """Find all triggers in a text, from left to right; triggers do not overlap."""
    end = 0
    for begins in _BEGINS.finditer(text):
        at = begins.start()
        if at < end:
            continue
        match = triggers.match(text, at)
        if match is not None and match[1] > 0:
            end = at + match[1]
            yield Found(at, end, match[0])


def unknown(text: str, known: Iterable[Found]) -> Iterator[tuple[int, str]]:
    """Find texts that are marked as triggers but are unknown; yields the position and the text of each.

    Args:
        text: the text that was searched.
        known: the triggers that `find` found in it.
    """
    starts = {trigger.start for trigger in known}
    for match in MARKED.finditer(text):
        if match.start() not in starts:
            yield match.start(), match[0]


def near_triggers(written: str, triggers: Triggers) -> list[str]:
    """Find up to three triggers, of different embeddings, that are similar to an unknown one, best first."""
    by_name: dict[str, str] = {}
    for text in triggers.names():
        by_name.setdefault(_bare(text), text)
    near: dict[str, str] = {}  # by the id of the embedding
    for name in get_close_matches(_bare(written), by_name, n=max(1, len(by_name)), cutoff=0.6):
        trigger = by_name[name]
        match = triggers.match(trigger, 0)
        near.setdefault(trigger if match is None else match[0], trigger)
    return list(near.values())[:_MOST_NEAR]


def hint_for(written: str, triggers: Triggers) -> str:
    """Write a hint for an unknown trigger: similar triggers, or how to load embeddings."""
    near = near_triggers(written, triggers)
    if not near:
        return "no loaded embedding has this name; load the files with LoadEmbeddings before this node"
    return "similar names: " + ", ".join(near)


def _bare(trigger: str) -> str:
    return trigger.strip("<>").removeprefix("embedding:").replace("\\", "/").casefold()
