"""Writes the index of the disk tier: one SQLite file that lists the stored results and their files."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from engine.failpoints import failpoint
from engine.store.result_eviction import lowest_rows, worth
from engine.store.shared_folder import schema
from engine.store.shared_folder.entry import NewEntry
from engine.store.shared_folder.schema import BATCH, PAGE, connect, hash_of, prepare, select_keys, transaction

_CHECKPOINT_SECONDS = 0.05  # how long shortening the log waits for readers
_MOST_LOGS = 3  # the most times the usual length that the log may grow to while readers block it
_LOCKED_SECONDS = 30.0  # after a failed wait for a lock, later attempts fail at once for this long


class Index:
    """The SQLite tables of results, short parts and file sizes.

    The tables: `entries` has the results, `inlined` the short parts, `blobs` the sizes of the files, `parts`
    says which entry uses which part, `doomed` lists the files to delete because no entry uses them any more,
    `leases` has the bytes that each process has reserved for files whose rows are not inserted yet, and
    `uses` counts how many results of each node type were reused and computed.

    Every method may raise sqlite3.Error. Call methods that write inside `writing`. Two processes must not
    create an `Index` at the same time, because switching to a write-ahead log does not wait for locks.

    Args:
        path: the file; it is created if it does not exist.
        log_bytes: the length in bytes at which the write-ahead log is copied into the file and restarted.

    Raises:
        Newer: a newer version of this program created the file, which is left unchanged.
    """

    def __init__(self, path: Path, log_bytes: int) -> None:
        self.log_bytes = log_bytes
        self._path, self._log = str(path), f"{path}-wal"
        self._checkpoint_not_before = 0.0
        self._locked_until = 0.0
        self._lock = RLock()
        self._writer = connect(path)
        try:
            self.fresh = prepare(self._writer, log_bytes)
            """True if the file was newly created."""
        except BaseException:
            self._writer.close()
            raise

    @contextmanager
    def writing(self) -> Iterator[None]:
        """Run a `with` block as one transaction, during which no other thread or process writes."""
        with self._lock:
            self._wait_for_log()
            with self._patience(), transaction(self._writer):
                yield
            now = time.monotonic()
            if now >= self._checkpoint_not_before and _size(self._log) > self.log_bytes:
                if not self._shorten_log():
                    self._checkpoint_not_before = now + 2 * _CHECKPOINT_SECONDS

    @contextmanager
    def _patience(self) -> Iterator[None]:
        """Let a `with` block wait for a locked index, but not for `_LOCKED_SECONDS` after a failed wait."""
        hurried = time.monotonic() < self._locked_until
        if hurried:
            self._writer.execute("PRAGMA busy_timeout = 0")
        try:
            yield
            self._locked_until = 0.0
        except sqlite3.Error as error:
            if getattr(error, "sqlite_errorcode", 0) & 0xFF == sqlite3.SQLITE_BUSY:
                self._locked_until = time.monotonic() + _LOCKED_SECONDS
            raise
        finally:
            if hurried:
                self._set_timeout(schema.BUSY_SECONDS)

    def kept(self) -> int:
        """Return the bytes that the index and the files of its entries take after this transaction."""
        with self._lock:
            pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
            return pages * PAGE + self._number("SELECT value FROM numbers WHERE name = 'blob_bytes'")

    def size(self) -> int:
        """Return the bytes of the index, of the files of its entries, and of the files to delete."""
        with self._lock:
            return self.kept() + self._number("SELECT value FROM numbers WHERE name = 'doomed_bytes'")

    def on_disk(self) -> int:
        """Return the bytes that the index, its log and all files of results take on the disk now."""
        with self._lock:
            files = self._number(
                "SELECT total(value) FROM numbers WHERE name IN ('blob_bytes', 'doomed_bytes')"
            )
        return files + _size(self._path) + _size(self._log)

    def leased(self) -> int:
        """Return the total bytes that all processes have leased."""
        with self._lock:
            return self._number("SELECT total(bytes) FROM leases")

    def lease(self, process: str, size: int) -> None:
        """Set the lease of a process to `size` bytes."""
        self._writer.execute("INSERT OR REPLACE INTO leases VALUES (?, ?)", (process, size))

    def end_lease(self, process: str) -> None:
        """Remove the lease of a process."""
        self._writer.execute("DELETE FROM leases WHERE who = ?", (process,))

    def end_leases(self) -> None:
        """Remove all leases. Call this only while no other process uses the folder."""
        self._writer.execute("DELETE FROM leases")

    def blobs(self) -> set[str]:
        """Return the digests of all files that entries use."""
        with self._lock:
            return {row[0] for row in self._writer.execute("SELECT digest FROM blobs")}

    def knows(self, digest: str) -> bool:
        """Return True if an entry uses this file."""
        return bool(self._writer.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone())

    def insert(self, waiting: Sequence[NewEntry]) -> list[NewEntry]:
        """Add entries with their short parts and the sizes of their files.

        Returns:
            the entries that were left out because their keys exist already.
        """
        held = {row.key for row in self._rows([new.entry.key for new in waiting])}
        now, floor = time.time(), self._floor()
        number = self._number("SELECT coalesce(max(id), 0) FROM entries")
        rows, parts, left_out = [], [], []
        short: dict[str, bytes] = {}
        files: dict[str, int] = {}
        for new in waiting:
            entry = new.entry
            if entry.key in held:
                left_out.append(new)
                continue
            number += 1
            size = new.row_bytes + new.file_bytes
            rows.append((number, hash_of(entry.key), *entry, size, now, floor + worth(entry.seconds, size)))
            if new.sizes:
                parts += [(number, digest) for digest in new.sizes]
                short |= new.short
                files |= {digest: new.sizes[digest] for digest in new.files}
        failpoint("index.insert")
        run = self._writer.executemany
        run("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        run("INSERT OR REPLACE INTO parts VALUES (?, ?)", parts)
        run("INSERT OR REPLACE INTO inlined VALUES (?, ?)", short.items())
        for digest, size in files.items():
            if self._writer.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, size)).rowcount:
                self._grow("blob_bytes", size)
        return left_out

    def touch(self, used: Mapping[str, float]) -> None:
        """Record when entries were last used, by key, and update their ranks for eviction."""
        floor = self._floor()
        rows = [
            (used[row.key], floor + worth(row.seconds, row.bytes), row.id) for row in self._rows(list(used))
        ]
        self._writer.executemany("UPDATE entries SET used = max(used, ?), rank = ? WHERE id = ?", rows)

    def count(self, hits: Mapping[str, int], made: Mapping[str, int]) -> None:
        """Add to the counts of reused (`hits`) and computed (`made`) results, by node type."""
        rows = [(name, hits.get(name, 0), made.get(name, 0)) for name in {*hits, *made}]
        self._writer.executemany(
            "INSERT INTO uses VALUES (?, ?, ?) ON CONFLICT (node_type) "
            "DO UPDATE SET hits = hits + excluded.hits, made = made + excluded.made",
            rows,
        )

    def forget_counts(self) -> None:
        """Delete the counts of reused and computed results."""
        self._writer.execute("DELETE FROM uses")

    def delete(self, keys: Sequence[str]) -> None:
        """Delete entries, and list files that no other entry uses in `doomed`."""
        self._delete([row.id for row in self._rows(keys)])

    def delete_holders(self, digest: str) -> None:
        """Delete all entries that use a part."""
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
                file = run("SELECT size FROM blobs WHERE digest = ?", (digest,)).fetchone()
                if file:
                    run("DELETE FROM blobs WHERE digest = ?", (digest,))
                    run("INSERT OR IGNORE INTO doomed VALUES (?)", (digest,))
                    self._grow("blob_bytes", -file[0])
                    self._grow("doomed_bytes", file[0])

    def shrink(self, limit: int) -> int:
        """Evict entries until the rest fits into `limit` bytes; return the number of evicted entries."""
        count = 0
        while (excess := self.kept() - limit) > 0:
            failpoint("index.evict")
            ids, floor = lowest_rows(self._writer, excess)
            if not ids:
                break
            self._writer.execute("UPDATE numbers SET value = ? WHERE name = 'floor'", (floor,))
            self._delete(ids)
            count += len(ids)
        return count

    def files_by_rank(self, last: Sequence[str] = ()) -> list[tuple[str, int]]:
        """Return the digests and sizes of all files, in the order in which their entries would be evicted.

        Args:
            last: keys of entries whose files come after all others.
        """
        statement = (
            "SELECT blobs.digest, blobs.size FROM blobs JOIN parts USING (digest) "
            "JOIN entries ON entries.id = parts.entry GROUP BY blobs.digest ORDER BY max(entries.rank)"
        )
        files: list[tuple[str, int]] = self._writer.execute(statement).fetchall()
        held: set[str] = set()
        for row in self._rows(last):
            held.update(*self._writer.execute("SELECT digest FROM parts WHERE entry = ?", (row.id,)))
        return sorted(files, key=lambda file: file[0] in held)  # else in the same order

    def doomed(self) -> list[str]:
        """Return the digests of the files to delete; call `undoom` in the transaction that deletes them."""
        statement = "SELECT digest FROM doomed WHERE digest NOT IN (SELECT digest FROM blobs)"
        return [row[0] for row in self._writer.execute(statement)]

    def undoom(self) -> None:
        """Clear the list of files to delete."""
        self._writer.execute("DELETE FROM doomed")
        self._writer.execute("UPDATE numbers SET value = 0 WHERE name = 'doomed_bytes'")

    def compact(self) -> None:
        """Copy the log into the file, which releases unused pages. Do not call this inside `writing`."""
        with self._lock:
            failpoint("index.checkpoint")
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def close(self) -> None:
        """Close the file."""
        with self._lock:
            failpoint("index.checkpoint")
            self._writer.close()

    def _wait_for_log(self) -> None:
        """Shorten a log that is far too long; raise an error if other processes prevent it for too long."""
        deadline = time.monotonic() + schema.BUSY_SECONDS
        while _size(self._log) > _MOST_LOGS * self.log_bytes and not self._shorten_log():
            if time.monotonic() > deadline:
                raise _locked("another process is reading it, so its log cannot be shortened")
            time.sleep(0.002)

    def _shorten_log(self) -> bool:
        """Copy the log into the file and restart the log; return False if readers prevent it.

        SQLite alone would restart the log only while no process reads or writes, which may never happen if
        several processes are busy.
        """
        with suppress(sqlite3.Error):  # a long log is not an error
            self._set_timeout(_CHECKPOINT_SECONDS)
            try:
                busy: int = self._writer.execute("PRAGMA wal_checkpoint(TRUNCATE)").fetchone()[0]
                return not busy
            finally:
                self._set_timeout(schema.BUSY_SECONDS)
        return False

    def _set_timeout(self, seconds: float) -> None:
        self._writer.execute(f"PRAGMA busy_timeout = {int(seconds * 1000)}")

    def _rows(self, keys: Sequence[str]) -> list[_Row]:
        return [_Row(*row) for row in select_keys(self._writer, "id, seconds, bytes", keys)]

    def _floor(self) -> float:
        row = self._writer.execute("SELECT value FROM numbers WHERE name = 'floor'").fetchone()
        return float(row[0])

    def _grow(self, name: str, size: int) -> None:
        self._writer.execute("UPDATE numbers SET value = value + ? WHERE name = ?", (size, name))

    def _number(self, statement: str) -> int:
        return int(self._writer.execute(statement).fetchone()[0])


class _Row(NamedTuple):
    key: str
    id: int
    seconds: float
    bytes: int


def _locked(reason: str) -> sqlite3.OperationalError:
    error = sqlite3.OperationalError(reason)
    error.sqlite_errorcode = sqlite3.SQLITE_BUSY
    return error


def _size(path: str) -> int:
    try:
        return os.stat(path).st_size
    except OSError:
        return 0
