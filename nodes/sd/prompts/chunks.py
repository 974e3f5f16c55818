"""Splits a prompt into chunks of 75 tokens, which the text encoder reads one by one."""

from __future__ import annotations

from collections.abc import Iterable
from itertools import chain, groupby

from nodes.sd.prompts.excerpt import PromptError
from nodes.sd.prompts.spelling import ROOM, Group, Place

Chunk = list[Place]
"""Up to 75 tokens."""

MOST = 64
"""The greatest number of chunks in a prompt."""

_WORD = 8
"""The number of tokens from which on ComfyUI splits a segment at the end of a chunk."""


def at_commas(segments: Iterable[list[Group] | None], comma: int, backtrack: int = 20) -> list[Chunk]:
    """Split groups of tokens into chunks as A1111 does.

    Args:
        segments: the groups of tokens of each segment; None ends a chunk, as BREAK does.
        comma: the token of a comma.
        backtrack: if a full chunk has a comma among this many last tokens, the tokens after the comma move to
            the next chunk; with 0, no tokens move.

    Raises:
        PromptError: there are more than 64 chunks.
    """
    chunks: list[Chunk] = []
    chunk: Chunk = []
    last_comma = -1
    for segment in segments:
        if segment is None:
            chunks.append(chunk)
            chunk, last_comma = [], -1
            continue
        for group in segment:
            if group[0].id == comma and not group[0].trigger:
                last_comma = len(chunk)
            elif last_comma >= 0 and len(chunk) == ROOM and ROOM - last_comma <= backtrack:
                chunks.append(chunk[: last_comma + 1])
                chunk, last_comma = chunk[last_comma + 1 :], -1
            if len(chunk) + len(group) > ROOM:
                chunks.append(chunk)
                chunk, last_comma = [], -1
            chunk += group
    return _few([*chunks, chunk] if chunk or not chunks else chunks)


def at_segments(segments: Iterable[list[Group]]) -> list[Chunk]:
    """Split groups of tokens into chunks as ComfyUI does.

    A segment that does not fit moves to the next chunk if it has less than 8 tokens; a longer one is split.

    An embedding is never split; ComfyUI splits embeddings of 8 vectors and more.

    Raises:
        PromptError: there are more than 64 chunks.
    """
    chunks: list[Chunk] = [[]]
    for segment in segments:
        for trigger, run in groupby(segment, lambda group: group[0].trigger):
            groups = list(run)
            stretches = groups if trigger else [list(chain.from_iterable(groups))]
            for stretch in stretches:
                rest = stretch
                while len(chunks[-1]) + len(rest) > ROOM:
                    if len(stretch) >= _WORD and not trigger:
                        room = ROOM - len(chunks[-1])
                        chunks[-1] += rest[:room]
                        rest = rest[room:]
                    chunks.append([])
                chunks[-1] += rest
    return _few(chunks)


def _few(chunks: list[Chunk]) -> list[Chunk]:
    if len(chunks) > MOST:
        raise PromptError(f"This prompt has {len(chunks)} chunks of 75 tokens; at most {MOST} are allowed.")
    return chunks
