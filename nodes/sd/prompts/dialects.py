"""The dialects of prompts: what each reads out of the same characters."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from nodes.sd.prompts import attention, comfy, parts, tags
from nodes.sd.prompts.alternatives import Alternatives, bounded
from nodes.sd.prompts.attention import Break, Segment
from nodes.sd.prompts.excerpt import Excerpt, PromptError, Remark
from nodes.sd.prompts.tags import Tag
from nodes.sd.prompts.timeline import Timeline

Dialect = Literal["a1111", "comfy", "compel", "plain"]

LONGEST = 40_000
"""Characters of a prompt; 64 chunks of tokens take far fewer."""


class WrittenPart(NamedTuple):
    """A prompt, or one of several that AND joins, with its readings in the order of its timeline."""

    texts: list[list[Segment | Break]]
    timeline: Timeline = Timeline()
    weight: float = 1.0


class Written(NamedTuple):
    """What a dialect makes of a prompt."""

    parts: list[WrittenPart]
    tags: list[Tag]
    remarks: list[Remark]


def read(prompt: str, dialect: Dialect = "a1111", *, negative: bool = False) -> Written:
    """Read a prompt; the work grows in proportion to its length.

    Args:
        prompt: as it was typed.
        dialect: `a1111`, `comfy` or `plain`; `compel` has a parser of its own.
        negative: whether AND and a weight at the end are plain words, as in A1111's negative prompt.

    Raises:
        PromptError: it cannot be read; the message names the place.
    """
    if len(prompt) > LONGEST:
        raise PromptError(f"This prompt is {len(prompt):,} characters long; at most {LONGEST:,} are read.")
    whole = Excerpt(prompt)
    remarks = list(foreign(prompt, dialect))
    if dialect == "a1111":
        return _a1111(whole, remarks, negative)
    if dialect == "comfy":
        return Written([WrittenPart([list(comfy.read(whole))])], [], remarks)
    if dialect == "plain":
        return Written([WrittenPart([[Segment(whole, 1.0)]])], [], remarks)
    raise PromptError(
        f"{dialect!r} is read elsewhere, or not at all; there are {', '.join(get_args(Dialect))}."
    )


def _a1111(whole: Excerpt, remarks: list[Remark], negative: bool) -> Written:
    rest, found, unknown = tags.cut(whole)
    remarks += unknown
    written = []
    joined = [(rest, 1.0)] if negative else parts.split(rest)
    changes = [Alternatives(excerpt) for excerpt, _ in joined]
    bounded(changes)
    for (excerpt, weight), changing in zip(joined, changes, strict=True):
        if weight != 1 and len(joined) == 1:
            message = f"the number at the end weights the whole prompt by {weight:g}, as in A1111"
            remarks.append(Remark(message, excerpt.origin(len(excerpt.text))))
        if changing.stray is not None:
            message = "a | outside of [a|b] makes plain text of all [a:b:0.5] and [a|b] here, as in A1111"
            remarks.append(Remark(message, excerpt.origin(changing.stray)))
        timeline, texts = changing.texts()
        read = [attention.read(text) for text in texts]
        remarks += [remark for _, told in read for remark in told]
        written.append(WrittenPart([pieces for pieces, _ in read], timeline, weight))
    return Written(written, found, list(dict.fromkeys(remarks)))


_ATTENTION = (re.compile(r"\([^()]*:\s*+[\d.]++\s*+\)"), "a weight such as (x:1.2)")
_CHANGE = (
    re.compile(r"\[[^\[\]|]*(?:\|[^\[\]]*+\]|:\s*+[\d.]++\s*+\])"),
    "a change such as [a:b:0.5] or [a|b]",
)
_TAG = (re.compile(r"<(?:lora|lyco|hypernet):"), "a tag such as <lora:x:1>")
_WORDS = (re.compile(r"\b(?:BREAK|AND)\b"), "BREAK or AND")
_SUFFIX = (re.compile(r'[)"](?:\++|-+|\d[\d.]*+)(?=[\s,.]|$)'), "a weight such as (x)1.2 or (x)++")
_CALL = (re.compile(r"\)\.(?:attend|blend|and|swap)\("), "a call such as (x).blend(1)")

_FOREIGN = {
    "a1111": (_SUFFIX, _CALL),
    "comfy": (_CHANGE, _TAG, _WORDS, _SUFFIX, _CALL),
    "compel": (_ATTENTION, _CHANGE, _TAG, _WORDS),
    "plain": (_ATTENTION, _CHANGE, _TAG, _WORDS, _SUFFIX, _CALL),
}


def foreign(prompt: str, dialect: Dialect) -> Iterator[Remark]:
    """What of a prompt means something in another dialect and are plain words in this one."""
    for pattern, what in _FOREIGN[dialect]:
        if (found := pattern.search(prompt)) is not None:
            yield Remark(
                f"{what} has no meaning in the dialect {dialect!r} and is read as words", found.start()
            )
