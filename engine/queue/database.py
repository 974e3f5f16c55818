"""Opens the SQLite database of the queue, and checks it. A damaged database is never replaced."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any

from engine.errors import GraphError, Problem
from engine.failpoints import failpoint

LOCK_SECONDS = 5.0
"""The seconds to wait for another process that has locked the database."""

_FULL = {sqlite3.SQLITE_FULL}
_LOCKED = {sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED}
_DAMAGED = {sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}


class Database:
    """An SQLite database whose synced transactions survive a power cut.

    They are on the disk when they end (write-ahead log, `synchronous=FULL`). One connection writes and
    another one reads; threads share both.

    Args:
        path: the file; it is created if it does not exist.
        migrations: SQL scripts; script `n` converts a database of version `n` to version `n + 1`.
        wait: the seconds to wait for another process that has locked the database.

    Raises:
        GraphError: the database is damaged (`queue_damaged`), was made by a newer version (`queue_newer`), is
            locked (`queue_locked`), or cannot be opened (`unwritable`). The file is not changed.
    """

    def __init__(self, path: Path, migrations: Sequence[str], *, wait: float = LOCK_SECONDS) -> None:
        self.path = path
        self._writing, self._reading = RLock(), RLock()
        with self._problems():
            path.parent.mkdir(parents=True, exist_ok=True)
            self._writer = self._connect(wait)
            try:
                self._check()
                self._migrate(migrations)
                self._reader = self._connect(wait)
                self._reader.execute("PRAGMA query_only = ON")
            except BaseException:
                self._writer.close()
                raise

    @contextmanager
    def write(self, *, synced: bool = True) -> Iterator[sqlite3.Connection]:
        """Run a `with` block as one transaction: commit it at the end, or undo it if the block raises.

        Args:
            synced: True to wait until the transaction is on the disk. False for data that may be lost in a
                power cut, such as the progress of a run; it survives the end of this process, and is on the
                disk after the next synced transaction.

        Raises:
            GraphError: the disk is full (`disk_full`), or the database cannot be written.
        """
        with self._writing, self._problems():
            if not synced:
                self._writer.execute("PRAGMA synchronous = NORMAL")
            try:
                with self._transaction():
                    yield self._writer
            finally:
                if not synced:
                    self._writer.execute("PRAGMA synchronous = FULL")
            failpoint("queue.committed")

    @contextmanager
    def _transaction(self) -> Iterator[None]:
        self._writer.execute("BEGIN IMMEDIATE")
        try:
            yield
            failpoint("queue.commit")
            self._writer.execute("COMMIT")
        except BaseException:
            with suppress(sqlite3.Error):
                self._writer.execute("ROLLBACK")
            raise

    def read(self, sql: str, values: Sequence[Any] = ()) -> list[sqlite3.Row]:
        """Return the rows of a query. It sees only committed transactions.

        Raises:
            GraphError: the database cannot be read.
        """
        with self._reading, self._problems():
            return self._reader.execute(sql, values).fetchall()

    def close(self) -> None:
        """Close the database; may be called again."""
        with self._writing, self._reading:
            self._reader.close()
            self._writer.close()

    def _connect(self, wait: float) -> sqlite3.Connection:
        connection = sqlite3.connect(self.path, timeout=wait, isolation_level=None, check_same_thread=False)
        connection.row_factory = sqlite3.Row
        try:
            connection.execute("PRAGMA journal_mode = WAL")
            connection.execute("PRAGMA synchronous = FULL")
            connection.execute("PRAGMA foreign_keys = ON")
        except BaseException:
            connection.close()
            raise
        return connection

    def _check(self) -> None:
        answers = [row[0] for row in self._writer.execute("PRAGMA quick_check(1)")]
        if answers != ["ok"]:
            raise _damaged(self.path, str(answers[0]))

    def _migrate(self, migrations: Sequence[str]) -> None:
        version = self._writer.execute("PRAGMA user_version").fetchone()[0]
        if version > len(migrations):
            message = f"the queue {self.path} was made by a newer version of Safelight"
            hint = "install that version again, or use another home folder"
            raise GraphError([Problem("queue_newer", message, hint=hint)])
        for number in range(version, len(migrations)):
            # `executescript` runs the statements in the transaction that the script begins and ends itself.
            script = f"BEGIN IMMEDIATE;\n{migrations[number]};\nPRAGMA user_version = {number + 1};\nCOMMIT;"
            try:
                self._writer.executescript(script)
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise

    @contextmanager
    def _problems(self) -> Iterator[None]:
        """Convert the errors of SQLite and the file system into problems."""
        try:
            yield
        except sqlite3.Error as error:
            code = getattr(error, "sqlite_errorcode", 0) & 0xFF
            if code in _DAMAGED:
                raise _damaged(self.path, str(error)) from None
            if code in _FULL:
                message = f"the disk of {self.path.parent} is full"
                raise GraphError([Problem("disk_full", message, hint="free some disk space")]) from None
            if code in _LOCKED:
                message = f"another program has locked the queue {self.path}"
                raise GraphError([Problem("queue_locked", message, hint="close it and try again")]) from None
            if isinstance(error, sqlite3.IntegrityError | sqlite3.ProgrammingError):
                raise
            raise _unusable(self.path, str(error)) from None
        except OSError as error:
            raise _unusable(self.path, error.strerror or str(error)) from None


def _unusable(path: Path, reason: str) -> GraphError:
    hint = "check the disk and the permissions of the folder"
    return GraphError([Problem("unwritable", f"the queue {path} cannot be used: {reason}", hint=hint)])


def _damaged(path: Path, reason: str) -> GraphError:
    message = f"the queue {path} is damaged: {reason}"
    hint = (
        f"move {path.name} and the files {path.name}-wal and {path.name}-shm to another folder, and start "
        "again with an empty queue; pictures, graphs and cached results are not in this file"
    )
    return GraphError([Problem("queue_damaged", message, hint=hint)])
