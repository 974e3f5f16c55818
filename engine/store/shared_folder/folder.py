"""An open folder of results: keeps the index and the files consistent and within a budget of bytes."""

from __future__ import annotations

import sqlite3
from collections import Counter
from collections.abc import Callable, Collection, Mapping, Sequence
from contextlib import suppress
from pathlib import Path

from engine.store.shared_folder.blobs import Blobs
from engine.store.shared_folder.entry import Damaged, Entry, NewEntry
from engine.store.shared_folder.index import Index
from engine.store.shared_folder.processes import Processes
from engine.store.shared_folder.reader import Reader
from engine.store.shared_folder.room import Room

DAMAGED_INDEX = "index-damaged-*.sqlite"
"""The names of damaged indexes that were moved aside."""

OWN_NAMES = frozenset({"blobs", "tmp", "lock", "index.sqlite", "index.sqlite-wal", "index.sqlite-shm"})
"""The names in the folder that belong to this store. The index has their sizes, so they are not measured."""


class Folder:
    """Writes and deletes entries with their files: a file is written before its entry, and deleted after it.

    A crash in between leaves a file without an entry, never an entry without its file. A process leases bytes
    before it writes a file, so that all processes together stay within the limit; when the entry is inserted,
    the file counts as a result and the lease is reduced. Every method may raise OSError and sqlite3.Error.

    Args:
        path: the folder.
        index: its index.
        reader: reads the same index and files.
        blobs: its files.
        processes: the processes that use the folder; this process is registered.
        room: computes how many bytes all results may take.
        short_of_disk: called when results are evicted or refused because the disk is nearly full.
    """

    def __init__(
        self,
        path: Path,
        index: Index,
        reader: Reader,
        blobs: Blobs,
        processes: Processes,
        room: Room,
        short_of_disk: Callable[[], None],
    ) -> None:
        self.index, self.reader = index, reader
        self._path, self._blobs, self._processes, self._room = path, blobs, processes, room
        self._short_of_disk = short_of_disk
        self.budget = room.budget
        """The most bytes that entries and files may take."""
        self._lease = 0
        self._spare_lease = min(
            room.limit(index.on_disk()).bytes // 64, 16 << 20
        )  # so that not every save needs a new lease

    def begin(self, alone: bool) -> None:
        """Lease some bytes in advance, for small results saved while another process locks the index.

        Args:
            alone: True if no other process uses the folder, so that all leases belong to dead processes.
        """
        with self.index.writing():
            if alone:
                self.index.end_leases()
            self.index.lease(self._processes.name, self._spare_lease)
        self._lease = self._spare_lease

    def lease(self, size: int) -> bool:
        """Lease `size` bytes in total for the files of this process; return False if there is no room."""
        return size <= self._lease or self._take(size + self._spare_lease) or self._take(size)

    def make_room(self, size: int) -> bool:
        """Lease bytes as `lease` does; if there is no room, evict results first."""
        for _ in range(3):  # another process may lease the freed room first
            with self.index.writing():
                limit, disk_is_short = self._room.limit(self.index.on_disk())
                if disk_is_short:
                    self._short_of_disk()
                limit -= self.index.leased() - self._lease
                if size > limit:
                    return False
                self.index.shrink(max(limit - limit // 32 - size, 0))
            self.remove_doomed()
            if self.lease(size):
                return True
        return False

    def _take(self, size: int) -> bool:
        with self.index.writing():
            held = self.index.size()
            if held + self.index.leased() - self._lease + size > self._room.limit(self.index.on_disk()).bytes:
                return False
            self.index.lease(self._processes.name, size)
        self._lease = size
        return True

    def write(self, files: Mapping[str, bytes]) -> list[str]:
        """Write all files or none; return the digests of those that did not exist before."""
        written = []
        try:
            for digest, data in files.items():
                if self._blobs.put(digest, data):
                    written.append(digest)
        except OSError:
            self.discard(written)
            raise
        return written

    def discard(self, files: Sequence[str]) -> None:
        """Delete files whose entries were not inserted, unless another entry uses them."""
        if files:
            with suppress(OSError, sqlite3.Error), self.index.writing():
                for digest in files:
                    if not self.index.knows(digest):
                        self._blobs.remove(digest)

    def insert(
        self,
        waiting: Collection[NewEntry],
        used: Mapping[str, float],
        hits: Mapping[str, int],
        file_bytes: int,
    ) -> bool:
        """Insert entries, times of use and counts in one transaction; return True if results were evicted.

        Args:
            waiting: the entries; their files have been written already.
            used: key -> time of last use.
            hits: node type -> number of results that runs have reused.
            file_bytes: the bytes of all files of this process whose entries are not in the index yet,
                including these.
        """
        with self.index.writing():
            # Another process may have evicted a file while its entry was waiting.
            torn = [new for new in waiting if not all(map(self._blobs.has, new.files))]
            useless = torn + self.index.insert(
                [new for new in waiting if new not in torn] if torn else [*waiting]
            )
            self.index.touch(used)
            self.index.count(hits, Counter([new.entry.node_type for new in waiting]))
            counted = sum(new.file_bytes for new in waiting) - sum(new.file_bytes for new in useless)
            lease = min(self._lease, file_bytes - counted + self._spare_lease)
            if lease < self._lease:
                self.index.lease(self._processes.name, lease)
            limit, disk_is_short = self._room.limit(self.index.on_disk())
            room = limit - self.index.leased()
            evicted = self.index.kept() > room and self.index.shrink(max(room - limit // 32, 0)) > 0
        self._lease = lease
        if evicted and disk_is_short:
            self._short_of_disk()
        for new in useless:
            self.discard(new.written)
        return evicted

    def remove_doomed(self) -> None:
        """Delete the files of evicted entries, after the transaction that deleted these entries.

        Files that cannot be deleted stay listed until the next call, or until the folder is opened again.
        """
        with self.index.writing():
            for digest in self.index.doomed():
                self._blobs.remove(digest)
            self.index.undoom()

    def free_disk(self, size: int, last: Sequence[str] = ()) -> bool:
        """Delete files of results, the least valuable first, to free `size` bytes on a full disk.

        The files are deleted before their entries, since a full disk may refuse the transaction until then.
        An entry without its file is a miss.

        Args:
            size: the number of bytes needed.
            last: keys of results that are deleted only if all others do not suffice.

        Returns:
            True if at least `size` bytes were freed.
        """
        freed = 0
        with self.index.writing():
            for digest, file_size in self.index.files_by_rank(last):
                if freed >= size:
                    break
                self._blobs.remove(digest)
                self.index.delete_holders(digest)
                freed += file_size
        self.remove_doomed()
        return freed >= size

    def drop(self, entry: Entry, damage: Damaged) -> bool:
        """Delete a damaged entry, and all other entries that use the same damaged part.

        Returns:
            False if another process has evicted or replaced the entry in the meantime.
        """
        with self.index.writing():
            if self.reader.entry(entry.key) != entry:
                return False
            self.index.delete([entry.key])
            if damage.digest:
                self.index.delete_holders(damage.digest)
                self._blobs.remove(damage.digest)
            return True

    def clear(self, node_type: str | None, unused_since: float | None, spare: set[str]) -> tuple[int, int]:
        """Delete results; return the numbers of deleted entries and bytes.

        Args:
            node_type: as in `Reader.keys`.
            unused_since: as in `Reader.keys`.
            spare: the digests of files to keep, although the index has no entry for them yet.
        """
        before = self.index.size()
        keys = self.reader.keys(node_type, unused_since)
        with self.index.writing():
            self.index.delete(keys)
        self.remove_doomed()
        if not self._processes.other_processes()[0]:
            self.sweep(spare)
        self.index.compact()
        if node_type is None and unused_since is None:
            with self.index.writing():
                self.index.forget_counts()
            for path in self._path.glob(DAMAGED_INDEX):
                path.unlink(missing_ok=True)
        return len(keys), max(before - self.index.size(), 0)

    def sweep(self, spare: set[str]) -> None:
        """Delete files without an entry. Call this only while no other process can be writing such files.

        Args:
            spare: the digests of files to keep, although the index has no entry for them yet.
        """
        with self.index.writing():
            known = self.index.blobs() | spare
            for digest in self._blobs.all():
                if digest not in known:
                    self._blobs.remove(digest)

    def close(self) -> None:
        """Release the lease, and close all files."""
        with suppress(sqlite3.Error):
            if self._lease:
                with self.index.writing():
                    self.index.end_lease(self._processes.name)
        self.reader.close()
        with suppress(sqlite3.Error):
            self.index.close()
        self._processes.unregister()
