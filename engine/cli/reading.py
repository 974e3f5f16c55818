"""Shows the progress of reading large files on stderr; a large model on a slow disk takes minutes."""

from __future__ import annotations

import os
import time

from engine.cli import say

FIRST_SECONDS, LINE_SECONDS = 1.0, 5.0
"""The seconds before the first line about a file, and between two lines."""


class Reading:
    """A callback for the progress of reading a file, which prints a line every few seconds."""

    def __init__(self) -> None:
        self._path = ""
        self._due = 0.0

    def __call__(self, path: str, done: int, size: int) -> None:
        """Print the progress of a file, if a line is due."""
        now = time.monotonic()
        if path != self._path:
            self._path, self._due = path, now + FIRST_SECONDS
        elif now >= self._due:
            self._due = now + LINE_SECONDS
            say.err(f"reading {say.line(os.path.basename(path))}: {say.size(done)} of {say.size(size)}")
