"""A graph from wherever it lies: its own JSON file, or a picture that carries it."""

from __future__ import annotations

from pathlib import Path

from engine import graph as documents
from engine import png
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
    if not data.startswith(png.SIGNATURE):
        return documents.parse(data)
    try:
        text = png.read_text(data).get(CHUNK)
    except ValueError as error:
        raise _refused("bad_picture", f"{path} cannot be read: {error}", None) from None
    if text is None:
        hint = "take the file as Safelight wrote it: many programs drop the text of a picture"
        raise _refused("no_graph", f"the picture {path} carries no Safelight graph", hint)
    return documents.parse(text)


def _refused(code: str, message: str, hint: str | None) -> GraphError:
    return GraphError([Problem(code, message, hint=hint)])
