"""Facts of files, remembered by the digest of their bytes from one process to the next."""

from __future__ import annotations

import hashlib
import sqlite3
from collections.abc import Iterable, Mapping
from contextlib import closing, suppress
from pathlib import Path

from nodes.sd.formats.facts import VERSION, Facts

_AT_ONCE = 500


class Memory:
    """A small SQLite file of facts; one that cannot be used remembers nothing, and harms nothing.

    Args:
        path: the file; None remembers nothing.
    """

    def __init__(self, path: Path | None) -> None:
        self._path = path

    def recall(self, digests: Iterable[str]) -> dict[str, Facts]:
        """The facts that are remembered, by digest."""
        wanted = list(digests)
        found: dict[str, Facts] = {}
        if self._path is None or not self._path.is_file():
            return found
        with suppress(sqlite3.Error, OSError), closing(self._open(self._path)) as index:
            for start in range(0, len(wanted), _AT_ONCE):
                some = wanted[start : start + _AT_ONCE]
                marks = ",".join("?" * len(some))
                rows = index.execute(
                    f"SELECT digest, facts, proof FROM facts WHERE version = ? AND digest IN ({marks})",
                    (VERSION, *some),
                )
                for digest, text, proof in rows:
                    if proof == _proof(digest, text):
                        with suppress(ValueError, TypeError, KeyError):
                            found[digest] = Facts.from_json(text)
        return found

    def remember(self, facts: Mapping[str, Facts]) -> None:
        """Keep some facts by digest."""
        if self._path is None or not facts or not self._path.parent.is_dir():
            return
        rows = []
        for digest, item in facts.items():
            text = item.to_json()
            rows.append((digest, VERSION, text, _proof(digest, text)))
        with suppress(sqlite3.Error, OSError), closing(self._open(self._path)) as index, index:
            index.execute(
                "CREATE TABLE IF NOT EXISTS facts "
                "(digest TEXT, version INTEGER, facts TEXT, proof BLOB, PRIMARY KEY (digest, version))"
            )
            index.executemany("INSERT OR REPLACE INTO facts VALUES (?, ?, ?, ?)", rows)

    @staticmethod
    def _open(path: Path) -> sqlite3.Connection:
        connection = sqlite3.connect(path, timeout=5)
        connection.execute("PRAGMA synchronous = OFF")
        return connection


def _proof(digest: str, text: str) -> bytes:
    """A checksum of a row, so that a damaged one is read anew rather than believed."""
    return hashlib.sha256(f"{VERSION} {digest} {text}".encode()).digest()
