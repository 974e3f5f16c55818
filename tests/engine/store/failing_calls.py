"""Calls to the operating system and to SQLite that fail on demand, for what is in one folder."""

from __future__ import annotations

import builtins
import errno
import os
import sqlite3
from collections.abc import Callable, Iterator
from contextlib import ExitStack, contextmanager
from pathlib import Path
from typing import Any
from unittest import mock

_CALLS = ("open", "replace", "unlink", "rename", "mkdir", "rmdir", "listdir", "scandir", "stat")
_CODES = {errno.EIO: sqlite3.SQLITE_IOERR, errno.ENOSPC: sqlite3.SQLITE_FULL}


class FailingCalls:
    """Counts the calls that concern a folder, and lets one of them fail, or it and all that follow.

    Args:
        folder: what is not in it is left alone.
        number: `errno.EIO` or `errno.ENOSPC`.
        first: which call fails, from 1.
        last: the last one that fails.
    """

    def __init__(self, folder: Path, number: int, first: int, last: float) -> None:
        self.calls = 0
        self._folder = str(folder)
        self._number = number
        self._first = first
        self._last = last

    def _fails(self) -> bool:
        self.calls += 1
        return self._first <= self.calls <= self._last

    def _system(self, call: Callable[..., Any]) -> Callable[..., Any]:
        def checked(path: Any, *args: Any, **kwargs: Any) -> Any:
            if str(path).startswith(self._folder) and self._fails():
                raise OSError(self._number, os.strerror(self._number), str(path))
            return call(path, *args, **kwargs)

        return checked

    def _statement(self, statement: str) -> None:
        # SQLite undoes a transaction in memory, and so never fails to.
        if statement != "ROLLBACK" and self._fails():
            error = sqlite3.OperationalError(os.strerror(self._number))
            error.sqlite_errorcode = _CODES[self._number]
            raise error

    @contextmanager
    def __call__(self) -> Iterator[None]:
        """While this lasts the calls fail."""
        calls = self
        connect, real_open = sqlite3.connect, builtins.open

        class Connection(sqlite3.Connection):
            def execute(self, statement: str, *args: Any) -> sqlite3.Cursor:
                calls._statement(statement)
                return super().execute(statement, *args)

            def executemany(self, statement: str, *args: Any) -> sqlite3.Cursor:
                calls._statement(statement)
                return super().executemany(statement, *args)

        class File:
            """An open file of which only half is written when a write fails."""

            def __init__(self, path: str, *args: Any, **kwargs: Any) -> None:
                self._file = calls._system(real_open)(path, *args, **kwargs)

            def __enter__(self) -> File:
                return self

            def __exit__(self, *_: object) -> None:
                self._file.close()

            def fileno(self) -> int:
                number: int = self._file.fileno()
                return number

            def read(self) -> Any:
                if calls._fails():
                    raise OSError(calls._number, os.strerror(calls._number))
                return self._file.read()

            def write(self, data: memoryview) -> Any:
                if calls._fails():
                    self._file.write(data[: len(data) // 2])
                    raise OSError(calls._number, os.strerror(calls._number))
                return self._file.write(data)

        def connected(path: Path, **kwargs: Any) -> sqlite3.Connection:
            calls._statement("open")
            connection: sqlite3.Connection = connect(path, factory=Connection, **kwargs)
            return connection

        with ExitStack() as patches:
            for name in _CALLS:
                patches.enter_context(mock.patch.object(os, name, self._system(getattr(os, name))))
            patches.enter_context(mock.patch("engine.store.shared_folder.blobs.open", File, create=True))
            patches.enter_context(mock.patch("sqlite3.connect", connected))
            yield
