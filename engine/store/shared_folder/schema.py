"""Defines the tables of the index file and their version, and opens connections to the file."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from engine.failpoints import failpoint

VERSION = 1
BUSY_SECONDS = 10.0
"""The time in seconds that a connection waits for a lock that another process holds."""
PAGE = 4096
"""The page size of the index in bytes."""
BATCH = 500
"""The most values in one SQL statement."""

# Keys are random text, and an index over them would rewrite a page for nearly every new row. A short hash
# makes that index a sixth of the size; rows with equal hashes are distinguished by their key.
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

# Tables that were added later. Older versions of the program ignore them.
_LATER_TABLES = (
    "CREATE TABLE IF NOT EXISTS leases (who TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT OR IGNORE INTO numbers VALUES ('doomed_bytes', 0)",
    "CREATE TABLE IF NOT EXISTS uses (node_type TEXT PRIMARY KEY, hits INTEGER NOT NULL, "
    "made INTEGER NOT NULL) WITHOUT ROWID",
)

_COUNT_BLOBS = """
UPDATE numbers SET value = (SELECT total(size) FROM blobs)
WHERE name = 'blob_bytes' AND value <> (SELECT total(size) FROM blobs)
"""


class Newer(Exception):
    """Raised if a newer version of this program created the index."""


def connect(path: Path, *, options: str = "") -> sqlite3.Connection:
    """Open the index file, or create it.

    Args:
        path: the file.
        options: SQLite URI options, such as `mode=ro`.
    """
    place = f"{path.absolute().as_uri()}?{options}" if options else path
    connection = sqlite3.connect(
        place, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False, uri=bool(options)
    )
    # A damaged page must not stop a whole query: text that cannot be decoded matches no key and no checksum.
    connection.text_factory = lambda raw: str(raw, "utf-8", "replace")
    connection.execute("PRAGMA cache_size = -8000")  # KiB
    return connection


def prepare(connection: sqlite3.Connection, log_bytes: int) -> bool:
    """Set up a connection for writing, and create missing tables; return True for a new file.

    Raises:
        Newer: a newer version of this program created the file, which is left unchanged.
    """
    if version_of(connection) > VERSION:
        raise Newer
    connection.execute("PRAGMA auto_vacuum = FULL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # `Index` decides when
    connection.execute(f"PRAGMA journal_size_limit = {log_bytes}")
    with transaction(connection):
        fresh = version_of(connection) == 0
        if fresh:
            for statement in _SCHEMA.strip().split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        for statement in _LATER_TABLES:
            connection.execute(statement)
        connection.execute(_COUNT_BLOBS)
    return fresh


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """Run a `with` block as one transaction, during which no other process writes; undo it if it raises."""
    failpoint("index.begin")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        failpoint("index.commit")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def version_of(connection: sqlite3.Connection) -> int:
    """Return the version of the tables in a file; 0 if there are none."""
    return int(connection.execute("PRAGMA user_version").fetchone()[0])


def hash_of(key: str) -> int:
    """Return the short hash of a key, by which the index finds its row."""
    return crc32(key.encode("utf-8", "surrogatepass"))


def select_keys(connection: sqlite3.Connection, columns: str, keys: Sequence[str]) -> Iterator[Any]:
    """Yield the key and the given columns of the entries with these keys."""
    wanted = set(keys)
    hashes = list(set(map(hash_of, wanted)))
    for start in range(0, len(hashes), BATCH):
        batch = hashes[start : start + BATCH]
        marks = ",".join("?" * len(batch))
        statement = f"SELECT key, {columns} FROM entries WHERE hash IN ({marks})"
        for row in connection.execute(statement, batch):
            if row[0] in wanted:
                yield row
