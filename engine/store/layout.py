"""The layout of the index file: its tables, its version, and how a connection to it is made."""

from __future__ import annotations

import sqlite3
from collections.abc import Iterator, Sequence
from contextlib import contextmanager, suppress
from pathlib import Path
from typing import Any
from zlib import crc32

from engine import faults

VERSION = 1
BUSY_SECONDS = 10.0
PAGE = 4096
"""Bytes."""
BATCH = 500
"""How many values to name in one statement."""

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

# What came later than the first index files; an older program does not mind it.
_MORE = (
    "CREATE TABLE IF NOT EXISTS leases (who TEXT PRIMARY KEY, bytes INTEGER NOT NULL) WITHOUT ROWID",
    "INSERT OR IGNORE INTO numbers VALUES ('doomed_bytes', 0)",
    "CREATE TABLE IF NOT EXISTS uses (node_type TEXT PRIMARY KEY, hits INTEGER NOT NULL, "
    "made INTEGER NOT NULL) WITHOUT ROWID",
)

_COUNT = """
UPDATE numbers SET value = (SELECT total(size) FROM blobs)
WHERE name = 'blob_bytes' AND value <> (SELECT total(size) FROM blobs)
"""


class Newer(Exception):
    """The index was written by a newer version of this program."""


def connect(path: Path) -> sqlite3.Connection:
    """A connection to the file, which is made when there is none."""
    connection = sqlite3.connect(path, timeout=BUSY_SECONDS, isolation_level=None, check_same_thread=False)
    # A damaged page must not stop a whole query: bad text matches no key and no checksum.
    connection.text_factory = lambda raw: str(raw, "utf-8", "replace")
    connection.execute("PRAGMA cache_size = -8000")  # KiB
    return connection


def prepare(connection: sqlite3.Connection, log_bytes: int) -> bool:
    """Make the tables unless they are there, and the settings for writing; returns whether it made them.

    Raises:
        Newer: the file has a newer layout; it was not touched.
    """
    if _version(connection) > VERSION:
        raise Newer
    connection.execute("PRAGMA auto_vacuum = FULL")
    connection.execute("PRAGMA journal_mode = WAL")
    connection.execute("PRAGMA synchronous = NORMAL")
    connection.execute("PRAGMA wal_autocheckpoint = 0")  # `Index` does it
    connection.execute(f"PRAGMA journal_size_limit = {log_bytes}")
    with transaction(connection):
        fresh = _version(connection) == 0
        if fresh:
            for statement in _SCHEMA.strip().split(";\n"):
                connection.execute(statement)
            connection.execute(f"PRAGMA user_version = {VERSION}")
        for statement in _MORE:
            connection.execute(statement)
        connection.execute(_COUNT)
    return fresh


@contextmanager
def transaction(connection: sqlite3.Connection) -> Iterator[None]:
    """One transaction, alone among all processes; nothing of it stays if it fails."""
    if faults.ON:
        faults.at("index.begin")
    connection.execute("BEGIN IMMEDIATE")
    try:
        yield
        if faults.ON:
            faults.at("index.commit")
        connection.execute("COMMIT")
    except BaseException:
        with suppress(sqlite3.Error):
            connection.execute("ROLLBACK")
        raise


def hash_of(key: str) -> int:
    """The number under which a key's row is found."""
    return crc32(key.encode("utf-8", "surrogatepass"))


def of_keys(connection: sqlite3.Connection, columns: str, keys: Sequence[str]) -> Iterator[Any]:
    """The key and other columns of the entries under these keys."""
    wanted = set(keys)
    for row in of_hashes(connection, f"key, {columns}", list(set(map(hash_of, wanted)))):
        if row[0] in wanted:
            yield row


def of_hashes(connection: sqlite3.Connection, columns: str, hashes: Sequence[int]) -> Iterator[Any]:
    """Some columns of the entries whose keys have these hashes, and maybe of others."""
    for start in range(0, len(hashes), BATCH):
        batch = hashes[start : start + BATCH]
        marks = ",".join("?" * len(batch))
        yield from connection.execute(f"SELECT {columns} FROM entries WHERE hash IN ({marks})", batch)


def _version(connection: sqlite3.Connection) -> int:
    return int(connection.execute("PRAGMA user_version").fetchone()[0])
