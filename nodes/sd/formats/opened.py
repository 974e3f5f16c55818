"""Opens regular files for reading, and checks that a file is still the same one."""

from __future__ import annotations

import io
import os
import stat
from pathlib import Path
from typing import NamedTuple

from nodes.sd.formats.bad_file import BadFileError


class Identity(NamedTuple):
    """The properties of a file that change when the file is replaced or written."""

    device: int
    inode: int
    size: int
    modified: int


def opened(path: Path, expected: Identity | None = None) -> tuple[io.FileIO, Identity]:
    """Open a regular file for reading. Links are followed; pipes and devices are refused without waiting.

    Args:
        path: the file.
        expected: the identity that the file must have; None for any.

    Raises:
        BadFileError: the file is missing, unreadable, not a regular file, or not the expected one.
    """
    try:
        if not stat.S_ISREG(os.stat(path).st_mode):  # opening a device may have effects
            raise _no_file(path)
        flags = os.O_RDONLY | getattr(os, "O_NONBLOCK", 0) | getattr(os, "O_BINARY", 0)
        file = io.FileIO(os.open(path, flags), closefd=True)
        found = os.fstat(file.fileno())
    except FileNotFoundError:
        raise BadFileError("missing", f"{path} does not exist.") from None
    except (OSError, ValueError) as error:
        why = getattr(error, "strerror", None) or str(error)
        raise BadFileError("unreadable", f"{path} cannot be opened: {why}.") from None
    identity = Identity(found.st_dev, found.st_ino, found.st_size, found.st_mtime_ns)
    if not stat.S_ISREG(found.st_mode):
        file.close()
        raise _no_file(path)
    if expected is not None and identity != expected:
        file.close()
        raise BadFileError(
            "changed_file", f"{path} changed while it was read. Run again to use the new content."
        )
    return file, identity


def read_at(file: io.FileIO, start: int, length: int) -> bytearray:
    """Read `length` bytes of a file, starting at `start`.

    Raises:
        BadFileError: the file is too short.
    """
    data = bytearray(length)
    file.seek(start)
    at = 0
    with memoryview(data) as view:
        while at < length and (count := file.readinto(view[at:])):
            at += count
    if at < length:
        raise BadFileError("truncated", f"{file.name} ends early. Download it again.")
    return data


def _no_file(path: Path) -> BadFileError:
    return BadFileError("not_a_file", f"{path} is not a regular file. Replace it with the file itself.")
