"""The index of a disk store: one SQLite file that says which results are kept and in which files."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Iterator, Mapping, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import RLock
from typing import Any, NamedTuple
from zlib import crc32

from engine.store.entry import Entry
from engine.store.pending import Pending
from engine.store.rank import worth

VERSION = 1
BUSY_SECONDS = 10.0
_PAGE = 4096
_BATCH = 500

# Keys are random text, and an index over them would rewrite a page for nearly every new row. A short hash
# makes that index a sixth of the size; rows of equal hash are told apart by their key.
_SCHEMA = """
CREATE TABLE entries (
  id INTEGER PRIMARY KEY, hash INTEGER NOT NULL, key TEXT NOT NULL, outputs TEXT NOT NULL,
  node_type TEXT NOT NULL, seconds REAL NOT NULL, made REAL NOT NULL, proof BLOB NOT NULL,
  bytes INTEGER NOT NULL, used REAL NOT NULL, rank REAL NOT NULL);
CREATE INDEX entries_by_hash ON entries (hash);
CREATE INDEX entries_by_rank ON entries (rank, used);
CREATE TABLE parts (entry INTEGER, digest TEXT, PRIMARY KEY (entry, digest)) WITHOUT ROWID;
CREATE INDEX parts_by_digest ON parts (digest);
CREATE TABLE inlined (digest TEXT PRIMARY KEY, data BLOB NOT NULL);
CREATE TABLE blobs (digest TEXT PRIMARY KEY, size INTEGER NOT NULL) WITHOUT ROWID;
CREATE TABLE doomed (digest TEXT PRIMARY KEY) WITHOUT ROWID;
CREATE TABLE numbers (name TEXT PRIMARY KEY, value REAL NOT NULL) WITHOUT ROWID;
INSERT INTO numbers VALUES ('blob_bytes', 0), ('floor', 0);
"""


class Newer(Exception):
    """The index was written by a newer version of this program."""


class Index:
    """Rows, parts and the sizes of blobs. Reading never waits for writing.

    The tables: `entries` are the results, `inlined` the short parts, `blobs` the sizes of the long ones,
    `parts` which entry holds which, `doomed` files that nobody holds any more but that still lie there.

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
        self.fresh = False
        """Whether there was no index before."""
        self._lock = RLock()
        self._read_lock = RLock()
        self._writer = _connect(path)
        try:
            self._prepare()
            self._reader = _connect(path)
            self._reader.execute("PRAGMA query_only = 1")
        except BaseException:
            self._writer.close()
            raise

    def _prepare(self) -> None:
        if self._number("PRAGMA user_version") > VERSION:
            raise Newer
        self._writer.execute("PRAGMA auto_vacuum = FULL")
        self._writer.execute("PRAGMA journal_mode = WAL")
        self._writer.execute("PRAGMA synchronous = NORMAL")
        self._writer.execute(f"PRAGMA wal_autocheckpoint = {max(self.log_bytes // _PAGE, 1)}")
        self._writer.execute(f"PRAGMA journal_size_limit = {self.log_bytes}")
        with self.writing():
            if self._number("PRAGMA user_version") == 0:
                self.fresh = True
                for statement in _SCHEMA.strip().split(";\n"):
                    self._writer.execute(statement)
                self._writer.execute(f"PRAGMA user_version = {VERSION}")
            off = self._number(
                "SELECT (SELECT total(size) FROM blobs) - value FROM numbers WHERE name = 'blob_bytes'"
            )
            if off:
                self._grow(off)

    @contextmanager
    def writing(self) -> Iterator[None]:
        """One transaction, alone among all threads and processes; nothing of it stays if it fails."""
        with self._lock:
            self._writer.execute("BEGIN IMMEDIATE")
            try:
                yield
                self._writer.execute("COMMIT")
            except BaseException:
                with suppress(sqlite3.Error):
                    self._writer.execute("ROLLBACK")
                raise

    def times(self, keys: Sequence[str]) -> list[tuple[str, float, float]]:
        """Key, seconds and time made of those of the keys that are held."""
        wanted = set(keys)
        statement = "SELECT key, CAST(seconds AS REAL), CAST(made AS REAL) FROM entries"
        with self._read_lock:
            return [row for row in _of_keys(self._reader, statement, keys) if row[0] in wanted]

    def entry(self, key: str) -> Entry | None:
        """The row of a key."""
        statement = (
            "SELECT key, outputs, node_type, seconds, made, proof FROM entries WHERE hash = ? AND key = ?"
        )
        with self._read_lock:
            row = self._reader.execute(statement, (_hash(key), key)).fetchone()
        return None if row is None else Entry(*row)

    def inlined(self, digest: str) -> bytes | None:
        """The bytes of a short part, unverified."""
        with self._read_lock:
            row = self._reader.execute("SELECT data FROM inlined WHERE digest = ?", (digest,)).fetchone()
        return None if row is None else bytes(row[0]) if isinstance(row[0], bytes) else b""

    def keys(self, node_type: str | None = None, unused_since: float | None = None) -> list[str]:
        """The keys held, of one node type (of every version of it when none is named), long unused."""
        statement = (
            "SELECT key FROM entries WHERE (?1 IS NULL OR node_type = ?1 OR "
            "substr(node_type, 1, length(?1) + 1) = ?1 || '@') AND (?2 IS NULL OR used < ?2)"
        )
        with self._read_lock:
            rows = self._reader.execute(statement, (node_type, unused_since)).fetchall()
        return [row[0] for row in rows]

    def by_type(self) -> dict[str, tuple[int, int]]:
        """Node type -> (entries, bytes), largest first."""
        statement = "SELECT node_type, count(*), sum(bytes) FROM entries GROUP BY 1 ORDER BY 3 DESC, 1"
        with self._read_lock:
            return {name: (count, size) for name, count, size in self._reader.execute(statement)}

    def size(self) -> int:
        """What the index and the blobs take on disk, in bytes, once this transaction is over."""
        with self._lock:
            pages = self._number("PRAGMA page_count") - self._number("PRAGMA freelist_count")
            return pages * _PAGE + self._number("SELECT value FROM numbers WHERE name = 'blob_bytes'")

    def blobs(self) -> set[str]:
        """The digests of all files that the index knows."""
        with self._lock:
            return {row[0] for row in self._writer.execute("SELECT digest FROM blobs")}

    def knows(self, digest: str) -> bool:
        """Whether an entry holds this file."""
        return bool(self._writer.execute("SELECT 1 FROM blobs WHERE digest = ?", (digest,)).fetchone())

    def insert(self, waiting: Sequence[Pending]) -> None:
        """Add rows with the sizes of their parts, and the bytes of the short ones."""
        held = {row.key for row in self._held([row.entry.key for row in waiting])}
        now, floor = time.time(), self._floor()
        number = self._number("SELECT coalesce(max(id), 0) FROM entries")
        rows, parts = [], []
        short: dict[str, bytes] = {}
        files: dict[str, int] = {}
        for row in waiting:
            entry = row.entry
            if entry.key in held:
                continue
            number += 1
            size = row.row_bytes + row.file_bytes
            columns = (entry.key, entry.outputs, entry.node_type, entry.seconds, entry.made, entry.check)
            rows.append((number, _hash(entry.key), *columns, size, now, floor + worth(entry.seconds, size)))
            parts += [(number, digest) for digest in row.sizes]
            short |= row.short
            files |= {digest: row.sizes[digest] for digest in row.files}
        run = self._writer.executemany
        run("INSERT INTO entries VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?, ?)", rows)
        run("INSERT OR REPLACE INTO parts VALUES (?, ?)", parts)
        run("INSERT OR REPLACE INTO inlined VALUES (?, ?)", short.items())
        for digest, size in files.items():
            if self._writer.execute("INSERT OR IGNORE INTO blobs VALUES (?, ?)", (digest, size)).rowcount:
                self._grow(size)

    def touch(self, used: Mapping[str, float]) -> None:
        """Note when entries were used last."""
        floor = self._floor()
        rows = [
            (used[row.key], floor + worth(row.seconds, row.bytes), row.id) for row in self._held(list(used))
        ]
        self._writer.executemany("UPDATE entries SET used = max(used, ?), rank = ? WHERE id = ?", rows)

    def delete(self, keys: Sequence[str]) -> None:
        """Drop entries, and doom the files that only they held."""
        self._delete([row.id for row in self._held(keys)])

    def delete_holders(self, digest: str) -> None:
        """Drop all entries that hold a part."""
        rows = self._writer.execute("SELECT entry FROM parts WHERE digest = ?", (digest,))
        self._delete([row[0] for row in rows.fetchall()])

    def _delete(self, ids: Sequence[int]) -> None:
        run = self._writer.execute
        for start in range(0, len(ids), _BATCH):
            batch = ids[start : start + _BATCH]
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
                    self._grow(-gone[0])

    def shrink(self, limit: int) -> int:
        """Evict the lowest ranks until everything fits into `limit` bytes; returns how many went."""
        count = 0
        while (excess := self.size() - limit) > 0:
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
            self._writer.execute("PRAGMA wal_checkpoint(PASSIVE)").fetchall()

    def doomed(self) -> list[str]:
        """The files to delete; whoever deletes them calls `undoom` in the same transaction."""
        statement = "SELECT digest FROM doomed WHERE digest NOT IN (SELECT digest FROM blobs)"
        return [row[0] for row in self._writer.execute(statement)]

    def undoom(self) -> None:
        """Forget the files that had to be deleted."""
        self._writer.execute("DELETE FROM doomed")

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file itself; reads all of it."""
        with self._read_lock:
            rows = self._reader.execute("PRAGMA quick_check(10)").fetchall()
        return [row[0] for row in rows if row[0] != "ok"]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock, self._read_lock:
            self._reader.close()
            self._writer.close()

    def _held(self, keys: Sequence[str]) -> list[_Row]:
        wanted = set(keys)
        statement = "SELECT key, id, seconds, bytes FROM entries"
        return [_Row(*row) for row in _of_keys(self._writer, statement, keys) if row[0] in wanted]

    def _floor(self) -> float:
        row = self._writer.execute("SELECT value FROM numbers WHERE name = 'floor'").fetchone()
        return float(row[0])

    def _grow(self, size: int) -> None:
        self._writer.execute("UPDATE numbers SET value = value + ? WHERE name = 'blob_bytes'", (size,))

    def _number(self, statement: str) -> int:
        return int(self._writer.execute(statement).fetchone()[0])


class _Row(NamedTuple):
    key: str
    id: int
    seconds: float
    bytes: int


def _of_keys(connection: sqlite3.Connection, select: str, keys: Sequence[str]) -> Iterator[Any]:
    """The rows that a SELECT finds for these keys, and a few whose keys have the same hash."""
    for start in range(0, len(keys), _BATCH):
        batch = [_hash(key) for key in keys[start : start + _BATCH]]
        yield from connection.execute(f"{select} WHERE hash IN ({','.join('?' * len(batch))})", batch)


def _hash(key: str) -> int:
    return crc32(key.encode(errors="surrogatepass"))


def _connect(path: Path) -> sqlite3.Connection:
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # A damaged page must not stop a whole query: bad text matches no key and no checksum.
    connection.text_factory = lambda raw: str(raw, "utf-8", "replace")
    connection.execute("PRAGMA cache_size = -8000")  # KiB
    return connection
