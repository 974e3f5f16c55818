"""Lists the folders that nodes can read pictures from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from engine.files import BLOBS, KEPT

MOST = 1000


def input_folders(roots: Iterable[Path]) -> dict[str, Path]:
    """The folders inside the folders for inputs, by name, each with the one that it lies in; at most 1000.

    Uploads, copies of other files, and hidden folders are left out. The first of two equal names counts.

    Args:
        roots: the folders for inputs.
    """
    found: dict[str, Path] = {}
    for root in roots:
        for place, inner, _ in os.walk(root):
            own = {BLOBS, KEPT} if Path(place) == root else set()
            inner[:] = sorted(name for name in inner if not name.startswith(".") and name not in own)
            for name in inner:
                found.setdefault(Path(place, name).relative_to(root).as_posix(), root)
            if len(found) >= MOST:
                return dict(sorted(found.items())[:MOST])
    return dict(sorted(found.items()))
