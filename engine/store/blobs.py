"""Long parts of kept results as files named by what is in them."""

from __future__ import annotations

import itertools
import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

from engine import faults
from engine.store.entry import Damaged
from engine.values import sha256

try:
    import fcntl
except ImportError:  # Windows: a folder in `tmp` then counts as somebody's, and is left alone
    fcntl = None  # type: ignore[assignment]


class Blobs:
    """Files `blobs/ab/cdef...`, each named by its sha256 and therefore never written twice differently.

    A file is written beside the others in `tmp/` and renamed into place, without fsync: after a power cut it
    may be torn, which its name betrays. Each process writes into a folder of its own in `tmp/`, locked while
    it lives, so that what a killed process left can be told from what a living one is writing.
    """

    def __init__(self, folder: Path) -> None:
        self.folder = folder
        self._root = str(folder / "blobs")
        self._tmp = folder / "tmp"
        self.who = f"{os.getpid()}-{os.urandom(4).hex()}"
        """What this process is called among those that use the folder."""
        self._mine = self._tmp / self.who
        self._alive: int | None = None
        self._numbers = itertools.count()

    @contextmanager
    def door(self) -> Iterator[None]:
        """One process at a time: whoever opens, mends or tidies the folder.

        Raises:
            TimeoutError: another process has not come out for ten seconds.
        """
        handle = os.open(self.folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            deadline = time.monotonic() + 10
            while not _lock(handle):
                if time.monotonic() > deadline:
                    raise TimeoutError("another process is opening it and does not come to an end")
                time.sleep(0.005)
            yield
        finally:
            os.close(handle)

    def enter(self) -> None:
        """Begin to use the folder; to be called inside `door`, so that nobody takes this one for dead."""
        if self._alive is None:
            self._mine.mkdir(parents=True)
            os.makedirs(self._root, exist_ok=True)
            self._alive = os.open(self._mine / "alive", os.O_CREAT | os.O_RDWR, 0o644)
            _lock(self._alive)

    def others(self) -> tuple[int, int]:
        """How many other processes use the folder, and how many died while they did."""
        found = [_lives(place) for place in self._tmp.iterdir() if place != self._mine]
        return sum(found), len(found) - sum(found)

    def bury(self) -> None:
        """Remove what dead processes left behind half-written."""
        for place in list(self._tmp.iterdir()):
            if place != self._mine and not _lives(place):
                _remove(place)

    def leave(self) -> None:
        """Stop using the folder."""
        if self._alive is not None:
            _remove(self._mine)
            os.close(self._alive)
            self._alive = None

    def path(self, digest: str) -> str:
        """Where the file of a digest lies."""
        return f"{self._root}/{digest[:2]}/{digest[2:]}"

    def put(self, digest: str, data: bytes) -> bool:
        """Write a file unless it is there already; says whether it wrote.

        Raises:
            OSError: it cannot be written; nothing half-written is left.
        """
        path = self.path(digest)
        with suppress(OSError):
            if os.stat(path).st_size == len(data):
                return False
        temporary = f"{self._mine}/{next(self._numbers)}"
        try:
            with open(temporary, "wb", buffering=0) as file:
                if faults.ON:
                    faults.at("blob.write", data, file.fileno())
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
            if faults.ON:
                faults.at("blob.rename")
            try:
                os.replace(temporary, path)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        return True

    def read(self, digest: str) -> bytes:
        """The bytes of a file, proved to be the ones its name stands for.

        Raises:
            Damaged: the file is gone or its bytes are others.
            OSError: it cannot be read.
        """
        try:
            with open(self.path(digest), "rb", buffering=0) as file:
                data = file.read()
        except FileNotFoundError:
            raise Damaged("a file of it is gone", digest) from None
        if sha256(data) != digest:
            raise Damaged("a file of it does not match its checksum", digest)
        return data

    def has(self, digest: str) -> bool:
        """Whether there is a file of this digest, whatever is in it."""
        try:
            os.stat(self.path(digest))
        except FileNotFoundError:
            return False
        return True

    def remove(self, digest: str) -> None:
        """Delete a file if it is there."""
        if faults.ON:
            faults.at("blob.remove")
        with suppress(FileNotFoundError):
            os.unlink(self.path(digest))

    def all(self) -> Iterator[str]:
        """The digests of all files."""
        for start in os.listdir(self._root):
            for rest in os.listdir(f"{self._root}/{start}"):
                yield start + rest


def _lives(place: Path) -> bool:
    """Whether the process that made a folder in `tmp` still holds its lock."""
    try:
        alive = os.open(place / "alive", os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not fcntl or not _lock(alive)
    finally:
        os.close(alive)


def _remove(place: Path) -> None:
    """Delete a folder in `tmp`; what cannot be deleted now is found again by the next process."""
    with suppress(OSError):
        for file in place.iterdir():
            file.unlink(missing_ok=True)
        place.rmdir()


def _lock(handle: int) -> bool:
    """Lock an open file for as long as it is open; says whether nobody else had."""
    if fcntl:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
