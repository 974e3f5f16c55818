"""Caches facts about files, such as their digests, in a small SQLite database for later processes."""

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
    """One kind of fact about files, such as their digests."""

    name: str
    version: int
    """To be increased when the same file gives another fact. Facts of other versions are ignored."""


class FileFacts:
    """A persistent cache of facts: for each kind, texts keyed by subject, such as digests keyed by path.

    The cache only saves time, so no method raises: facts that cannot be read count as unknown, facts that
    cannot be written are lost, and a damaged database is replaced by a new one. Each row has a checksum.
    Several processes may use one database, and several threads one object.

    Args:
        path: the database file; it is created with the first fact, if its folder exists then. None stores no
            facts.
    """

    def __init__(self, path: Path | None = None) -> None:
        self._path = path
        self._connection: sqlite3.Connection | None = None
        self._locked_until = 0.0
        self._lock = Lock()

    def recall(self, kind: FactKind, subjects: Iterable[str]) -> dict[str, str]:
        """Return the cached facts of one kind, keyed by subject; subjects without a fact are left out."""
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
        """Store facts of one kind, keyed by subject; each replaces the earlier fact about its subject."""
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
        """Close the database. The next use opens it again."""
        with self._lock:
            self._disconnect()

    def _use(self, work: Callable[[sqlite3.Connection], None], *, create: bool) -> None:
        """Call `work` with the database if it can be opened; if it is damaged, repeat with a new database."""
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
        """Create the table if necessary. Returns False if a newer Safelight created the database."""
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
        """Delete the damaged database. Returns False if it cannot be deleted."""
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
    """Compute the checksum of a row, by which damaged rows are recognised and ignored."""
    text = f"{kind.name} {kind.version} {subject!r} {fact}"
    return hashlib.sha256(text.encode("utf-8", "surrogatepass")).digest()
