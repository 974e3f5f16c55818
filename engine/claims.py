"""Who computes a step: one at a time for each key, among the threads of a process and among processes."""

from __future__ import annotations

import errno
import os
import time
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path
from threading import Lock
from typing import ClassVar
from zlib import crc32

from engine import faults
from engine.errors import said

try:
    import fcntl
except ImportError:  # Windows: then only the threads of one process heed one another
    fcntl = None  # type: ignore[assignment]

_FIRST_LOOK, _LONGEST_LOOK = 0.0002, 0.02  # seconds after which somebody who waits looks again
_NEWS = 8  # bytes, before those that are locked
_TAKEN = {errno.EACCES, errno.EAGAIN}


class Claims:
    """Claims on the keys of one folder of results.

    Among threads a claim is an entry of a dict; among processes it is a lock on one byte of a file, which the
    system takes back from a process that dies. Two keys may share a byte: then one waits for no reason.

    Whoever made something dear says so with `announce`, before it lets go of its claim: so others need not
    look into the store each time that they come to claim what a plan found missing. Claims save work and
    decide nothing: where the file cannot be locked, two processes make the same thing twice.

    A thread holds one claim at a time, and waits for no other thread while it does.

    Args:
        folder: where the file lies; made when it does not exist. None where no other process finds what this
            one makes: then only its threads heed one another.
        warn: told when the claims of other processes cannot be seen.
    """

    def __init__(self, folder: Path | None, warn: Callable[[str], None]) -> None:
        self._folder = folder
        self._warn = warn
        self.quick: defaultdict[str, float] = defaultdict(float)
        """How often results of each node type were made in no time; less than nothing once one was not."""
        self._shared = _Shared()
        if fcntl and folder is not None:
            try:
                folder.mkdir(parents=True, exist_ok=True)
                self._shared = _Shared.of(folder / "claims")
            except OSError as error:
                self._alone(error)

    def take(self, key: str, check: Callable[[], None], *, here: bool = False) -> bool:
        """Claim a key as soon as nobody else does; returns whether it had to wait.

        Args:
            key: what to claim.
            check: called while it waits; what that raises ends the wait.
            here: True for something so cheap that other processes may as well make it, too.
        """
        held, me = self._shared.held, [not here]
        waited = held.setdefault(key, me) is not me
        if waited:
            _wait(lambda: held.setdefault(key, me) is me, check)
        if not here and not self._lock(key):
            waited = True
            try:
                _wait(lambda: self._lock(key), check)
            except BaseException:
                del held[key]
                raise
        return waited

    def release(self, key: str) -> None:
        """Let go of a claim."""
        file, held = self._shared.file, self._shared.held
        if file is not None and held[key][0]:
            try:
                fcntl.lockf(file, fcntl.LOCK_UN, 1, _place(key))
            except OSError:  # such a lock goes with the process at the latest
                pass
        del held[key]

    def news(self) -> bytes:
        """What differs from before whenever somebody has announced something."""
        return self._shared.news()

    def announce(self, seen: bytes | None) -> bytes | None:
        """Say that something dear can be found in the store.

        Args:
            seen: the news when whoever announces looked last.

        Returns:
            the same, without its own: what to compare later news with.
        """
        fresh = os.urandom(_NEWS)
        try:
            before = self._shared.replace(fresh)
        except OSError:  # no room: others may not notice, and compute it again
            return seen
        return fresh if before == seen else seen

    def close(self) -> None:
        """Let go of the file, once nobody in this process uses it any more."""
        shared, self._shared = self._shared, _Shared()
        shared.leave()

    def _lock(self, key: str) -> bool:
        """Whether no other process has claimed this key; from now on this one has."""
        file = self._shared.file
        if file is None:
            return True
        try:
            if faults.ON:
                faults.at("claim.take")
            fcntl.lockf(file, fcntl.LOCK_EX | fcntl.LOCK_NB, 1, _place(key))
        except OSError as error:
            if error.errno in _TAKEN:
                return False
            self._shared.file = None  # it stays open, as other threads may be about to use it
            self._alone(error)
        return True

    def _alone(self, error: OSError) -> None:
        self._warn(
            f"What other processes compute cannot be seen, since a file in {self._folder} cannot be locked: "
            f"{said(error)}. Everything runs, but the same may be computed twice at once."
        )


class _Shared:
    """What all `Claims` of this process on one folder share.

    There is one descriptor only, since closing any other of the same file would let go of all locks.
    """

    _all: ClassVar[dict[tuple[int, int], _Shared]] = {}  # by device and inode
    _opening: ClassVar[Lock] = Lock()

    def __init__(self, file: int | None = None) -> None:
        self.file = self._file = file
        self.held: dict[str, list[bool]] = {}
        self._users = 1
        self._own = bytes(_NEWS)  # the news where there is no file
        self._changing = Lock()

    @classmethod
    def of(cls, path: Path) -> _Shared:
        """Those of a file, which is made when there is none."""
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
        """One user less."""
        with self._opening:
            self._users -= 1
            for name, shared in list(self._all.items()):
                if shared is self and not self._users:
                    del self._all[name]
                    if self._file is not None:
                        os.close(self._file)

    def news(self) -> bytes:
        """What was announced last."""
        return self._own if self.file is None else os.pread(self.file, _NEWS, 0)

    def replace(self, news: bytes) -> bytes:
        """Write other news; returns what they were until then."""
        with self._changing:
            if self.file is None:
                before, self._own = self._own, news
                return before
            fcntl.lockf(self.file, fcntl.LOCK_EX, _NEWS, 0)
            try:
                before = self.news()
                if faults.ON:
                    faults.at("claim.announce", news, self.file)
                os.pwrite(self.file, news, 0)
            finally:
                fcntl.lockf(self.file, fcntl.LOCK_UN, _NEWS, 0)
            return before


def _place(key: str) -> int:
    return _NEWS + crc32(key.encode("utf-8", "surrogatepass"))


def _wait(done: Callable[[], bool], check: Callable[[], None]) -> None:
    pause = _FIRST_LOOK
    while True:
        check()
        time.sleep(pause)
        if done():
            return
        pause = min(2 * pause, _LONGEST_LOOK)
