"""Paths as people write them."""

from __future__ import annotations

from pathlib import Path

from engine.errors import GraphError, Problem


def expanded(path: str | Path) -> Path:
    """A path with `~` and `~name` at its beginning spelled out.

    Raises:
        GraphError: nobody of that name has a home folder here.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        message = f"{str(path)!r} begins with a home folder that is not known here"
        raise GraphError([Problem("bad_path", message, hint="write the whole path")]) from None
