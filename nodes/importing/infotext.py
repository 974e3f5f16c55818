"""The text in which A1111 and its kin say how a picture was made: prompt, negative prompt, a line of fields.

The grammar is that of the tool's own reader, written so that the work grows in proportion to the text. What
Civitai adds is taken, too: fields whose value is JSON that nobody quoted.
"""

from __future__ import annotations

import json
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.errors import GraphError, Problem

LONGEST = 1 << 20
"""Characters of a text; a prompt of 64 chunks takes a fiftieth."""
MOST_FIELDS = 1000
FEWEST = 3
"""A line with fewer fields than this is part of the prompt."""
NEGATIVE = "Negative prompt:"
UNQUOTED = ("Hashes", "Civitai resources", "Civitai metadata")
"""Fields that hold JSON with commas in it and no quotes around it."""


@dataclass
class Infotext:
    """What such a text says."""

    prompt: str = ""
    negative: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    """By name, as text without quotes; of two of one name the later counts."""


def parse(text: str) -> Infotext:
    """Read a text; anything is one, if only a prompt.

    Raises:
        GraphError: it is too long.
    """
    if len(text) > LONGEST:
        message = f"its parameters are {len(text):,} characters; at most {LONGEST:,} are read"
        raise GraphError([Problem("too_large", message)])
    lines = text.replace("\r\n", "\n").strip().split("\n")
    fields: dict[str, str] = {}
    for number in range(len(lines) - 1, -1, -1):  # extensions may write lines after it
        found = list(_fields(lines[number]))
        if len(found) >= FEWEST and (number == len(lines) - 1 or lines[number].startswith("Steps:")):
            fields = dict(found)
            del lines[number:]
            break
    prompt: list[str] = []
    negative: list[str] = []
    ahead = prompt
    for line in lines:
        stripped = line.strip()
        if stripped.startswith(NEGATIVE):
            ahead = negative
            stripped = stripped[len(NEGATIVE) :].strip()
        ahead.append(stripped)
    return Infotext("\n".join(prompt).strip("\n"), "\n".join(negative).strip("\n"), fields)


def _fields(line: str) -> Iterator[tuple[str, str]]:
    at = 0
    unquoted = set(UNQUOTED)
    for _ in range(MOST_FIELDS):
        colon = line.find(":", at)
        if colon < 0:
            return
        start = colon
        while start > at and (line[start - 1].isalnum() or line[start - 1] in "_ -/"):
            start -= 1
        name = line[start:colon].lstrip(" -/")
        at = colon + 1
        if len(name) < 2:
            continue
        while line[at : at + 1].isspace():
            at += 1
        if name in unquoted and (end := _json_end(line, at)) is not None:
            unquoted.discard(name)
            value = line[at:end]
        elif (quoted := _quoted(line, at)) is not None:
            value, end = quoted
        else:
            end = line.find(",", at)
            end = len(line) if end < 0 else end
            value = line[at:end].strip()
        yield name, value
        at = end + 1


def _json_end(line: str, at: int) -> int | None:
    if line[at : at + 1] not in ("{", "["):
        return None
    try:
        return json.JSONDecoder().raw_decode(line, at)[1]
    except (ValueError, RecursionError):
        return None


def _quoted(line: str, at: int) -> tuple[str, int] | None:
    """A value in quotes and where it ends; None if there is none, or more follows before the next comma."""
    if line[at : at + 1] != '"':
        return None
    end = at + 1
    while end < len(line) and line[end] != '"':
        end += 2 if line[end] == "\\" else 1
    if end >= len(line) or end == at + 1 or line[end + 1 : end + 2] not in ("", ","):
        return None
    try:
        value = json.loads(line[at : end + 1], strict=False)
    except ValueError:
        value = line[at + 1 : end]
    return value.encode("utf-16-le", "replace").decode("utf-16-le"), end + 1


def hashes(text: str) -> dict[str, str]:
    """The hashes by name that a field such as `Lora hashes` lists: `ink: 0123456789ab, red: …`."""
    found = {}
    for item in text.split(","):
        name, colon, hash = item.rpartition(":")
        if colon and name.strip():
            found[name.strip()] = hash.strip().lower()
    return found
