"""Locks the keys of steps, so that two threads or processes do not compute the same step at the same time."""

from __future__ import annotations

import errno
import os
import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock
from typing import ClassVar
from zlib import crc32

from engine.errors import error_text
from engine.failpoints import failpoint
from engine.store.shared_folder.processes import Activity, lock_holder

try:
    import fcntl
except ImportError:  # Windows: the locks work between the threads of one process only
    fcntl = None  # type: ignore[assignment]

FILE = "step_locks"
"""The name of the lock file in the folder of the store."""

STALLED_SECONDS = 10.0
"""If a process that holds a lock has not worked for this many seconds, a warning names it."""

_FIRST_PAUSE, _LONGEST_PAUSE = 0.0002, 0.02  # seconds between two attempts to lock a key
_ANNOUNCEMENT = 8  # bytes before the lock bytes
_TAKEN = {errno.EACCES, errno.EAGAIN}


class StepLocks:
    """Locks on the keys of one store.

    Between the threads of a process, a lock is an entry of a dict. Between processes, it is a lock on one
    byte of a file, which the operating system releases when the process ends, also after a crash. Two keys
    may have the same byte; then one process may wait unnecessarily.

    The locks only save work: if the file cannot be locked, two processes may compute the same step. A thread
    holds at most one lock, and does not wait for other threads while it holds one.

    Args:
        folder: the folder for the lock file; it is created if it does not exist. None if no other process can
            use the results of this one.
        warn: receives a warning if the file cannot be locked, or if another process holds a lock without
            working.
        last_progress: takes a process id, and returns the time of that process's last progress, in seconds
            since the epoch.
    """

    def __init__(
        self,
        folder: Path | None,
        warn: Callable[[str], None],
        last_progress: Callable[[int], float] = lambda pid: 0.0,
    ) -> None:
        self._folder = folder
        self._warn = warn
        self._last_progress = last_progress
        self._shared = _Shared()
        if fcntl and folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._shared = _Shared.of(folder / FILE)
            except OSError as error:
                self._warn_alone(error)

    def take(self, key: str, check: Callable[[], None], step: str = "") -> bool:
        """Lock a key, after waiting for other threads and processes; return True if it had to wait.

        Args:
            key: the key.
            check: called while waiting. If it raises, the wait ends with that exception.
            step: the id of the step, for the warning about a process that does not work.
        """
        held, me = self._shared.held, object()
        waited = held.setdefault(key, me) is not me
        if waited:
            _wait(lambda: held.setdefault(key, me) is me, check)
        if not self._lock(key):
            waited = True
            try:
                warn = partial(self._warn_stalled, key, step, Activity())
                _wait(lambda: self._lock(key), _Stalled(warn, check))
            except BaseException:
                del held[key]
                raise
        return waited

    def release(self, key: str) -> None:
        """Unlock a key."""
        file = self._shared.file
        if file is not None:
            try:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, _place(key))
            except OSError:  # the operating system releases the lock when the process ends
                pass
        del self._shared.held[key]

    def last_announcement(self) -> bytes:
        """Return a value that changes with every announcement of any process."""
        try:
            return self._shared.last_announcement()
        except OSError:  # like a new announcement: the caller queries the store
            return os.urandom(_ANNOUNCEMENT)

    def announce(self, seen: bytes | None) -> bytes | None:
        """Announce to other runs that the store has a new result that took long to compute.

        Before a step, another run queries the store only if the announcement has changed since its plan: to
        compare the announcement takes 1 µs, a query 20 µs.

        Args:
            seen: the announcement that the caller compares with.

        Returns:
            the announcement to compare with from now on, so that the caller ignores its own announcement.
        """
        fresh = os.urandom(_ANNOUNCEMENT)
        try:
            before = self._shared.announce(fresh)
        except OSError:  # the disk is full: other runs may recompute the step
            return seen
        return fresh if before == seen else seen

    def close(self) -> None:
        """Close the file if no other session of this process uses it."""
        shared, self._shared = self._shared, _Shared()
        shared.leave()

    def _lock(self, key: str) -> bool:
        """Lock the byte of a key; return False if another process has locked it."""
        file = self._shared.file
        if file is None:
            return True
        try:
            failpoint("step_lock.take")
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            self._shared.file = None  # the file stays open, because other threads may be about to use it
            self._warn_alone(error)
        return True

    def _warn_stalled(self, key: str, step: str, activity: Activity) -> bool:
        """Warn about the process that holds a lock, unless it works; return True after a warning.

        A process that loads a model or computes for long reports no progress, but it uses the CPU or reads.
        """
        assert self._folder is not None
        step = step or "a step"
        pid = lock_holder(self._folder / FILE, _place(key))
        if pid is None:
            self._warn(f"{step} waits for another process, which computes the same step.")
            return True
        works = activity.since_last(pid)
        if works or time.time() - self._last_progress(pid) < STALLED_SECONDS:
            return False
        self._warn(
            f"{step} waits for process {pid}, which computes the same step, but has made no progress, read "
            f"nothing and hardly used the CPU for {STALLED_SECONDS:.0f} s. If that process ends, this one "
            "computes the step."
        )
        return True

    def _warn_alone(self, error: OSError) -> None:
        self._warn(
            f"A file in {self._folder} cannot be locked: {error_text(error)}. Two processes may "
            "compute the same step at the same time."
        )


class _Stalled:
    """A function that calls `check` and, every 10 s until it returns True, also `warn`.

    Args:
        warn: warns about the process that holds the lock if that does not work; returns True after that.
        check: called each time.
    """

    def __init__(self, warn: Callable[[], bool], check: Callable[[], None]) -> None:
        self._warn, self._check = warn, check
        self._due = time.monotonic() + STALLED_SECONDS

    def __call__(self) -> None:
        self._check()
        if time.monotonic() >= self._due:
            self._due = float("inf") if self._warn() else time.monotonic() + STALLED_SECONDS


class _Shared:
    """The state that all `StepLocks` of this process on one folder share.

    It has the only descriptor of the lock file, because closing a second one would release all locks.
    """

    _all: ClassVar[dict[tuple[int, int], _Shared]] = {}  # by device and inode
    _opening: ClassVar[Lock] = Lock()

    def __init__(self, file: int | None = None) -> None:
        self.file = self._file = file
        self.held: dict[str, object] = {}
        self._users = 1
        self._own = bytes(_ANNOUNCEMENT)  # the last announcement, if there is no file
        self._changing = Lock()

    @classmethod
    def of(cls, path: Path) -> _Shared:
        """Return the state for a lock file, which is created if it does not exist."""
        with cls._opening:
            try:
                found = os.stat(path)
            except FileNotFoundError:
                pass
            else:
                shared = cls._all.get((found.st_dev, found.st_ino))
                if shared is not None:
                    shared._users += 1
                    return shared
            file = os.open(path, os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
            found = os.fstat(file)
            shared = cls._all[found.st_dev, found.st_ino] = cls(file)
            return shared

    def leave(self) -> None:
        """Decrease the number of users, and close the file if there are none left."""
        with self._opening:
            self._users -= 1
            for name, shared in list(self._all.items()):
                if shared is self and not self._users:
                    del self._all[name]
                    if self._file is not None:
                        os.close(self._file)

    def last_announcement(self) -> bytes:
        """Read the last announcement."""
        file = self.file
        return self._own if file is None else os.pread(file, _ANNOUNCEMENT, 0)

    def announce(self, fresh: bytes) -> bytes:
        """Write an announcement; return the previous one."""
        with self._changing:
            file = self.file  # read once, because another thread sets it to None when it cannot lock the file
            if file is None:
                before, self._own = self._own, fresh
                return before
            fcntl.lockf(file, fcntl.LOCK_EX, _ANNOUNCEMENT, 0)
            try:
                before = os.pread(file, _ANNOUNCEMENT, 0)
                failpoint("step_lock.announce", fresh, file)
                os.pwrite(file, fresh, 0)
            finally:
                fcntl.lockf(file, fcntl.LOCK_UN, _ANNOUNCEMENT, 0)
            return before


def _place(key: str) -> int:
    return _ANNOUNCEMENT + crc32(key.encode("utf-8", "surrogatepass"))


def _wait(done: Callable[[], bool], check: Callable[[], None]) -> None:
    pause = _FIRST_PAUSE
    while True:
        check()
        time.sleep(pause)
        if done():
            return
        pause = min(2 * pause, _LONGEST_PAUSE)
