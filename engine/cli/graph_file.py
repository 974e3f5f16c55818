"""Finds the graph that the user names on the command line: by path, by name, or `-` for standard input."""

from __future__ import annotations

import sys
from pathlib import Path

from engine import settings
from engine.errors import GraphError, Problem

STDIN = Path("-")


def found(graph: Path, home: Path | None) -> Path:
    """Find the file of a graph by its path or by its name; see `named_graphs.find`.

    Args:
        graph: the path or name on the command line.
        home: the home folder from `--home`; None if not given.

    Raises:
        GraphError: there is no file or graph of this name.
    """
    if graph == STDIN or graph.is_file():
        return graph
    from engine.packs import named_graphs

    return named_graphs.find(graph, settings.load(home).home / "graphs")


def shown(graph: Path) -> Path:
    """Return the path of the graph for messages; relative file names in the graph refer to its folder."""
    return Path("standard input") if graph == STDIN else graph


def content(graph: Path) -> bytes | None:
    """Read the graph from standard input if its name is `-`; None for any other name.

    Raises:
        GraphError: standard input cannot be read.
    """
    if graph != STDIN:
        return None
    from engine.sources.source import MAX_BYTES

    try:
        if sys.stdin is None or sys.stdin.isatty():
            hint = "pipe a graph into the command, such as: cat graph.json | safelight run -"
            raise GraphError([Problem("bad_use", "standard input contains no graph", hint=hint)])
        return sys.stdin.buffer.read(MAX_BYTES + 1)
    except OSError as error:
        message = f"standard input cannot be read: {error.strerror}"
        raise GraphError([Problem("unreadable", message)]) from None
