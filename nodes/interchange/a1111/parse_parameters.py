"""Parses the `parameters` text of A1111 and its relatives: prompt, negative prompt, and fields.

The text has the prompt, a line that begins with `Negative prompt:`, and a line `Key: value, Key: value`. The
grammar is that of A1111's own reader, in linear time. In addition, the parser accepts Civitai's fields with
unquoted JSON, and line breaks inside a field's value.
"""

from __future__ import annotations

import json
import re
from collections.abc import Iterator
from dataclasses import dataclass, field

from engine.errors import GraphError, Problem

MAX_CHARACTERS = 1 << 20
"""The most characters of a text; 50 times the length of a prompt of 64 chunks."""
MAX_FIELDS = 1000
MIN_FIELDS = 3
"""A last line with fewer fields than this is part of the prompt (A1111's rule)."""
NEGATIVE = "Negative prompt:"
UNQUOTED_JSON = ("Hashes", "Civitai resources", "Civitai metadata")
"""Fields whose value is JSON without quotes around it."""

_FIELDS_LINE = re.compile(r"Steps:\s*[0-9]")
_FIELD_NAME = re.compile(r"[^\W\d][\w \-/]{1,60}:")


@dataclass
class Parameters:
    """The parts of a `parameters` text."""

    prompt: str = ""
    negative: str = ""
    fields: dict[str, str] = field(default_factory=dict)
    """The fields by name, without quotes. Of two fields with the same name, the later one is used."""


def parse(text: str) -> Parameters:
    """Parse a `parameters` text. A text without fields is a prompt only.

    Raises:
        GraphError: the text is too long.
    """
    if len(text) > MAX_CHARACTERS:
        message = f"the parameters have {len(text):,} characters; the limit is {MAX_CHARACTERS:,}"
        raise GraphError([Problem("too_large", message)])
    lines = text.replace("\r\n", "\n").strip().split("\n")
    begin, fields = _find_fields(lines)
    prompt: list[str] = []
    negative: list[str] = []
    current = prompt
    for line in lines[:begin]:
        stripped = line.strip()
        if stripped.startswith(NEGATIVE):
            current = negative
            stripped = stripped[len(NEGATIVE) :].strip()
        current.append(stripped)
    return Parameters("\n".join(prompt).strip("\n"), "\n".join(negative).strip("\n"), fields)


def _find_fields(lines: list[str]) -> tuple[int, dict[str, str]]:
    """Find the fields; returns the index of the line at which they begin, and the fields by name.

    A line that begins with `Steps:` begins the fields, and all lines after it belong to them: a value may
    contain line breaks, and extensions add lines. Without such a line, A1111's rule applies: the last line.
    """
    for number in range(len(lines) - 1, -1, -1):
        if _FIELDS_LINE.match(lines[number]):
            fields = list(_fields(lines[number]))
            if len(fields) >= MIN_FIELDS:
                if number < len(lines) - 1:
                    fields = list(_fields("\n".join(lines[number:])))
                return number, dict(fields)
    fields = list(_fields(lines[-1]))
    if len(fields) >= MIN_FIELDS:
        return len(lines) - 1, dict(fields)
    return len(lines), {}


def _fields(text: str) -> Iterator[tuple[str, str]]:
    """Yield the fields of a text: name, `:`, and a value up to the next comma or in quotes."""
    at = 0
    unquoted_json = set(UNQUOTED_JSON)
    for _ in range(MAX_FIELDS):
        colon = text.find(":", at)
        if colon < 0:
            return
        start = colon
        while start > at and (text[start - 1].isalnum() or text[start - 1] in "_ -/"):
            start -= 1
        name = text[start:colon].lstrip(" -/")
        at = colon + 1
        if len(name) < 2:
            continue
        while text[at : at + 1].isspace():
            at += 1
        if name in unquoted_json and (end := _json_end(text, at)) is not None:
            unquoted_json.discard(name)
            value = text[at:end]
        elif (quoted := _quoted_value(text, at)) is not None:
            value, end = quoted
        else:
            end = _plain_end(text, at)
            value = text[at:end].strip()
        yield name, value
        at = end + 1


def _plain_end(text: str, at: int) -> int:
    """Find the end of a value without quotes: a comma, or a line break before the name of another field."""
    comma = text.find(",", at)
    end = len(text) if comma < 0 else comma
    line = text.find("\n", at, end)
    while line >= 0:
        if _FIELD_NAME.match(text, line + 1):
            return line
        line = text.find("\n", line + 1, end)
    return end


def _json_end(text: str, at: int) -> int | None:
    if text[at : at + 1] not in ("{", "["):
        return None
    try:
        return json.JSONDecoder().raw_decode(text, at)[1]
    except (ValueError, RecursionError):
        return None


def _quoted_value(text: str, at: int) -> tuple[str, int] | None:
    """Read a value in quotes; returns it and its end, or None if no comma or line end follows it."""
    if text[at : at + 1] != '"':
        return None
    end = at + 1
    while end < len(text) and text[end] != '"':
        end += 2 if text[end] == "\\" else 1
    if end >= len(text) or end == at + 1 or text[end + 1 : end + 2] not in ("", ",", "\n"):
        return None
    try:
        value = json.loads(text[at : end + 1], strict=False)
    except ValueError:
        value = text[at + 1 : end]
    return value.encode("utf-16-le", "replace").decode("utf-16-le"), end + 1


def name_in_hashes(name: str) -> str:
    """Return a file's name for a field such as `Lora hashes`, without the separators `:` and `,`."""
    return name.replace(":", "").replace(",", "").strip()


def parse_hashes(text: str) -> dict[str, str]:
    """Parse the hashes of a field such as `Lora hashes`, by name: `ink: 0123456789ab, red: …`."""
    hashes = {}
    for item in text.split(","):
        name, colon, hash = item.rpartition(":")
        if colon and name.strip():
            hashes[name.strip()] = hash.strip().lower()
    return hashes
