"""Stores facts about files in a small SQLite database, for later processes."""

from __future__ import annotations

import hashlib
import os
import sqlite3
import time
from collections.abc import Callable, Iterable, Iterator, Mapping
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from typing import NamedTuple

from engine.failpoints import failpoint

_LAYOUT = 1
_BATCH = 500  # the most subjects in one statement
_BUSY_SECONDS = 2.0
_RETRY_SECONDS = 30.0  # how long to wait before a locked database is tried again
_DAMAGE = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class FactKind(NamedTuple):
    """One kind of fact, such as the digest of the file at a path."""

    name: str
    version: int
    """Increase it when the same file gives other facts. Facts of other versions are ignored and replaced."""


class FileFacts:
    """A table of texts by kind and subject, such as the sha256 of a file by its path.

    The database only saves time, so no method raises: unreadable facts are treated as unknown, facts that
    cannot be written are lost, and a damaged database is replaced by a new one. Each row carries a checksum.
    Several processes may use one database, and threads may share an object.

    Args:
        path: the database, created with the first fact if its folder exists by then. None to store no facts.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._locked_until = 0.0
        self._lock = Lock()

    def recall(self, kind: FactKind, subjects: Iterable[str]) -> dict[str, str]:
        """Read the stored facts of a kind and version, by subject."""
        wanted = {_encoded(subject): subject for subject in subjects}
        encoded = list(wanted)
        found: dict[str, str] = {}

        def select(connection: sqlite3.Connection) -> None:
            for start in range(0, len(encoded), _BATCH):
                batch = encoded[start : start + _BATCH]
                marks = ",".join("?" * len(batch))
                rows = connection.execute(
                    "SELECT subject, fact, checksum FROM facts "
                    f"WHERE kind = ? AND version = ? AND subject IN ({marks})",
                    (*kind, *batch),
                )
                for subject, fact, checksum in rows:
                    if isinstance(fact, str) and checksum == _checksum(kind, subject, fact):
                        found[wanted[subject]] = fact

        self._use(select, create=False)
        return found

    def remember(self, kind: FactKind, facts: Mapping[str, str]) -> None:
        """Store facts of one kind, by subject; each replaces the stored fact of its subject."""
        if not facts:
            return
        rows = []
        for subject, fact in facts.items():
            encoded = _encoded(subject)
            rows.append((kind.name, encoded, kind.version, fact, _checksum(kind, encoded, fact)))

        def insert(connection: sqlite3.Connection) -> None:
            failpoint("facts.write")
            with _transaction(connection):
                connection.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?, ?)", rows)

        self._use(insert, create=True)

    def close(self) -> None:
        """Close the database. It is opened again when it is next used."""
        with self._lock:
            self._disconnect()

    def _use(self, work: Callable[[sqlite3.Connection], None], *, create: bool) -> None:
        """Call `work` with the database, if it can be opened; again with a new one if it was damaged."""
        with self._lock:
            for _ in range(2):
                try:
                    connection = self._connect(create)
                    if connection is not None:
                        work(connection)
                    return
                except sqlite3.Error as error:
                    code = getattr(error, "sqlite_errorcode", 0) & 0xFF
                    if code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
                        self._locked_until = time.monotonic() + _RETRY_SECONDS
                    if code not in _DAMAGE or not self._delete():
                        return
                except OSError:
                    return

    def _connect(self, create: bool) -> sqlite3.Connection | None:
        if self._connection is not None:
            return self._connection
        path = self._path
        if path is None or time.monotonic() < self._locked_until:
            return None
        if not path.exists() and not (create and path.parent.is_dir()):
            return None
        connection = sqlite3.connect(
            path, timeout=_BUSY_SECONDS, isolation_level=None, check_same_thread=False
        )
        try:
            if not self._prepared(connection):
                connection.close()
                return None
        except BaseException:
            connection.close()
            raise
        self._connection = connection
        return connection

    @staticmethod
    def _prepared(connection: sqlite3.Connection) -> bool:
        """Create the table if necessary; False if a newer version of this program created the database."""
        version = connection.execute("PRAGMA user_version").fetchone()[0]
        if version > _LAYOUT:
            return False
        connection.execute("PRAGMA synchronous = OFF")
        if version == 0:
            with _transaction(connection):
                connection.execute(
                    "CREATE TABLE IF NOT EXISTS facts (kind TEXT, subject BLOB, version INTEGER, fact TEXT, "
                    "checksum BLOB, PRIMARY KEY (kind, subject)) WITHOUT ROWID"
                )
                connection.execute(f"PRAGMA user_version = {_LAYOUT}")
        return True

    def _disconnect(self) -> None:
        if self._connection is not None:
            self._connection.close()
            self._connection = None

    def _delete(self) -> bool:
        """Delete the damaged database; False if it cannot be deleted."""
        assert self._path is not None
        self._disconnect()
        try:
            self._path.unlink(missing_ok=True)
            self._path.with_name(f"{self._path.name}-journal").unlink(missing_ok=True)
        except OSError:
            return False
        return True


@contextmanager
def _transaction(connection: sqlite3.Connection) -> Iterator[None]:
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def _encoded(subject: str) -> bytes:
    return os.fsencode(subject)


def _checksum(kind: FactKind, subject: bytes, fact: str) -> bytes:
    """A checksum of a row, so that a damaged row is ignored."""
    text = f"{kind.name} {kind.version} {subject!r} {fact}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
