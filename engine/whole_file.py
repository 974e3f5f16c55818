"""Files that are whole or not there: written under another name first, then given the one they keep."""

from __future__ import annotations

import os
import re
import time
import uuid
from collections.abc import Iterable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine import faults

STALE_SECONDS = 3600.0
"""A draft of this age belongs to a process that was killed, and is removed by whoever writes beside it."""


_swept: dict[Path, float] = {}
"""When each folder was looked through last, in seconds of `time.monotonic`."""

_DRAFT = re.compile(r"\.[0-9a-f]{16,32}\.part")


def put(data: bytes, names: Iterable[Path], *, share: bool = False) -> Path:
    """Write under the first of some names that is free, whatever other threads and processes write there.

    Args:
        data: all of the file.
        names: paths in one folder, which is there; as many as it takes.
        share: whether a file that holds these very bytes already will do.

    Returns:
        the path that holds the data now.

    Raises:
        OSError: it cannot be written, or no name is free; nothing half-written is left.
    """
    ahead = iter(names)
    path = next(ahead)
    with _draft(path.parent, data) as draft:
        while True:
            try:
                if faults.ON:
                    faults.at("file.rename")
                _name(draft, path)
                return path
            except FileExistsError:
                if share and holds(path, data):
                    return path
                following = next(ahead, None)
                if following is None:
                    raise
                path = following


def replace(path: Path, data: bytes) -> None:
    """Write a file in place of what lies there, if anything does.

    Raises:
        OSError: it cannot be written; what lay there still does.
    """
    with _draft(path.parent, data) as draft:
        if faults.ON:
            faults.at("file.rename")
        draft.replace(path)


def holds(path: Path, data: bytes) -> bool:
    """Whether a file holds exactly these bytes."""
    try:
        return path.stat().st_size == len(data) and path.read_bytes() == data
    except OSError:
        return False


@contextmanager
def _draft(folder: Path, data: bytes) -> Iterator[Path]:
    """The data on disk, under a name that nobody else uses; gone afterwards unless it got another name."""
    _sweep(folder)
    draft = folder / f".{uuid.uuid4().hex}.part"
    try:
        with draft.open("xb") as file:
            if faults.ON:
                faults.at("file.write", data, file.fileno())
            file.write(data)
            file.flush()
            if faults.ON:
                faults.at("file.flush")
            os.fsync(file.fileno())
        yield draft
    finally:
        with suppress(OSError):  # what went wrong before says more
            draft.unlink(missing_ok=True)


def _sweep(folder: Path) -> None:
    """Remove the drafts of processes that were killed, as far as that can be done."""
    now = time.monotonic()
    if now - _swept.get(folder, -STALE_SECONDS) < STALE_SECONDS:
        return  # a folder may hold very many files, and be written to as often
    _swept[folder] = now
    for draft in folder.glob(".*.part"):
        with suppress(OSError):  # another process may remove it, too
            if _DRAFT.fullmatch(draft.name) and time.time() - draft.lstat().st_mtime > STALE_SECONDS:
                draft.unlink()


def _name(draft: Path, path: Path) -> None:
    """Give a finished draft its name.

    Raises:
        FileExistsError: the name is taken.
    """
    try:
        os.link(draft, path)  # unlike a rename, this never replaces a file
    except FileExistsError:
        raise
    except OSError:  # a file system without hard links: claim the name, then fill it at once
        path.open("xb").close()
        try:
            draft.replace(path)
        except BaseException:
            path.unlink(missing_ok=True)
            raise
