"""The index of a disk store: one SQLite file that says which results are kept and in which files."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from engine import faults
from engine.store.entry import ROW_BYTES, plain_row
from engine.store.layout import (
    BATCH,
    BUSY_SECONDS,
    PAGE,
    connect,
    hash_of,
    of_hashes,
    of_keys,
    prepare,
    transaction,
)
from engine.store.pending import Pending
from engine.store.rank import worth
from engine.store.reader import Reader
from engine.store.store import Result

_PATIENCE = 0.05  # seconds to wait for others before the log stays as long as it is
_MOST_LOGS = 3  # how long it may grow meanwhile, in logs of the usual length


class Index:
    """Rows, parts and the sizes of blobs, as they are written; `reader` reads them and never waits for that.

    The tables: `entries` are the results, `inlined` the short parts, `blobs` the sizes of the long ones,
    `parts` which entry holds which, `doomed` files that nobody holds any more but that still lie there,
    `leases` the room that each process has for files whose rows are not written yet, `uses` how often results
    of a node type were there when they were wanted, and how often they had to be made.

    Every method may raise sqlite3.Error; those that write want to be called inside `writing`. Two processes
    must not make an `Index` at the same instant (turning on the log does not wait for a lock by itself).

    Args:
        path: the file, made when it does not exist.
        log_bytes: the write-ahead log is brought home and begun again when it has grown to this size.

    Raises:
        Newer: the file has a newer layout; it was not touched.
    """

    def __init__(self, path: Path, log_bytes: int) -> None:
        self.log_bytes = log_bytes
        self._log = f"{path}-wal"
        self._not_before = 0.0
        self._lock = RLock()
        self._writer = connect(path)
        try:
            self.fresh = prepare(self._writer, log_bytes)
            """Whether there was no index before."""
            self.reader = Reader(path)
        except BaseException:
            self._writer.close()
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction, alone among all threads and processes; nothing of it stays if it fails."""
        with self._lock:
            self._wait_for_log()
            with transaction(self._writer):
                yield
            now = time.monotonic()
            if now >= self._not_before and _size(self._log) > self.log_bytes:
                if not self._shorten_log(_PATIENCE):
                    self._not_before = now + 2 * _PATIENCE

    def kept(self) -> int:
        """What the index and the blobs that it knows take, in bytes, once this transaction is over."""
        with self._lock:
            pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
            return pages * PAGE + self._number("SELECT value FROM numbers WHERE name = 'blob_bytes'")

    def size(self) -> int:
        """The same with the doomed files."""
        with self._lock:
            return self.kept() + self._number("SELECT value FROM numbers WHERE name = 'doomed_bytes'")

    def leased(self) -> int:
        """How much room all processes have on lease, in bytes."""
        with self._lock:
            return self._number("SELECT total(bytes) FROM leases")

    def lease(self, who: str, size: int) -> None:
        """Set the lease of a process."""
        self._writer.execute("INSERT OR REPLACE INTO leases VALUES (?, ?)", (who, size))

    def end_lease(self, who: str) -> None:
        """Forget the lease of a process."""
        self._writer.execute("DELETE FROM leases WHERE who = ?", (who,))

    def end_leases(self) -> None:
        """Forget all leases; for when no other process is using the folder, and the files were swept."""
        self._writer.execute("DELETE FROM leases")

    def blobs(self) -> set[str]:
        """The digests of all files that the index knows."""
        with self._lock:
            return {row[0] for row in self._writer.execute("SELECT digest FROM blobs")}

    def knows(self, digest: str) -> bool:
        """Whether an entry holds this file."""
        return bool(self._writer.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone())

    def insert(self, waiting: Sequence[Pending]) -> list[Pending]:
        """Add rows with the sizes of their parts, and the bytes of the short ones.

        Returns:
            the rows that were left out, since others with their keys are held already.
        """
        held = {row.key for row in self._held([row.entry.key for row in waiting])}
        now, floor = time.time(), self._floor()
        number = self._number("SELECT coalesce(max(id), 0) FROM entries")
        rows, parts, left_out = [], [], []
        short: dict[str, bytes] = {}
        files: dict[str, int] = {}
        for row in waiting:
            entry = row.entry
            if entry.key in held:
                left_out.append(row)
                continue
            number += 1
            size = row.row_bytes + row.file_bytes
            columns = (entry.key, entry.outputs, entry.node_type, entry.seconds, entry.made, entry.check)
            rows.append((number, hash_of(entry.key), *columns, size, now, floor + worth(entry.seconds, size)))
            parts += [(number, digest) for digest in row.sizes]
            short |= row.short
            files |= {digest: row.sizes[digest] for digest in row.files}
        if faults.ON:
            faults.at("index.insert")
        run = self._writer.executemany
        run("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        run("INSERT OR REPLACE INTO parts VALUES (?, ?)", parts)
        run("INSERT OR REPLACE INTO inlined VALUES (?, ?)", short.items())
        for digest, size in files.items():
            if self._writer.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, size)).rowcount:
                self._grow("blob_bytes", size)
        return left_out

    def insert_plain(self, waiting: Mapping[str, Result]) -> None:
        """Add rows of plain results, but for those whose keys are held already."""
        now, floor = time.time(), self._floor()
        hashes = dict(zip(waiting, map(hash_of, waiting), strict=True))
        held = {row[0] for row in of_hashes(self._writer, "key", list(hashes.values()))}
        rows = []
        for key, hashed in hashes.items():
            if key not in held:
                columns = plain_row(key, waiting[key])
                size = len(columns[1]) + ROW_BYTES
                rows.append((hashed, *columns, size, now, floor + worth(columns[3], size)))
        self._writer.executemany("INSERT INTO entries VALUES (NULL, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)

    def touch(self, used: Mapping[str, float]) -> None:
        """Note when entries were used last."""
        floor = self._floor()
        rows = [
            (used[row.key], floor + worth(row.seconds, row.bytes), row.id) for row in self._held(list(used))
        ]
        self._writer.executemany("UPDATE entries SET used = max(used, ?), rank = ? WHERE id = ?", rows)

    def count(self, hits: Mapping[str, int], made: Mapping[str, int]) -> None:
        """Count what was there and what had to be made, by node type."""
        rows = [(name, hits.get(name, 0), made.get(name, 0)) for name in {*hits, *made}]
        self._writer.executemany(
            "INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT (node_type) "
            "DO UPDATE SET hits = hits + excluded.hits, made = made + excluded.made",
            rows,
        )

    def forget_counts(self) -> None:
        """Begin to count anew."""
        self._writer.execute("DELETE FROM uses")

    def delete(self, keys: Sequence[str]) -> None:
        """Drop entries, and doom the files that only they held."""
        self._delete([row.id for row in self._held(keys)])

    def delete_holders(self, digest: str) -> None:
        """Drop all entries that hold a part."""
        rows = self._writer.execute("SELECT entry FROM parts WHERE digest = ?", (digest,))
        self._delete([row[0] for row in rows.fetchall()])

    def _delete(self, ids: Sequence[int]) -> None:
        run = self._writer.execute
        for start in range(0, len(ids), BATCH):
            batch = ids[start : start + BATCH]
            marks = ",".join("?" * len(batch))
            digests = {row[0] for row in run(f"SELECT digest FROM parts WHERE entry IN ({marks})", batch)}
            run(f"DELETE FROM parts WHERE entry IN ({marks})", batch)
            run(f"DELETE FROM entries WHERE id IN ({marks})", batch)
            for digest in digests:
                if run("SELECT 1 FROM parts WHERE digest = ?", (digest,)).fetchone():
                    continue
                run("DELETE FROM inlined WHERE digest = ?", (digest,))
                gone = run("SELECT size FROM blobs WHERE digest = ?", (digest,)).fetchone()
                if gone:
                    run("DELETE FROM blobs WHERE digest = ?", (digest,))
                    run("INSERT OR IGNORE INTO doomed VALUES (?)", (digest,))
                    self._grow("blob_bytes", -gone[0])
                    self._grow("doomed_bytes", gone[0])

    def shrink(self, limit: int) -> int:
        """Evict the lowest ranks until everything fits into `limit` bytes; returns how many went."""
        count = 0
        while (excess := self.kept() - limit) > 0:
            if faults.ON:
                faults.at("index.evict")
            ids, floor = [], 0.0
            lowest = "SELECT id, bytes, rank FROM entries ORDER BY rank, used LIMIT 1000"
            for number, size, rank in self._writer.execute(lowest).fetchall():
                ids.append(number)
                floor = rank
                excess -= size
                if excess <= 0:
                    break
            if not ids:
                break
            self._writer.execute("UPDATE numbers SET value = ? WHERE name = 'floor'", (floor,))
            self._delete(ids)
            count += len(ids)
        return count

    def compact(self) -> None:
        """Bring the log home, so that the file is as short as its rows allow; outside `writing`."""
        with self._lock:
            if faults.ON:
                faults.at("index.checkpoint")
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def _wait_for_log(self) -> None:
        """Write nothing while the log is far too long; somebody is bringing it home, or this one does."""
        deadline = time.monotonic() + BUSY_SECONDS
        while _size(self._log) > _MOST_LOGS * self.log_bytes and not self._shorten_log(_PATIENCE):
            if time.monotonic() > deadline:
                raise _locked("somebody reads it without end, and its log is too long already")
            time.sleep(0.002)

    def _shorten_log(self, patience: float) -> bool:
        """Bring the log home and begin it again, if others leave room for that soon enough; says whether.

        SQLite would do so by itself only at a moment when nobody reads or writes, and under several busy
        processes that is never.
        """
        with suppress(sqlite3.Error):  # what was written is written, whether the log is long or short
            self._writer.execute(f"PRAGMA busy_timeout = {int(patience * 1000)}")
            try:
                busy: int = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                return not busy
            finally:
                self._writer.execute(f"PRAGMA busy_timeout = {int(BUSY_SECONDS * 1000)}")
        return False

    def doomed(self) -> list[str]:
        """The files to delete; whoever deletes them calls `undoom` in the same transaction."""
        statement = "SELECT digest FROM doomed WHERE digest NOT IN (SELECT digest FROM blobs)"
        return [row[0] for row in self._writer.execute(statement)]

    def undoom(self) -> None:
        """Forget the files that had to be deleted."""
        self._writer.execute("DELETE FROM doomed")
        self._writer.execute("UPDATE numbers SET value = 0 WHERE name = 'doomed_bytes'")

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            if faults.ON:
                faults.at("index.checkpoint")
            self.reader.close()
            self._writer.close()

    def _held(self, keys: Sequence[str]) -> list[_Row]:
        return [_Row(*row) for row in of_keys(self._writer, "id, seconds, bytes", keys)]

    def _floor(self) -> float:
        row = self._writer.execute("SELECT value FROM numbers WHERE name = 'floor'").fetchone()
        return float(row[0])

    def _grow(self, name: str, size: int) -> None:
        self._writer.execute("UPDATE numbers SET value = value + ? WHERE name = ?", (size, name))

    def _number(self, statement: str) -> int:
        return int(self._writer.execute(statement).fetchone()[0])


def _locked(why: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(why)
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0


class _Row(NamedTuple):
    key: str
    id: int
    seconds: float
    bytes: int
