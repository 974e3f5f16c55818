"""What is in a file, as a digest, remembered for as long as the file stays as it is."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from contextlib import suppress
from pathlib import Path
from stat import S_ISREG
from threading import Lock

from engine import faults

_PIECE = 4 << 20
_TRIES = 3
_SETTLED_SECONDS = 2.0
_VERSION = 1

Identity = tuple[int, int, int, int]
"""Size, time of modification, time of change (both in ns) and inode."""


class Unsettled(OSError):
    """A file is being written."""


class FileDigests:
    """The sha256 of files, each read once.

    A digest is remembered under the file's absolute path, size, inode and times. Besides the time of
    modification that is the time of the last change of the inode, which no program can set back: a file
    copied over another with its old date is noticed. A file that changed within two seconds before it was
    read is not remembered at all, since it may change again within the same tick of the file system's clock.

    Args:
        index_path: a small SQLite file that keeps digests for the next process, apart from kept results so
            that clearing those does not forget it; None, or one that cannot be used, remembers only here.
    """

    def __init__(self, index_path: Path | None = None) -> None:
        self._known: dict[str, tuple[Identity, str]] = {}
        self._lock = Lock()
        self._index = None if index_path is None else _open(index_path)

    def digest(self, path: str | os.PathLike[str]) -> str:
        """The sha256 of a file's content, in hex.

        Raises:
            OSError: it cannot be read, is not a file, or keeps changing while it is read.
        """
        place = os.path.abspath(path)
        stat = os.stat(place)
        if not S_ISREG(stat.st_mode):
            raise OSError(f"{place} is not a file")
        identity = _identity(stat)
        found = self._known.get(place) or self._recall(place)
        if found is not None and found[0] == identity:
            self._known[place] = found
            return found[1]
        for _ in range(_TRIES):
            begun = time.time_ns()
            identity, digest = _read(place)
            if digest is not None:
                if max(identity[1:3]) < begun - _SETTLED_SECONDS * 1e9:
                    self._known[place] = identity, digest
                    self._remember(place, identity, digest)
                return digest
        raise Unsettled(f"{place} keeps changing while it is read; try again when it is written completely")

    def close(self) -> None:
        """Let go of the index; digests are remembered in this process only from now on."""
        with self._lock:
            if self._index is not None:
                self._index.close()
                self._index = None

    def _recall(self, place: str) -> tuple[Identity, str] | None:
        with self._lock, suppress(sqlite3.Error):
            if self._index is not None:
                row = self._index.execute(
                    "SELECT size, modified, changed, inode, digest, proof FROM files WHERE path = ?",
                    (os.fsencode(place),),
                ).fetchone()
                if row is not None and row[5] == _proof(place, row[:4], row[4]):
                    return row[:4], row[4]
        return None

    def _remember(self, place: str, identity: Identity, digest: str) -> None:
        with self._lock, suppress(sqlite3.Error):
            if self._index is not None:
                row = (os.fsencode(place), *identity, digest, _proof(place, identity, digest))
                if faults.ON:
                    faults.at("digests.write")
                self._index.execute("INSERT OR REPLACE INTO files VALUES (?, ?, ?, ?, ?, ?, ?)", row)


def _read(place: str) -> tuple[Identity, str | None]:
    """Which file lies there and its digest; None for the digest when it changed meanwhile."""
    with open(place, "rb", buffering=0) as file:
        before = _identity(os.fstat(file.fileno()))
        hasher = hashlib.sha256()
        piece = memoryview(bytearray(_PIECE))
        while count := file.readinto(piece):
            hasher.update(piece[:count])
    try:
        after = _identity(os.stat(place))
    except FileNotFoundError:
        return before, None
    return before, hasher.hexdigest() if before == after else None


def _identity(stat: os.stat_result) -> Identity:
    inode = stat.st_ino & (1 << 63) - 1  # SQLite's integers are signed
    return stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, inode


def _proof(place: str, identity: Identity, digest: str) -> bytes:
    """A checksum of a row, so that a damaged one is read again rather than believed."""
    return hashlib.sha256(repr((place, tuple(identity), digest)).encode()).digest()


def _open(path: Path) -> sqlite3.Connection | None:
    """The index; a damaged one is begun again, one that cannot be used is None: it only saves reading."""
    try:
        path.parent.mkdir(parents=True, exist_ok=True)
        try:
            return _connect(path)
        except sqlite3.DatabaseError as error:
            if error.sqlite_errorcode & 0xFF not in (sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB):
                raise
            path.unlink()
            return _connect(path)
    except (OSError, sqlite3.Error):
        return None


def _connect(path: Path) -> sqlite3.Connection | None:
    connection = sqlite3.connect(path, timeout=5, isolation_level=None, check_same_thread=False)
    try:
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _VERSION:  # of a newer program: not ours to touch
            connection.close()
            return None
        connection.execute("PRAGMA synchronous = OFF")
        connection.execute(
            "CREATE TABLE IF NOT EXISTS files (path BLOB PRIMARY KEY, size INTEGER, modified INTEGER, "
            "changed INTEGER, inode INTEGER, digest TEXT, proof BLOB)"
        )
        connection.execute(f"PRAGMA user_version = {_VERSION}")
    except sqlite3.Error:
        connection.close()
        raise
    return connection
