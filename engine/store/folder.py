"""An open folder of results: its index and its files, kept in step and within a number of bytes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Collection, Mapping, Sequence
from contextlib import suppress

from engine.store.blobs import Blobs
from engine.store.entry import INLINE_BYTES, Damaged, Entry, PartRow
from engine.store.index import Index
from engine.store.pending import Pending
from engine.store.store import Result
from engine.values import sha256

ASIDE = "index-damaged-*.sqlite"
"""Damaged indexes that were moved out of the way."""


class Folder:
    """Rows and the files that they speak of: files come before their row and go after it.

    A crash in between leaves a file too many, never a row too many. Before a process writes a file it takes
    room for it on lease, so that all processes together stay within the limit; when its row is written, the
    file itself is counted and the lease shrinks. Every method may raise OSError and sqlite3.Error.

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
        self._lease = 0
        self._more = min(limit // 64, 16 << 20)  # to lease beyond what is needed, lest every save has to

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

    def begin(self, alone: bool) -> None:
        """Take a first lease, so that a little can be kept even while the index is locked.

        Args:
            alone: nobody else uses the folder, and its files were swept: other leases are those of the dead.
        """
        with self.index.writing():
            if alone:
                self.index.end_leases()
            self.index.lease(self._blobs.who, self._more)
        self._lease = self._more

    def lease(self, size: int) -> bool:
        """Have room for files of this process, of so many bytes in all; says whether there is."""
        return size <= self._lease or self._take(size + self._more) or self._take(size)

    def make_room(self, size: int) -> bool:
        """The same, evicting what is worth least."""
        for _ in range(3):  # another process may take the room before this one does
            with self.index.writing():
                others = self.index.leased() - self._lease
                self.index.shrink(max(self._low - others - size, 0))
            self.remove_doomed()
            if self.lease(size):
                return True
        return False

    def _take(self, size: int) -> bool:
        with self.index.writing():
            if self.index.size() + self.index.leased() - self._lease + size > self.limit:
                return False
            self.index.lease(self._blobs.who, size)
        self._lease = size
        return True

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
        self,
        rows: Collection[Pending],
        plain: Mapping[str, Result],
        used: Mapping[str, float],
        hits: Mapping[str, int],
        file_bytes: int,
    ) -> bool:
        """Add rows and times of use in one transaction; says whether it doomed files to `remove_doomed`.

        Args:
            rows: rows with parts.
            plain: results without.
            used: when which keys were used.
            hits: how often results of which node types were there when they were wanted.
            file_bytes: of all files written or being written, those of the rows included.
        """
        with self.index.writing():
            # A file may have been evicted by another process since its row began to wait.
            torn = [row for row in rows if not all(map(self._blobs.has, row.files))]
            left_out = self.index.insert([row for row in rows if row not in torn])
            self.index.insert_plain(plain)
            self.index.touch(used)
            made = Counter([row.entry.node_type for row in rows])
            made.update([result.node_type for result in plain.values()])
            self.index.count(hits, made)
            useless = torn + left_out
            counted = sum(row.file_bytes for row in rows) - sum(row.file_bytes for row in useless)
            lease = min(self._lease, file_bytes - counted + self._more)
            if lease < self._lease:
                self.index.lease(self._blobs.who, lease)
            room = self.limit - self.index.leased()
            evicted = self.index.kept() > room and self.index.shrink(room - self.limit // 32) > 0
        self._lease = lease
        for row in useless:
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

    def drop(self, entry: Entry, damage: Damaged) -> bool:
        """Remove a damaged entry, and all others that hold the same bad part.

        Returns:
            whether it was there still: another process may have evicted or made it again meanwhile.
        """
        with self.index.writing():
            if self.index.reader.entry(entry.key) != entry:
                return False
            self.index.delete([entry.key])
            if damage.digest:
                self.index.delete_holders(damage.digest)
                self._blobs.remove(damage.digest)
            return True

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
            with self.index.writing():
                self.index.forget_counts()
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
            if self._lease:
                with self.index.writing():
                    self.index.end_lease(self._blobs.who)
        with suppress(sqlite3.Error):
            self.index.close()
        self._blobs.leave()
