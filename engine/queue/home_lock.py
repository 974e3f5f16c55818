"""Allows only one server for each home folder."""

from __future__ import annotations

import os
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from engine.errors import GraphError, Problem

try:
    import fcntl
except ImportError:  # Windows
    fcntl = None  # type: ignore[assignment]


class HomeLock:
    """The lock that a server holds on its home folder while it runs.

    The operating system releases it when the process ends, also after a crash. Commands such as `safelight
    run` do not take the lock, so they can be used while a server runs.

    Args:
        home: the home folder; it is created if it does not exist.

    Raises:
        GraphError: another server holds the lock (code `home_in_use`, with its process id), or the folder
            cannot be written.
    """

    def __init__(self, home: Path) -> None:
        self._path = home / "server.lock"
        try:
            home.mkdir(parents=True, exist_ok=True)
            self._file = os.open(self._path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
        except OSError as error:
            message = f"the home folder {home} cannot be written: {error.strerror or error}"
            raise GraphError(
                [Problem("unwritable", message, hint="choose another one with --home")]
            ) from None
        if not self._taken():
            owner = self._owner()
            os.close(self._file)
            by = f" (process {owner})" if owner else ""
            message = f"another server{by} is using the home folder {home}"
            raise GraphError(
                [Problem("home_in_use", message, hint="use that server, stop it, or choose another --home")]
            )
        os.ftruncate(self._file, 0)
        os.write(self._file, f"{os.getpid()}\n".encode())

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Release the lock; may be called again."""
        if self._file >= 0:
            with suppress(OSError):
                os.ftruncate(self._file, 0)
            os.close(self._file)
            self._file = -1

    def _taken(self) -> bool:
        if fcntl:
            try:
                fcntl.flock(self._file, fcntl.LOCK_EX | fcntl.LOCK_NB)
            except BlockingIOError:
                return False
        return True

    def _owner(self) -> int | None:
        """Read the owner's process id from the lock file; None if there is none."""
        try:
            return int(os.read(self._file, 20).decode("ascii"))
        except (OSError, ValueError):
            return None
