"""Expands `~` in paths, and converts titles to parts of file names."""

from __future__ import annotations

import re
import unicodedata
from pathlib import Path

from engine.errors import GraphError, Problem


def expanded(path: str | Path) -> Path:
    """Replace `~` or `~name` at the beginning of a path by the folder of the current user or of that user.

    Raises:
        GraphError: there is no user of that name.
    """
    try:
        return Path(path).expanduser()
    except RuntimeError:
        message = f"{Path(path).parts[0]!r}: there is no such user"
        raise GraphError([Problem("bad_path", message, hint="write the full path")]) from None


def slug(text: str) -> str:
    """Convert a title to a part of a file name: letters and digits of any script, and dashes."""
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", text).lower()).strip("-")
    return words[:40].strip("-") or "graph"
