"""A graph from wherever it lies: its own JSON file, or a picture that carries it."""

from __future__ import annotations

import dataclasses
from pathlib import Path

from engine import foreign, png
from engine import graph as documents
from engine.errors import GraphError, Problem
from engine.graph import Graph

CHUNK = "safelight"
"""The PNG text that carries a graph."""

MAX_BYTES = 256 << 20


def load(path: Path) -> Graph:
    """The graph in a file; what the file is, its content says and not its name.

    Raises:
        GraphError: it cannot be read, or holds no graph; with every problem found.
    """
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "check the path" if isinstance(error, FileNotFoundError) else None
        raise _refused("unreadable", f"{path} cannot be read: {error.strerror}", hint) from None
    if len(data) > MAX_BYTES:
        raise _refused("too_large", f"{path} is larger than {MAX_BYTES:,} bytes", None)
    if not data:
        raise _refused("empty_file", f"{path} is empty", None)
    if not data.startswith(png.SIGNATURE):
        return _parsed(data, path)
    try:
        texts = png.read_text(data)
    except ValueError as error:
        raise _refused("bad_picture", f"{path} cannot be read: {error}", None) from None
    text = texts.get(CHUNK)
    if text is None and (program := foreign.carried(texts)):
        message = f"the picture {path} carries no Safelight graph; how it was made, it says as {program} does"
        raise _refused("other_program", message, foreign.HINT)
    if text is None:
        hint = "take the file as Safelight wrote it: many programs drop the text of a picture"
        raise _refused("no_graph", f"the picture {path} carries no Safelight graph", hint)
    return _parsed(text, path)


def _parsed(data: bytes | str, path: Path) -> Graph:
    """A document, whose problems as a whole name its file."""
    try:
        return dataclasses.replace(documents.parse(data), folder=path.resolve().parent)
    except GraphError as error:
        if (what := foreign.recognised(data)) is not None:
            message = f"{path} is {what}, not a Safelight graph"
            raise _refused("other_program", message, foreign.HINT) from None
        placed = [
            item if item.node else dataclasses.replace(item, message=f"{path}: {item.message}")
            for item in error.problems
        ]
        raise GraphError(placed) from None


def _refused(code: str, message: str, hint: str | None) -> GraphError:
    return GraphError([Problem(code, message, hint=hint)])
