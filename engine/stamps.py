"""Whether anything changed in some files and folders since they were looked at, for one stat each."""

from __future__ import annotations

import os
import time
from collections.abc import Iterable

_SETTLED_SECONDS = 2.0
"""What changed so shortly before it was looked at may change again within the same tick of the clock."""

Stamp = tuple[int, int, int, int] | None
"""Size, inode and times of modification and change (in ns); None for what is not there."""


class Stamps:
    """The stamps of some paths; a folder's changes when something in it comes, goes or is renamed."""

    def __init__(self) -> None:
        self._known: dict[str, Stamp] = {}

    def take(self, paths: Iterable[str]) -> None:
        """Remember the paths as they are, unless one changed just now: then nothing is remembered."""
        begun = time.time_ns()
        known = {path: _stamp(path) for path in paths}
        newest = max((max(stamp[2:]) for stamp in known.values() if stamp is not None), default=0)
        self._known = known if newest < begun - _SETTLED_SECONDS * 1e9 else {}

    def same(self) -> bool:
        """True if what is remembered is as it was; False if nothing is remembered."""
        return bool(self._known) and all(_stamp(path) == stamp for path, stamp in self._known.items())


def _stamp(path: str) -> Stamp:
    try:
        found = os.stat(path)
    except OSError:
        return None
    return found.st_size, found.st_ino, found.st_mtime_ns, found.st_ctime_ns
