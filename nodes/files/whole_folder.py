"""Writes folders atomically: under a temporary name, which is then renamed."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.whole_file import STALE_SECONDS

_DRAFT = re.compile(r"\.[0-9a-f]{32}\.part")


@contextmanager
def draft_folder(parent: Path) -> Iterator[Path]:
    """Create a temporary folder, which is deleted at the end of the block unless it was renamed.

    Args:
        parent: the folder to create it in; it is created if it is missing.

    Raises:
        OSError: the folder cannot be created.
    """
    parent.mkdir(parents=True, exist_ok=True)
    _sweep(parent)
    draft = parent / f".{uuid.uuid4().hex}.part"
    draft.mkdir()
    try:
        yield draft
    finally:
        shutil.rmtree(draft, ignore_errors=True)


def name_folder(draft: Path, path: Path) -> None:
    """Give a complete temporary folder its final name. Only an empty folder is replaced.

    Raises:
        FileExistsError: the name is taken.
        OSError: the folder cannot be renamed.
    """
    try:
        draft.rename(path)
    except OSError:
        if os.path.lexists(path):
            raise FileExistsError(f"{path} exists") from None
        raise


def _sweep(parent: Path) -> None:
    """Delete the temporary folders that killed processes have left."""
    for old in parent.glob(".*.part"):
        with suppress(OSError):  # another process may delete it at the same time
            is_old = time.time() - old.lstat().st_mtime > STALE_SECONDS
            if _DRAFT.fullmatch(old.name) and old.is_dir() and not old.is_symlink() and is_old:
                shutil.rmtree(old, ignore_errors=True)
