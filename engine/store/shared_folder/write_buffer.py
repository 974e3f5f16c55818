"""Collects new results, and writes them to the folder in batches, in the background."""

from __future__ import annotations

import sqlite3
import threading
import time
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from threading import RLock
from typing import NamedTuple

from engine.store.shared_folder import schema
from engine.store.shared_folder.entry import Damaged, Entry, NewEntry, PartRow
from engine.store.shared_folder.error_kind import ErrorKind
from engine.store.shared_folder.folder import Folder
from engine.store.store import StoredResult
from engine.values import Packed

ROWS = 2048
"""The number of waiting entries at which they are written."""
SECONDS = 0.05
"""The most seconds that an entry waits. If the process is killed in this time, the entry is lost."""
_FILE_SHARE = 16
"""The files of waiting entries may take 1/_FILE_SHARE of the budget before the entries are written."""
_MOST_ROWS = 4 * ROWS  # the most entries that wait while another process locks the index
_IDLE_ROUNDS = 20


class Damage(NamedTuple):
    """A damaged entry that was found."""

    key: str
    """The key; empty if the index itself is damaged."""
    node_type: str
    what: str
    """The damage in words."""


class Read(NamedTuple):
    """An entry with its outputs as bytes."""

    entry: Entry
    outputs: dict[str, Packed]


class WriteBuffer:
    """Holds new entries for up to 50 ms, or until there are 2,048, and then writes them together.

    The long parts of an entry are written to files at once and released from memory. Only this process finds
    waiting entries. Every method may raise OSError and sqlite3.Error; the buffer stays usable after that.

    Args:
        folder: the folder that entries are written to.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self.reader = folder.reader
        self._waiting: dict[str, NewEntry] = {}
        self._row_bytes = 0  # approximate row bytes of all waiting entries
        self._file_bytes = 0  # bytes of files that are written or being written but not in the index yet
        self._used: dict[str, float] = {}
        self._hits: Counter[str] = Counter()
        self._since = 0.0  # when the oldest waiting entry was added
        self._not_before = (
            0.0  # do not try to commit before this time, because another process locks the index
        )
        self._lock = RLock()

    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """Return the tier and times of those keys that are stored or waiting, by key."""
        self.commit_when_due()
        held = {}
        if waiting := self._waiting:
            for key in keys:
                if (new := waiting.get(key)) is not None:
                    held[key] = StoredResult("disk", new.entry.seconds, new.entry.made)
        for key, seconds, made in self.reader.times(keys):
            held[key] = StoredResult("disk", seconds, made)
        return held

    def read(self, key: str, output: str | None = None) -> Read | Damage | None:
        """Read an entry and its outputs as bytes, or only one output; None if there is no such entry.

        A damaged entry is deleted.
        """
        self.commit_when_due()
        new = self._waiting.get(key)
        entry = new.entry if new is not None else self.reader.entry(key)
        if entry is None:
            return None
        short = new.short if new is not None else {}

        def part(row: PartRow) -> bytes:
            data = short.get(row.digest)
            return self.reader.part(row) if data is None else data

        try:
            return Read(entry, entry.packed(part, output))
        except Damaged as damage:
            with self._lock:
                self._forget(key)
                if new is not None or not self.folder.drop(entry, damage):
                    return None  # its file was evicted in the meantime
            return Damage(key, entry.node_type, str(damage))

    def touch(self, key: str) -> None:
        """Record that a result was used just now."""
        self._used[key] = time.time()

    def count(self, hits: Mapping[str, int]) -> None:
        """Add to the counts of reused results, by node type."""
        with self._lock:
            self._begin_to_wait()
            self._hits.update(hits)

    def accepts(self, key: str) -> bool:
        """Return False if `save` would reject an entry with this key, so that it need not be packed."""
        return key not in self._waiting and len(self._waiting) < _MOST_ROWS

    def save(self, new: NewEntry) -> None:
        """Add an entry, unless the budget has no room for it."""
        if new.row_bytes + new.file_bytes > self.folder.budget:
            return
        if new.files:
            if not self._reserve(new.file_bytes):
                return
            try:
                new.written = tuple(self.folder.write(new.files))
            except OSError:
                self._release(new.file_bytes)
                raise
            new.files = dict.fromkeys(new.files, b"")  # the bytes are on disk
        with self._lock:
            if not self.accepts(new.entry.key):
                self._release(new.file_bytes)
                self._discard(new)
                return
            self._begin_to_wait()
            self._waiting[new.entry.key] = new
            self._row_bytes += new.row_bytes
            if (
                len(self._waiting) >= ROWS
                or self._row_bytes >= self.folder.index.log_bytes
                or self._file_bytes >= self.folder.budget // _FILE_SHARE
            ):
                self._since = 0.0
                self.commit_when_due()

    def commit(self) -> None:
        """Write the waiting entries, times of use and counts in one transaction.

        If that fails because the index is locked, all entries go on waiting. If it fails because the disk is
        full, half of the entries are dropped; after any other error, all of them are dropped.
        """
        with self._lock:
            waiting = self._waiting
            if not (waiting or self._used or self._hits):
                return
            used, self._used = self._used, {}
            hits, self._hits = self._hits, Counter()
            try:
                evicted = self.folder.insert(waiting.values(), used, hits, self._file_bytes)
            except (OSError, sqlite3.Error) as error:
                kind = ErrorKind.of(error)
                if kind is ErrorKind.LOCKED:
                    self._not_before = time.monotonic() + 3 * schema.BUSY_SECONDS
                else:
                    small_first = sorted(waiting, key=lambda key: waiting[key].file_bytes)
                    for key in small_first[len(waiting) // 2 if kind is ErrorKind.FULL else 0 :]:
                        self._forget(key)
                    self.commit()  # the remaining entries may fit after some files are deleted
                raise
            self._release(sum(new.file_bytes for new in waiting.values()))
            self._row_bytes = 0
            waiting.clear()
            if evicted:
                self.folder.remove_doomed()

    def commit_when_due(self) -> float | None:
        """Commit the waiting entries if the oldest is due.

        Returns:
            the seconds until the oldest is due; None if nothing is waiting any more.
        """
        if not (self._waiting or self._hits):
            return None
        due = self._due()
        if due > 0:
            return due
        with self._lock:
            if self._due() <= 0:  # no other thread has committed while this one waited for the lock
                self.commit()
        return None

    def _due(self) -> float:
        """Return the seconds until the oldest waiting entry is due."""
        return max(self._since + SECONDS, self._not_before) - time.monotonic()

    def clear(self, node_type: str | None, unused_since: float | None) -> tuple[int, int]:
        """Delete results as `Folder.clear` does; keep waiting entries."""
        with self._lock:
            waiting = {digest for new in self._waiting.values() for digest in new.files}
            return self.folder.clear(node_type, unused_since, waiting)

    def free_disk(self, size: int, last: Sequence[str]) -> bool:
        """Free space on a full disk as `Folder.free_disk` does; write waiting entries first, if possible."""
        with self._lock:
            with suppress(OSError, sqlite3.Error):
                self.commit()
            return self.folder.free_disk(size, last)

    def size(self) -> int:
        """Return the bytes of the index and the files."""
        return self.folder.index.size()

    def close(self) -> None:
        """Close the folder; waiting entries are lost."""
        self.folder.close()

    def _begin_to_wait(self) -> None:
        if not (self._waiting or self._hits):
            self._since = time.monotonic()

    def _reserve(self, size: int) -> bool:
        """Lease bytes for files, and evict results if necessary; return False if there is no room."""
        with self._lock:
            if not self.folder.lease(self._file_bytes + size):
                self.commit()  # waiting entries cannot be evicted
                if not self.folder.make_room(self._file_bytes + size):
                    return False
            self._file_bytes += size
            return True

    def _release(self, size: int) -> None:
        with self._lock:
            self._file_bytes -= size

    def _forget(self, key: str) -> None:
        """Drop a waiting entry and the files that were written for it."""
        new = self._waiting.pop(key, None)
        if new is not None:
            self._row_bytes -= new.row_bytes
            self._release(new.file_bytes)
            self._discard(new)

    def _discard(self, new: NewEntry) -> None:
        """Delete the files that were written for an entry, unless another waiting entry uses them."""
        held = {digest for other in self._waiting.values() for digest in other.files}
        self.folder.discard([digest for digest in new.written if digest not in held])


class Writer:
    """A background thread that writes waiting entries, and ends after a second without work.

    Args:
        work: writes due entries; returns the seconds until the next is due, or None if none is waiting.
        seconds: the seconds between calls of `work` while no entry is waiting.
    """

    def __init__(self, work: Callable[[], float | None], seconds: float) -> None:
        self.alive = False
        """True if the thread will call `work` for an entry that is added now."""
        self._work = work
        self._seconds = seconds
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Start the thread unless it runs or was closed. Call it after adding an entry."""
        with self._lock:
            if self.alive or self._closed.is_set():
                return
            self.alive = True
            try:
                threading.Thread(target=self._run, name="safelight-store", daemon=True).start()
            except RuntimeError:  # the system has no more threads
                self.alive = False
                self._work()

    def close(self) -> None:
        """End the thread; the caller then writes the waiting entries."""
        self._closed.set()

    def _run(self) -> None:
        idle = 0
        wait = self._seconds
        try:
            while idle < _IDLE_ROUNDS and not self._closed.wait(wait):
                due = self._work()
                idle = idle + 1 if due is None else 0
                wait = self._seconds if due is None else due
        finally:
            self.alive = False
        if self._work() is not None:  # an entry was added while `alive` was still True
            self.start()
