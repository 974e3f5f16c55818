"""Reads the index and the files of the disk tier, without waiting for processes that write."""

from __future__ import annotations

import sqlite3
from collections.abc import Sequence
from threading import Lock

from engine.store.shared_folder.blobs import Blobs
from engine.store.shared_folder.entry import INLINE_BYTES, Damaged, Entry, PartRow
from engine.store.shared_folder.schema import hash_of, select_keys
from engine.values import sha256


class Reader:
    """Reads the index through its own connection. Every method may raise sqlite3.Error and OSError.

    Args:
        connection: a connection to an index that has its tables; the reader closes it.
        blobs: the files that the index lists.
    """

    def __init__(self, connection: sqlite3.Connection, blobs: Blobs) -> None:
        self._lock = Lock()
        self._connection = connection
        self._blobs = blobs
        self._connection.execute("PRAGMA query_only = 1")

    def times(self, keys: Sequence[str]) -> list[tuple[str, float, float]]:
        """Return the key, the seconds and the time of computation of those keys that are stored."""
        with self._lock:
            return list(select_keys(self._connection, "CAST(seconds AS REAL), CAST(made AS REAL)", keys))

    def entry(self, key: str) -> Entry | None:
        """Read the entry under a key; None if there is none."""
        statement = (
            "SELECT key, outputs, node_type, seconds, made, proof FROM entries WHERE hash = ? AND key = ?"
        )
        with self._lock:
            row = self._connection.execute(statement, (hash_of(key), key)).fetchone()
        return None if row is None else Entry(*row)

    def part(self, part: PartRow) -> bytes:
        """Read the bytes of a part, and verify them.

        Raises:
            Damaged: the bytes are missing, or do not match their digest.
        """
        if part.size > INLINE_BYTES:
            return self._blobs.read(part.digest)
        with self._lock:
            row = self._connection.execute(
                "SELECT data FROM inlined WHERE digest = ?", (part.digest,)
            ).fetchone()
        data = row[0] if row is not None else None
        if not isinstance(data, bytes) or sha256(data) != part.digest:
            raise Damaged("one of its parts in the index does not match its checksum", part.digest)
        return data

    def keys(self, node_type: str | None = None, unused_since: float | None = None) -> list[str]:
        """Return the keys of entries.

        Args:
            node_type: only entries of this node type, such as `Denoise@1`, or `Denoise` for all its versions;
                None for all.
            unused_since: only entries last used before this time, in seconds since the epoch; None for all.
        """
        statement = (
            "SELECT key FROM entries WHERE (?1 IS NULL OR node_type = ?1 OR "
            "substr(node_type, 1, length(?1) + 1) = ?1 || '@') AND (?2 IS NULL OR used < ?2)"
        )
        with self._lock:
            return [row[0] for row in self._connection.execute(statement, (node_type, unused_since))]

    def by_type(self) -> dict[str, tuple[int, int]]:
        """Return the number and the bytes of the entries of each node type, largest first."""
        statement = "SELECT node_type, count(*), sum(bytes) FROM entries GROUP BY 1 ORDER BY 3 DESC, 1"
        with self._lock:
            return {name: (count, size) for name, count, size in self._connection.execute(statement)}

    def uses(self) -> dict[str, tuple[int, int]]:
        """Return the numbers of reused and of computed results of each node type."""
        with self._lock:
            rows = self._connection.execute("SELECT node_type, hits, made FROM uses ORDER BY 1")
            return {name: (hits, made) for name, hits, made in rows}

    def check(self) -> list[str]:
        """Read the whole index, and return the errors that SQLite finds in it."""
        with self._lock:
            rows = self._connection.execute("PRAGMA quick_check(10)").fetchall()
        return [row[0] for row in rows if row[0] != "ok"]

    def close(self) -> None:
        """Close the connection."""
        with self._lock:
            self._connection.close()
