"""Parses the body of a form with a file (`multipart/form-data`)."""

from __future__ import annotations

import re
from dataclasses import dataclass

from engine.server.refusal import Refused, refused

MAX_PARTS = 20
MAX_HEAD_BYTES = 4096
"""The most bytes of the headers of one part."""
_BOUNDARY = re.compile(r'multipart/form-data\s*;\s*boundary=(?:"([^"]{1,70})"|([^\s;"]{1,70}))\s*', re.I)
_NAME = re.compile(rb'[;\s]name="([^"\r\n]{0,200})"')
_FILE_NAME = re.compile(rb'[;\s]filename="([^"\r\n]{0,1000})"')


@dataclass(frozen=True, slots=True)
class Part:
    """One field of a form."""

    data: bytes
    filename: str | None
    """The name that the client gives to a file; only ever shown and compared."""


def parts_of(content_type: str, body: bytes) -> dict[str, Part]:
    """Parse the body of a form; returns its fields by name. The last of several equal names counts.

    Raises:
        Refused: the body is not a form, has too many parts or is cut off (400).
    """
    match = _BOUNDARY.fullmatch(content_type.strip())
    if match is None:
        raise _bad("the Content-Type is not multipart/form-data with a boundary")
    mark = b"--" + (match[1] or match[2]).encode("latin-1", "replace")
    if not body.startswith(mark):
        raise _bad("the form does not begin with its boundary")
    found: dict[str, Part] = {}
    place = len(mark)
    for _ in range(MAX_PARTS + 1):
        if body.startswith(b"--", place):
            return found
        if not body.startswith(b"\r\n", place):
            raise _bad("a boundary of the form is not followed by the end of its line")
        end_of_head = body.find(b"\r\n\r\n", place, place + MAX_HEAD_BYTES)
        end = body.find(b"\r\n" + mark, max(end_of_head, place) + 2)
        if end_of_head < 0 or end < 0:
            raise _bad("the form is cut off, or the headers of a part are too long")
        head, data = body[place:end_of_head], body[end_of_head + 4 : end]
        name, filename = _NAME.search(head), _FILE_NAME.search(head)
        if name is None:
            raise _bad("a part of the form has no name")
        text = filename[1].decode("utf-8", "replace") if filename else None
        found[name[1].decode("utf-8", "replace")] = Part(data, text)
        place = end + 2 + len(mark)
    raise _bad(f"the form has more than {MAX_PARTS} parts")


def _bad(message: str) -> Refused:
    return refused(400, "bad_form", message)
