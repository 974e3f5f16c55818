"""Detects changes of files and folders, with one stat for each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

_SETTLED_SECONDS = 2.0
"""A file that changed less than this ago may change again within the same clock tick."""

Stamp = tuple[int, int, int, int] | None
"""Size, inode, and times of modification and change (in ns); None if the file does not exist."""


class Stamps:
    """The recorded stamps of a set of paths.

    A folder's stamp changes when a file in it is added, removed or renamed.
    """

    def __init__(self) -> None:
        self._known: dict[str, Stamp] = {}

    def take(self, paths: Iterable[str]) -> None:
        """Record the current stamps of these paths; none if one of the paths changed just now."""
        begun = time.time_ns()
        known = {path: _stamp(path) for path in paths}
        newest = max((max(stamp[2:]) for stamp in known.values() if stamp is not None), default=0)
        self._known = known if newest < begun - _SETTLED_SECONDS * 1e9 else {}

    def same(self) -> bool:
        """Return True if no path has changed since `take`; False if one has, or if no stamps are recorded."""
        return bool(self._known) and all(_stamp(path) == stamp for path, stamp in self._known.items())


def _stamp(path: str) -> Stamp:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_size, stat.st_ino, stat.st_mtime_ns, stat.st_ctime_ns
