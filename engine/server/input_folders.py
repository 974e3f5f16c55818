"""Lists the folders that nodes can read pictures from."""

from __future__ import annotations

import os
from collections.abc import Iterable
from pathlib import Path

from engine.files import BLOBS, KEPT

MOST = 1000


def input_folders(roots: Iterable[Path]) -> dict[str, Path]:
    """Find the folders inside the inputs folders, at most 1000.

    The folders of uploads and of kept copies of files, and hidden folders, are left out. If two folders have
    the same name, the first counts.

    Args:
        roots: the inputs folders.

    Returns:
        the inputs folder that each folder lies in, by the folder's name (its path inside the inputs folder).
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
