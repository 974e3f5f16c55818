"""Classifies the errors of a folder of results, and has the message to the user for each kind."""

from __future__ import annotations

import errno
import sqlite3
from enum import Enum
from pathlib import Path

_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Unusable(Exception):
    """Raised if a folder of results cannot be used; the message tells the user why, and what to do."""


class ErrorKind(Enum):
    """A kind of error; its value is the message for the user."""

    DAMAGED = (
        "The index of the cache in {folder} is damaged again ({reason}). No more results are cached on disk; "
        "the disk may be failing."
    )
    LOCKED = (
        "The index of the cache in {folder} is locked by {holder}. New results are cached once it is "
        "released; end that process if it hangs."
    )
    FULL = (
        "There is no space for cached results in {folder} ({reason}). The run continues, but results are "
        "evicted early or not cached. Free some disk space, or set a smaller disk_budget."
    )
    FORBIDDEN = (
        "The cache in {folder} cannot be written. Cached results are used, but new ones are not cached on "
        "disk. Make the folder writable, or choose another home."
    )
    OTHER = (
        "Results cannot be cached in {folder} ({reason}). The run continues, but the next one may compute "
        "them again. Check the disk, or choose another home."
    )

    @classmethod
    def of(cls, error: Exception) -> ErrorKind:
        """Classify an error of the operating system or SQLite."""
        code = getattr(error, "sqlite_errorcode", 0) & 0xFF  # the primary code of an extended code
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

    def sentence(self, folder: Path, reason: str, holder: int | None = None) -> str:
        """Return the message for the user.

        Args:
            folder: the folder of results.
            reason: the error text of the operating system or SQLite.
            holder: the id of the process that has locked the index; None if unknown.
        """
        by = f"process {holder}" if holder is not None else "another process"
        return self.value.format(folder=folder, reason=reason, holder=by)


def reason_of(error: Exception) -> str:
    """Return the error text of the operating system or SQLite, without number and path."""
    return (error.strerror if isinstance(error, OSError) else None) or str(error)
