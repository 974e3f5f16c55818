"""Titles as parts of file names."""

from __future__ import annotations

import re
import unicodedata


def slug(text: str) -> str:
    """A title as a part of a file name: letters and digits of any script, and dashes; never a path."""
    words = re.sub(r"[\W_]+", "-", unicodedata.normalize("NFC", text).lower()).strip("-")
    return words[:40].strip("-") or "graph"
