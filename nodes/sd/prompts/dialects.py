"""Parses prompts in each syntax (dialect) into parts, readings and segments."""

from __future__ import annotations

import re
from collections.abc import Iterator
from typing import Literal, NamedTuple, get_args

from nodes.sd.prompts import attention, comfy, parts, tags
from nodes.sd.prompts.alternatives import Alternatives, bounded
from nodes.sd.prompts.attention import Break, Segment
from nodes.sd.prompts.excerpt import Excerpt, PromptError, PromptWarning
from nodes.sd.prompts.tags import Tag
from nodes.sd.prompts.timeline import Timeline

Dialect = Literal["a1111", "comfy", "compel", "plain"]

LONGEST = 40_000
"""The greatest length of a prompt; 64 chunks of tokens have far fewer characters."""


class WrittenPart(NamedTuple):
    """A prompt, or one of the parts that AND joins: its readings, and the timeline that selects them."""

    texts: list[list[Segment | Break]]
    timeline: Timeline = Timeline()
    weight: float = 1.0


class Written(NamedTuple):
    """A parsed prompt."""

    parts: list[WrittenPart]
    tags: list[Tag]
    warnings: list[PromptWarning]


def read(
    prompt: str, dialect: Dialect = "a1111", *, negative: bool = False, comments: bool = False
) -> Written:
    """Parse a prompt, in time proportional to its length.

    Args:
        prompt: the prompt as typed.
        dialect: `a1111`, `comfy` or `plain`; for `compel` see `nodes.sd.prompts.compel`.
        negative: True to read AND and a weight at the end as words, as in A1111's negative prompt.
        comments: True if `#` begins a comment in the dialect `a1111`.

    Raises:
        PromptError: the prompt cannot be parsed; the message names the place.
    """
    if len(prompt) > LONGEST:
        raise PromptError(f"This prompt has {len(prompt):,} characters; at most {LONGEST:,} are allowed.")
    whole = Excerpt(prompt)
    warnings = list(foreign(prompt, dialect))
    if dialect == "a1111":
        whole = without_comments(whole) if comments else whole
        return _a1111(whole, warnings, negative)
    if dialect == "comfy":
        return Written([WrittenPart([list(comfy.read(whole))])], [], warnings)
    if dialect == "plain":
        return Written([WrittenPart([[Segment(whole, 1.0)]])], [], warnings)
    raise PromptError(
        f"{dialect!r} is not a dialect of this function; there are {', '.join(get_args(Dialect))}."
    )


_COMMENT = re.compile(r"#[^\n]*+")


def without_comments(prompt: Excerpt) -> Excerpt:
    """Remove `#` comments from a prompt (A1111 since 1.8)."""
    spans = []
    begin = 0
    for comment in _COMMENT.finditer(prompt.text):
        spans.append((begin, comment.start()))
        begin = comment.end()
    return prompt.keep([*spans, (begin, len(prompt.text))])


def _a1111(whole: Excerpt, warnings: list[PromptWarning], negative: bool) -> Written:
    rest, found, unknown = tags.cut(whole)
    warnings += unknown
    written = []
    joined = [(rest, 1.0)] if negative else parts.split(rest)
    changes = [Alternatives(excerpt) for excerpt, _ in joined]
    bounded(changes)
    for (excerpt, weight), changing in zip(joined, changes, strict=True):
        if weight != 1 and len(joined) == 1:
            message = f"the number at the end gives the whole prompt the weight {weight:g}, as in A1111"
            warnings.append(PromptWarning(message, excerpt.origin(len(excerpt.text))))
        if changing.stray is not None:
            message = "a | outside of [a|b] turns every [a:b:0.5] and [a|b] into plain text, as in A1111"
            warnings.append(PromptWarning(message, excerpt.origin(changing.stray)))
        timeline, texts = changing.texts()
        read = [attention.read(text) for text in texts]
        warnings += [warning for _, own in read for warning in own]
        written.append(WrittenPart([pieces for pieces, _ in read], timeline, weight))
    return Written(written, found, list(dict.fromkeys(warnings)))


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


def foreign(prompt: str, dialect: Dialect) -> Iterator[PromptWarning]:
    """Warn about syntax of other dialects, which this dialect reads as words."""
    for pattern, what in _FOREIGN[dialect]:
        if (found := pattern.search(prompt)) is not None:
            yield PromptWarning(
                f"{what} has no meaning in the dialect {dialect!r} and is read as words", found.start()
            )
