"""An open folder of results: its index and its files, kept in step and within a number of bytes."""

from __future__ import annotations

import sqlite3
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from engine.store.blobs import Blobs
from engine.store.entry import INLINE_BYTES, Damaged, PartRow
from engine.store.index import Index
from engine.store.pending import Pending
from engine.store.store import Result
from engine.values import sha256

ASIDE = "index-damaged-*.sqlite"
"""Damaged indexes that were moved out of the way."""


class Folder:
    """Rows and the files that they speak of: files come before their row and go after it.

    A crash in between leaves a file too many, never a row too many. Every method may raise OSError and
    sqlite3.Error.

    Args:
        index: the rows and the short parts.
        blobs: the long parts.
        limit: the most bytes that rows and files may take.
    """

    def __init__(self, index: Index, blobs: Blobs, limit: int) -> None:
        self.index = index
        self.limit = limit
        self._blobs = blobs
        self._low = limit - limit // 32  # how far to shrink, so that not every save has to

    def part(self, part: PartRow) -> bytes:
        """The bytes of a part, verified.

        Raises:
            Damaged: they are gone or others.
        """
        if part.size > INLINE_BYTES:
            return self._blobs.read(part.digest)
        data = self.index.reader.inlined(part.digest)
        if data is None or sha256(data) != part.digest:
            raise Damaged("a part of it in the index does not match its checksum", part.digest)
        return data

    def has_room(self, size: int) -> bool:
        """Whether so many more bytes fit."""
        return self.index.size() + size <= self.limit

    def make_room(self, size: int) -> bool:
        """Evict what is worth least until so many more bytes fit; says whether they do."""
        with self.index.writing():
            self.index.shrink(max(self._low - size, 0))
        self.remove_doomed()
        return self.has_room(size)

    def write(self, files: Mapping[str, bytes]) -> list[str]:
        """Write files, all or none; returns the digests of those that were not there before."""
        brought = []
        try:
            for digest, data in files.items():
                if self._blobs.put(digest, data):
                    brought.append(digest)
        except OSError:
            self.discard(brought)
            raise
        return brought

    def discard(self, files: Sequence[str]) -> None:
        """Delete files that were written for nothing, unless a row has come to hold them."""
        if files:
            with suppress(OSError, sqlite3.Error), self.index.writing():
                for digest in files:
                    if not self.index.knows(digest):
                        self._blobs.remove(digest)

    def insert(
        self, rows: Collection[Pending], plain: Mapping[str, Result], used: Mapping[str, float]
    ) -> bool:
        """Add rows and times of use in one transaction; says whether it doomed files to `remove_doomed`."""
        with self.index.writing():
            # A file may have been evicted by another process since its row began to wait.
            torn = [row for row in rows if not all(map(self._blobs.has, row.files))]
            left_out = self.index.insert([row for row in rows if row not in torn])
            self.index.insert_plain(plain)
            self.index.touch(used)
            evicted = self.index.size() > self.limit and self.index.shrink(self._low) > 0
        for row in torn + left_out:
            self.discard(row.brought)
        return evicted

    def remove_doomed(self) -> None:
        """Delete the files of evicted entries; only now, so that a crash leaves no row without its file.

        When that fails they stay doomed, and go with the next ones or when the folder is opened again.
        """
        with self.index.writing():
            for digest in self.index.doomed():
                self._blobs.remove(digest)
            self.index.undoom()

    def drop(self, key: str, damage: Damaged) -> None:
        """Remove a damaged entry, and all others that hold the same bad part."""
        with self.index.writing():
            self.index.delete([key])
            if damage.digest:
                self.index.delete_holders(damage.digest)
                self._blobs.remove(damage.digest)

    def clear(self, node_type: str | None, unused_since: float | None, spare: set[str]) -> tuple[int, int]:
        """Forget results; returns how many entries and bytes went.

        Args:
            node_type: as `Reader.keys` takes it.
            unused_since: likewise.
            spare: files to leave although no row speaks of them yet.
        """
        before = self.index.size()
        keys = self.index.reader.keys(node_type, unused_since)
        with self.index.writing():
            self.index.delete(keys)
        self.remove_doomed()
        if not self._blobs.others()[0]:
            self.sweep(spare)
        self.index.compact()
        if node_type is None and unused_since is None:
            for path in self._blobs.folder.glob(ASIDE):
                path.unlink(missing_ok=True)
        return len(keys), max(before - self.index.size(), 0)

    def sweep(self, spare: set[str]) -> None:
        """Delete files that no row speaks of; for when no other process may be about to write the row.

        Args:
            spare: files to leave although no row speaks of them yet.
        """
        with self.index.writing():
            known = self.index.blobs() | spare
            for digest in self._blobs.all():
                if digest not in known:
                    self._blobs.remove(digest)

    def close(self) -> None:
        """Let go of files."""
        with suppress(sqlite3.Error):
            self.index.close()
        self._blobs.leave()
