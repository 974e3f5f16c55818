"""Writes a file into the outputs folder; by default, existing files are not overwritten. Checks names."""

from __future__ import annotations

import itertools
from pathlib import Path

from engine import whole_file
from engine.errors import NodeError

NAME_IT = "write the name of the file in `path`"
"""The hint of nodes that save what a graph has made under its own name."""
LONGEST_NAME = 100
"""The greatest length of the name of a trained result, which its files have."""


def require_file_name(name: str, *, input: str, hint: str = "") -> str:
    """Check that a file can have a name as it stands; returns the name.

    Args:
        name: the name of an embedding, a LoRA or another trained result.
        input: the input that has it, for the message.
        hint: what to do; without it, which characters to use.

    Raises:
        NodeError: a file would need another name.
    """
    allowed = all(letter.isalnum() or letter in "._- " for letter in name)
    if not allowed or not name or name != name.strip(" .") or len(name) > LONGEST_NAME:
        usual = (
            "use letters, digits, spaces and any of ._-, without a space or dot at either end,"
            f" at most {LONGEST_NAME}"
        )
        message = f"{name!r} cannot be the name of a file"
        raise NodeError(message, hint=hint or usual, input=input, code="bad_name")
    return name


def write_new(place: Path, data: bytes, *, overwrite: bool) -> Path:
    """Write a file; returns its path. If the name is taken, the file gets the next free number.

    Args:
        place: the path; its folder is created.
        data: the content.
        overwrite: True to replace an existing file.

    Raises:
        NodeError: the file cannot be written.
    """
    try:
        place.parent.mkdir(parents=True, exist_ok=True)
        if overwrite:
            whole_file.replace(place, data)
            return place
        numbered = (place.with_stem(f"{place.stem}_{number:04}") for number in itertools.count(2))
        return whole_file.put(data, itertools.chain([place], numbered))
    except OSError as error:
        message = f"{place} cannot be written: {error.strerror or error}"
        raise NodeError(message, input="path", code="unwritable") from None
