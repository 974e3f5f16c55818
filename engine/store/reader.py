"""What the index of a disk store says, read without waiting for whoever writes."""

from __future__ import annotations

from collections.abc import Sequence
from pathlib import Path
from threading import Lock

from engine.store.entry import Entry
from engine.store.layout import connect, hash_of, of_keys


class Reader:
    """A connection of its own to the index. Every method may raise sqlite3.Error.

    Args:
        path: the file, with its tables made.
    """

    def __init__(self, path: Path) -> None:
        self._lock = Lock()
        self._connection = connect(path)
        self._connection.execute("PRAGMA query_only = 1")

    def times(self, keys: Sequence[str]) -> list[tuple[str, float, float]]:
        """Key, seconds and time made of those of the keys that are held."""
        with self._lock:
            return list(of_keys(self._connection, "CAST(seconds AS REAL), CAST(made AS REAL)", keys))

    def entry(self, key: str) -> Entry | None:
        """The row of a key."""
        statement = (
            "SELECT key, outputs, node_type, seconds, made, proof FROM entries WHERE hash = ? AND key = ?"
        )
        with self._lock:
            row = self._connection.execute(statement, (hash_of(key), key)).fetchone()
        return None if row is None else Entry(*row)

    def inlined(self, digest: str) -> bytes | None:
        """The bytes of a short part, unverified."""
        with self._lock:
            row = self._connection.execute("SELECT data FROM inlined WHERE digest = ?", (digest,)).fetchone()
        return row[0] if row is not None and isinstance(row[0], bytes) else None

    def keys(self, node_type: str | None = None, unused_since: float | None = None) -> list[str]:
        """The keys held, of one node type (of every version of it when none is named), long unused."""
        statement = (
            "SELECT key FROM entries WHERE (?1 IS NULL OR node_type = ?1 OR "
            "substr(node_type, 1, length(?1) + 1) = ?1 || '@') AND (?2 IS NULL OR used < ?2)"
        )
        with self._lock:
            return [row[0] for row in self._connection.execute(statement, (node_type, unused_since))]

    def by_type(self) -> dict[str, tuple[int, int]]:
        """Node type -> (entries, bytes), largest first."""
        statement = "SELECT node_type, count(*), sum(bytes) FROM entries GROUP BY 1 ORDER BY 3 DESC, 1"
        with self._lock:
            return {name: (count, size) for name, count, size in self._connection.execute(statement)}

    def uses(self) -> dict[str, tuple[int, int]]:
        """Node type -> how often its results were there, and how often they were made."""
        with self._lock:
            rows = self._connection.execute("SELECT node_type, hits, made FROM uses ORDER BY 1")
            return {name: (hits, made) for name, hits, made in rows}

    def check(self) -> list[str]:
        """What SQLite finds wrong with the file itself; reads all of it."""
        with self._lock:
            rows = self._connection.execute("PRAGMA quick_check(10)").fetchall()
        return [row[0] for row in rows if row[0] != "ok"]

    def close(self) -> None:
        """Let go of the file."""
        with self._lock:
            self._connection.close()
