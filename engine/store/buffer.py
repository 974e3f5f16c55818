"""The way into a folder of results: rows wait to be written together, and are found at once."""

from __future__ import annotations

import sqlite3
import time
from collections import Counter
from collections.abc import Mapping, Sequence
from threading import RLock
from typing import NamedTuple

from engine.store.entry import Damaged, Entry, PartRow, plain_row
from engine.store.folder import Folder
from engine.store.layout import BUSY_SECONDS
from engine.store.pending import Pending
from engine.store.store import Held, Result
from engine.store.trouble import Trouble
from engine.values import Packed

ROWS = 2048
"""How many rows wait at most."""
SECONDS = 0.05
"""How long they do. A process that is killed loses them: a miss for the next one, and never wrong."""
_MOST_ROWS = 4 * ROWS  # while the index is locked by somebody else


class Found(NamedTuple):
    """A damaged entry."""

    key: str
    """Empty when it is the index itself."""
    node_type: str
    what: str


class Buffer:
    """A folder behind the rows that wait for it, at most 50 ms, 2,048 rows or as many bytes as a log holds.

    Results of nothing but short plain values wait as they are, since most steps of a large graph make such,
    and are spelled out as rows only when they are written.

    Every method may raise OSError and sqlite3.Error; the buffer can be used on.

    Args:
        folder: where the rows go.
    """

    def __init__(self, folder: Folder) -> None:
        self.folder = folder
        self._rows: dict[str, Pending] = {}
        self._plain: dict[str, Result] = {}
        self._row_bytes = 0  # of all that wait, about
        self._file_bytes = 0  # of their files and of those being written, which the index does not count yet
        self._used: dict[str, float] = {}
        self._hits: Counter[str] = Counter()
        self._since = 0.0
        self._not_before = 0.0
        self._lock = RLock()

    def where(self, keys: Sequence[str]) -> dict[str, Held]:
        """Which of these keys are held."""
        self.commit_when_due()
        rows, plain = self._rows, self._plain
        found = {}
        if rows or plain:
            for key in keys:
                if (row := rows.get(key)) is not None:
                    found[key] = Held("disk", row.entry.seconds, row.entry.made)
                elif (result := plain.get(key)) is not None:
                    found[key] = Held("disk", result.seconds, result.made)
        for key, seconds, made in self.folder.index.reader.times(keys):
            found[key] = Held("disk", seconds, made)
        return found

    def read(self, key: str, output: str | None = None) -> tuple[Entry, dict[str, Packed]] | Found | None:
        """An entry and its outputs as bytes, all or one; a damaged one is removed and told instead."""
        self.commit_when_due()
        row, result = self._rows.get(key), self._plain.get(key)
        if result is not None:
            entry: Entry | None = Entry(*plain_row(key, result))
        else:
            entry = row.entry if row is not None else self.folder.index.reader.entry(key)
        if entry is None:
            return None

        def bytes_of(part: PartRow) -> bytes:
            short = None if row is None else row.short.get(part.digest)
            return self.folder.part(part) if short is None else short

        try:
            return entry, entry.packed(bytes_of, output)
        except Damaged as damage:
            with self._lock:
                self._forget(key)
                if row is not None or not self.folder.drop(entry, damage):
                    return None  # a file of it was evicted meanwhile
            return Found(key, entry.node_type, str(damage))

    def touch(self, key: str) -> None:
        """Note that a result was used; raises nothing."""
        self._used[key] = time.time()

    def count(self, hits: Mapping[str, int]) -> None:
        """Note how often results of which node types were there when they were wanted."""
        with self._lock:
            if not (self._rows or self._plain or self._hits):
                self._since = time.monotonic()
            self._hits.update(hits)

    def takes(self, key: str) -> bool:
        """Whether a result under this key would be kept, for all that is known without packing it."""
        return key not in self._rows and key not in self._plain and len(self) < _MOST_ROWS

    def __len__(self) -> int:
        """How many results wait."""
        return len(self._rows) + len(self._plain)

    def save_plain(self, key: str, result: Result, size: int) -> None:
        """Keep a result whose `plain_bytes` are these, unless there is no room to be made for it."""
        if size > self.folder.limit:
            return
        with self._lock:
            if self.takes(key):
                if not (self._rows or self._plain):
                    self._since = time.monotonic()
                self._plain[key] = result
                self._wait(size)

    def save(self, entry: Entry, parts: Mapping[str, bytes]) -> None:
        """Keep a result unless there is no room to be made for it."""
        row = Pending(entry, parts)
        if row.row_bytes + row.file_bytes > self.folder.limit:
            return
        if row.files:
            if not self._reserve(row.file_bytes):
                return
            try:
                row.brought = self.folder.write({digest: parts[digest] for digest in row.files})
            except OSError:
                self._release(row.file_bytes)
                raise
        with self._lock:
            if not self.takes(entry.key):
                self._release(row.file_bytes)
                self._discard(row)
                return
            if not (self._rows or self._plain):
                self._since = time.monotonic()
            self._rows[entry.key] = row
            self._wait(row.row_bytes)

    def _wait(self, size: int) -> None:
        """Count in what has just begun to wait."""
        self._row_bytes += size
        if len(self) >= ROWS or self._row_bytes >= self.folder.index.log_bytes:
            self._since = 0.0
        self.commit_when_due()

    def commit(self) -> None:
        """Write the waiting rows and times of use in one transaction.

        When that fails the rows wait on while the index is locked, half of them go when it is full, and all
        when it is anything else.
        """
        with self._lock:
            rows, plain = self._rows, self._plain
            if not (rows or plain or self._used or self._hits):
                return
            used, self._used = self._used, {}
            hits, self._hits = self._hits, Counter()
            try:
                evicted = self.folder.insert(rows.values(), plain, used, hits, self._file_bytes)
            except (OSError, sqlite3.Error) as error:
                trouble = Trouble.of(error)
                if trouble is Trouble.LOCKED:
                    self._not_before = time.monotonic() + 3 * BUSY_SECONDS
                else:
                    small_first = [*plain, *sorted(rows, key=lambda key: rows[key].file_bytes)]
                    for key in small_first[len(self) // 2 if trouble is Trouble.FULL else 0 :]:
                        self._forget(key)
                    self.commit()  # what is left may find room in place of the files that went
                raise
            self._release(sum(row.file_bytes for row in rows.values()))
            self._row_bytes = 0
            rows.clear()
            plain.clear()
            if evicted:
                self.folder.remove_doomed()

    def clear(self, node_type: str | None, unused_since: float | None) -> tuple[int, int]:
        """Forget results as `Folder.clear` does, but for what waits."""
        with self._lock:
            waiting = {digest for row in self._rows.values() for digest in row.files}
            return self.folder.clear(node_type, unused_since, waiting)

    def commit_when_due(self) -> float | None:
        """Commit what has waited long enough; returns in how many seconds what is left is due, if any."""
        if not (self._rows or self._plain or self._hits):
            return None
        due = max(self._since + SECONDS, self._not_before) - time.monotonic()
        if due > 0:
            return due
        self.commit()
        return None

    def _reserve(self, size: int) -> bool:
        """Set room aside for files, if there is any or some can be made."""
        with self._lock:
            if not self.folder.lease(self._file_bytes + size):
                self.commit()  # rows that wait cannot be evicted
                if not self.folder.make_room(self._file_bytes + size):
                    return False
            self._file_bytes += size
            return True

    def _release(self, size: int) -> None:
        with self._lock:
            self._file_bytes -= size

    def _forget(self, key: str) -> None:
        """Let go of a waiting row, and of the files that it brought."""
        self._plain.pop(key, None)
        row = self._rows.pop(key, None)
        if row is not None:
            self._row_bytes -= row.row_bytes
            self._release(row.file_bytes)
            self._discard(row)

    def _discard(self, row: Pending) -> None:
        """Delete the files that a row brought, unless another that waits holds them."""
        held = {digest for other in self._rows.values() for digest in other.files}
        self.folder.discard([digest for digest in row.brought if digest not in held])
