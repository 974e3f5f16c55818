"""Writes a file into the outputs folder; by default, existing files are not overwritten."""

from __future__ import annotations

import itertools
from pathlib import Path

from engine import whole_file
from engine.errors import NodeError


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
