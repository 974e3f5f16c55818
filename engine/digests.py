"""Computes the SHA-256 of files, cached until the file changes."""

from __future__ import annotations

import hashlib
import json
import os
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from stat import S_ISREG
from typing import NamedTuple

from engine.file_facts import FactKind, FileFacts

_PIECE = 4 << 20
_TRIES = 3
_TICK_SECONDS = 0.02  # longer than a tick of the clock of any file system
_SETTLED_SECONDS = 2.0
_REPORT_BYTES = 64 << 20  # files up to this size are read without progress reports
_REPORT_SECONDS = 0.1
_SPARSE_BYTES = 1 << 30
_SPARSE_RATIO = 16

_DIGEST = FactKind("sha256", 1)
_SEEN = FactKind("last seen", 1)


class Identity(NamedTuple):
    """Size, times and inode of a file. If they are unchanged, the file's content is taken to be unchanged."""

    size: int
    modified: int
    """Time of the last change of the content, in ns; any program can set it."""
    changed: int
    """Time of the last change of content, name or attributes, in ns; no program can set it back."""
    inode: int


class LastSeen(NamedTuple):
    """The path at which a file with a given digest was last read, and its size."""

    path: Path
    size: int


class Unsettled(OSError):
    """Raised if a file keeps changing while it is read."""


Progress = Callable[[str, int, int], None]
"""`progress(path, bytes_read, total_bytes)`; if it raises, the reading stops."""

_progress: ContextVar[Progress | None] = ContextVar("progress", default=None)


@contextmanager
def report_progress(progress: Progress) -> Iterator[None]:
    """Call `progress` every 0.1 s while this thread computes the digest of a large file inside the block.

    Blocks may be nested; then the functions of all blocks are called.
    """
    outer = _progress.get()

    def both(path: str, done: int, size: int) -> None:
        progress(path, done, size)
        if outer is not None:
            outer(path, done, size)

    token = _progress.set(both)
    try:
        yield
    finally:
        _progress.reset(token)


class FileDigests:
    """Computes and caches the SHA-256 of files, by path.

    A cached digest is valid while the `Identity` of the file stays the same. The digest of a file that
    changed less than two seconds ago is not cached, because with a coarse file-system clock a further change
    could leave its times the same.

    Args:
        facts: the database that stores digests for later processes; without it they are cached in this
            process only.
    """

    def __init__(self, facts: FileFacts | None = None) -> None:
        self.facts = facts or FileFacts()
        """The database of digests, and of other facts about files keyed by digest."""
        self._known: dict[str, tuple[Identity, str]] = {}

    def digest(self, path: str | os.PathLike[str]) -> str:
        """Return the SHA-256 of a file's content, in hex.

        Raises:
            OSError: the file cannot be read, is not an ordinary file, is mostly holes (an incomplete
                download), or keeps changing while it is read.
        """
        place = os.path.abspath(path)
        stat = _regular(place)
        known = self._known.get(place) or self._recall(place)
        if known is not None and known[0] == _identity(stat):
            self._known[place] = known
            return known[1]
        _refuse_holes(place, stat)
        for _ in range(_TRIES):
            begun = time.time_ns()
            identity, digest = _read(place)
            if digest is not None:
                self.facts.remember(_SEEN, {digest: json.dumps([place, identity.size])})
                if max(identity.modified, identity.changed) < begun - _SETTLED_SECONDS * 1e9:
                    self._known[place] = identity, digest
                    self.facts.remember(_DIGEST, {place: json.dumps([*identity, digest])})
                return digest
        raise Unsettled(f"{place} keeps changing while it is read; run again when it is written completely")

    def close(self) -> None:
        """Close the database; digests stay cached in this process."""
        self.facts.close()

    def _recall(self, place: str) -> tuple[Identity, str] | None:
        fact = self.facts.recall(_DIGEST, [place]).get(place)
        if fact is None:
            return None
        *identity, digest = json.loads(fact)
        return Identity(*identity), digest


def last_seen(facts: FileFacts, digest: str) -> LastSeen | None:
    """Find the path at which a file with this digest was last read; None if none was read.

    The file may have been moved or changed since.
    """
    fact = facts.recall(_SEEN, [digest]).get(digest)
    if fact is None:
        return None
    path, size = json.loads(fact)
    return LastSeen(Path(path), size)


def identity_of(path: str | os.PathLike[str]) -> Identity:
    """Return the identity of the file at a path, to detect later changes of the file.

    Raises:
        OSError: there is no such file.
    """
    return _identity(os.stat(path))


def _identity(stat: os.stat_result) -> Identity:
    inode = stat.st_ino & (1 << 63) - 1  # SQLite's integers are signed
    return Identity(stat.st_size, stat.st_mtime_ns, stat.st_ctime_ns, inode)


def _regular(place: str) -> os.stat_result:
    stat = os.stat(place)
    if not S_ISREG(stat.st_mode):
        raise OSError(f"{place} is not a file")
    return stat


def _refuse_holes(place: str, stat: os.stat_result) -> None:
    """Raise OSError for a large file that is mostly holes, such as an incomplete download."""
    written = getattr(stat, "st_blocks", None)
    if written is not None and stat.st_size > max(_SPARSE_BYTES, written * 512 * _SPARSE_RATIO):
        raise OSError(
            f"{place} is {stat.st_size:,} bytes long, but only {written * 512:,} of them were ever written; "
            "finish the download"
        )


def _read(place: str) -> tuple[Identity, str | None]:
    """Return the identity and the digest of a file; the digest is None if the file changed meanwhile.

    The file is opened once, so the digest is never a mixture of it and a file that replaces it for a moment.
    A write into the file itself changes its times, which the identity contains.
    """
    with open(place, "rb", buffering=0) as file:
        before = _identity(os.fstat(file.fileno()))
        if 0 <= (age := time.time_ns() / 1e9 - before.changed / 1e9) < _TICK_SECONDS:
            time.sleep(_TICK_SECONDS - age)  # so that a later write gives another time of change
        hasher = hashlib.sha256()
        piece = memoryview(bytearray(min(_PIECE, before.size + 1)))
        progress = _progress.get() if before.size > _REPORT_BYTES else None
        done, next_report = 0, 0.0
        while count := file.readinto(piece):
            hasher.update(piece[:count])
            if progress is not None:
                done += count
                if (now := time.monotonic()) >= next_report:
                    progress(place, done, before.size)
                    next_report = now + _REPORT_SECONDS
        after = _identity(os.fstat(file.fileno()))
    try:
        there = identity_of(place)
    except FileNotFoundError:
        return before, None
    return before, hasher.hexdigest() if before == after == there else None
