"""What goes wrong with a folder of results, and what to do about it."""

from __future__ import annotations

import errno
import sqlite3
from enum import Enum
from pathlib import Path

_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Trouble(Enum):
    """A kind of trouble; its value is what a person is told of it."""

    DAMAGED = (
        "The index of kept results in {folder} is damaged again ({why}). Nothing more is kept on disk; the "
        "disk may be failing."
    )
    LOCKED = (
        "The index of kept results in {folder} is locked by another process; new results are kept when it "
        "lets go. End that process if it hangs."
    )
    FULL = (
        "No room to keep results in {folder} ({why}). Everything runs on, but new results may not be kept. "
        "Free some space or set a smaller budget."
    )
    FORBIDDEN = (
        "Results cannot be kept in {folder} ({why}). Everything runs on, and what is there is still used. "
        "Make the folder writable or name another one."
    )
    OTHER = (
        "Keeping results in {folder} does not work ({why}). Everything runs on, but results may be made "
        "again. Check the disk, or name another folder."
    )

    @classmethod
    def of(cls, error: Exception) -> Trouble:
        """Which kind an error of the operating system or of SQLite is."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code, without its refinement
        number = error.errno if isinstance(error, OSError) else None
        if code in _DAMAGE:
            return cls.DAMAGED
        if code in _LOCKED:
            return cls.LOCKED
        if code == sqlite3.SQLITE_FULL or number in _FULL:
            return cls.FULL
        if code == sqlite3.SQLITE_READONLY or number in _FORBIDDEN:
            return cls.FORBIDDEN
        return cls.OTHER

    def sentence(self, folder: Path, why: str) -> str:
        """What to tell a person.

        Args:
            folder: where it is.
            why: the error in the words of who raised it.
        """
        return self.value.format(folder=folder, why=why)


def text(error: Exception) -> str:
    """An error in the words of the operating system or of SQLite, without number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
