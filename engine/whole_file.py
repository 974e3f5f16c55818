"""Writes files atomically: under a temporary name first, which is then renamed."""

from __future__ import annotations

import os
import re
import shutil
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine.failpoints import failpoint

STALE_SECONDS = 3600.0
"""Older temporary files were left by killed processes; the next write to their folder deletes them."""

_swept: dict[Path, float] = {}
"""The time, by `time.monotonic`, at which each folder was last searched for such files."""

_DRAFT = re.compile(r"\.[0-9a-f]{16,32}\.part")


def put(data: bytes, names: Iterable[Path], *, share: bool = False) -> Path:
    """Write a new file under the first name that is free. It never replaces an existing file.

    Args:
        data: the content of the file.
        names: the names to try in turn, as paths in one existing folder.
        share: True to return an existing file of one of these names if it contains the same bytes.

    Returns:
        the path of the file with the data.

    Raises:
        OSError: the file cannot be written, or no name is free; no incomplete file is left.
    """
    remaining = iter(names)
    path = next(remaining)
    with _draft(path.parent, data) as draft:
        while True:
            try:
                failpoint("file.rename")
                _name(draft, path)
                break
            except FileExistsError:
                if share and holds(path, data):
                    return path
                following = next(remaining, None)
                if following is None:
                    raise
                path = following
    _sync_folder(path.parent)
    return path


def replace(path: Path, data: bytes) -> None:
    """Write a file atomically, replacing an existing one.

    Raises:
        OSError: the file cannot be written; the old one is unchanged.
    """
    with _draft(path.parent, data) as draft:
        failpoint("file.rename")
        draft.replace(path)
    _sync_folder(path.parent)


def copy(source: Path, path: Path) -> None:
    """Copy a file atomically, replacing an existing one at the target path.

    Raises:
        OSError: the file cannot be copied; the old one is unchanged.
    """
    with _draft(path.parent, b"") as draft:
        shutil.copyfile(source, draft)
        with draft.open("rb+") as file:
            os.fsync(file.fileno())
        draft.replace(path)
    _sync_folder(path.parent)


def holds(path: Path, data: bytes) -> bool:
    """Return True if a file contains exactly these bytes; False if not, or if it cannot be read."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


@contextmanager
def _draft(folder: Path, data: bytes) -> Iterator[Path]:
    """Context manager: a temporary file with the data, which is deleted at the end unless it was renamed."""
    _sweep(folder)
    draft = folder / f".{uuid.uuid4().hex}.part"
    try:
        with draft.open("xb") as file:
            failpoint("file.write", data, file.fileno())
            file.write(data)
            file.flush()
            failpoint("file.flush")
            os.fsync(file.fileno())
        yield draft
    finally:
        with suppress(OSError):  # an error in the block is more informative
            draft.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Delete the temporary files that killed processes left in a folder."""
    now = time.monotonic()
    if now - _swept.get(folder, -STALE_SECONDS) < STALE_SECONDS:
        return  # a folder may contain very many files
    _swept[folder] = now
    for draft in folder.glob(".*.part"):
        with suppress(OSError):  # another process may delete it at the same time
            if _DRAFT.fullmatch(draft.name) and time.time() - draft.lstat().st_mtime > STALE_SECONDS:
                draft.unlink()


def _name(draft: Path, path: Path) -> None:
    """Rename a complete temporary file to a name that must be free.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(draft, path)  # unlike a rename, this never replaces a file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: take the name with an empty file, then replace that
        path.open("xb").close()
        try:
            draft.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise


def _sync_folder(folder: Path) -> None:
    """Flush a folder to the disk, so that a new name in it survives a power cut."""
    with suppress(
        OSError
    ):  # not supported by Windows and some network file systems; the file itself is complete
        handle = os.open(folder, os.O_RDONLY)
        try:
            os.fsync(handle)
        finally:
            os.close(handle)
