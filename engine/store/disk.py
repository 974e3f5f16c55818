"""Results kept as bytes in a folder, within a number of bytes, for the next process and the next week."""

from __future__ import annotations

import errno
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from pathlib import Path
from threading import RLock
from typing import NamedTuple

from engine import values
from engine.store.blobs import Blobs
from engine.store.entry import INLINE_BYTES, Damaged, Entry, PartRow
from engine.store.index import BUSY_SECONDS, Index, Newer
from engine.store.store import Held, Result
from engine.values import Packed, sha256

_WAITING_ROWS = 256
_WAITING_SECONDS = 0.05
_MOST_WAITING = 4096  # rows while the index is locked by somebody else

_INDEX_DAMAGE = {sqlite3.SQLITE_ERROR, sqlite3.SQLITE_CORRUPT, sqlite3.SQLITE_NOTADB}
_FULL = {errno.ENOSPC, errno.EDQUOT, errno.EFBIG}
_FORBIDDEN = {errno.EACCES, errno.EPERM, errno.EROFS}


class Usage(NamedTuple):
    """What a store holds."""

    by_type: Mapping[str, tuple[int, int]]
    """Node type -> (entries, bytes), largest first; a part that two entries share counts for both."""
    bytes: int
    """What the folder takes, the index and shared parts counted once."""
    budget: int


class Found(NamedTuple):
    """A damaged entry."""

    key: str
    """Empty when it is the index itself."""
    node_type: str
    what: str


class _Waiting:
    """A row that is not yet in the index."""

    __slots__ = ("entry", "file_bytes", "files", "row_bytes", "short", "sizes", "written")

    def __init__(self, entry: Entry, parts: Mapping[str, bytes]) -> None:
        self.entry = entry
        self.sizes = {digest: len(data) for digest, data in parts.items()}
        self.short = {digest: data for digest, data in parts.items() if len(data) <= INLINE_BYTES}
        self.files = [digest for digest in parts if digest not in self.short]
        self.written: list[str] = []  # those files that were not there before
        self.file_bytes = sum(self.sizes[digest] for digest in self.files)
        self.row_bytes = entry.row_bytes + sum(self.sizes.values()) - self.file_bytes


class Disk:
    """A folder of results: an SQLite index, with long parts as files named by their sha256.

    Everything read is verified. Trouble is never an exception: a damaged or vanished entry is removed and
    said, what cannot be written is not kept and said once. Rows wait up to 50 ms (or 256 rows) to be written
    together; this process sees them at once, others and the next one after `flush`.

    Several processes may use one folder at once.

    Args:
        folder: made when it does not exist.
        budget_bytes: the most that the folder may hold, the index (some 0.1 MB when empty) and its log
            included.
        warn: told of trouble, in whole sentences.
    """

    def __init__(self, folder: Path, budget_bytes: int, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.budget = budget_bytes
        self._log_bytes = min(budget_bytes // 16, 4 << 20)
        self._warn = warn
        self._said: set[str] = set()
        self._lock = RLock()
        self._waiting: dict[str, _Waiting] = {}
        self._waiting_bytes = 0  # without long parts
        self._since = 0.0
        self._incoming = 0  # bytes on their way that the index does not count yet
        self._used: dict[str, float] = {}
        self._not_before = 0.0
        self._writable = True
        self._mended = False
        self._blobs = Blobs(folder)
        self._limit = 0
        self._index = self._open()

    def where(self, keys: Sequence[str]) -> dict[str, Held]:
        """Which of these keys are held."""
        index = self._index
        if index is None:
            return {}
        try:
            self._commit_when_due()
            waiting = self._waiting
            found = {
                key: Held("disk", kept.entry.seconds, kept.entry.made)
                for key in keys
                if (kept := waiting.get(key)) is not None
            }
            for key, seconds, made in index.times(keys):
                found[key] = Held("disk", seconds, made)
            return found
        except (OSError, sqlite3.Error) as error:
            self._trouble(error, index)
            return {}

    def load(self, key: str) -> Result | None:
        """The result under a key, or None on a miss, when it is damaged or when its values do not unpack."""
        found = self._read(key)
        if found is None:
            return None
        entry, packed = found
        outputs = {}
        for name, value in packed.items():
            parts = {part.name: part.data for part in value.parts}
            try:
                outputs[name] = values.unpack(value.type, value.meta, parts)
            except Exception as error:  # the code of a node pack may raise anything
                self._say(
                    f"unpack {value.type}",
                    f"A kept result of {entry.node_type} cannot be read back: {_why_not(value.type, error)}. "
                    "It is made again.",
                )
                return None
        return Result(outputs, entry.seconds, entry.made, entry.node_type)

    def packed(self, key: str, output: str) -> Packed | None:
        """One output as bytes, or None."""
        found = self._read(key, output)
        return None if found is None else found[1].get(output)

    def touch(self, key: str) -> None:
        """Note that a result was used, although it was not read from here."""
        self._used[key] = time.time()

    def save(self, key: str, result: Result) -> None:
        """Keep a result; one that cannot become bytes, or is larger than the budget, is not kept."""
        index = self._index
        if index is None or not self._writable or key in self._waiting:
            return
        if len(self._waiting) >= _MOST_WAITING:
            return
        try:
            entry, data = Entry.of(key, result)
        except Exception as error:  # the code of a node pack may raise anything
            self._say(
                f"pack {result.node_type}",
                f"Results of {result.node_type} are kept in memory only, since they do not become bytes: "
                f"{error}",
            )
            return
        row = _Waiting(entry, data)
        if row.row_bytes + row.file_bytes > self._limit:
            return
        try:
            if not row.files or self._write(index, row, data):
                self._add(row)
        except (OSError, sqlite3.Error) as error:
            self._trouble(error, index)

    def flush(self) -> None:
        """Write what waits, so that other processes find it."""
        index = self._index
        try:
            self._commit()
        except (OSError, sqlite3.Error) as error:
            self._trouble(error, index)

    def close(self) -> None:
        """Flush and let go of files."""
        self.flush()
        with self._lock:
            index, self._index = self._index, None
            if index is not None:
                with suppress(sqlite3.Error):
                    index.close()
            self._blobs.leave()

    def usage(self) -> Usage:
        """What is kept, by node type."""
        self.flush()
        index = self._index
        if index is not None:
            try:
                by_type = {name: (count, size) for name, count, size in index.by_type()}
                return Usage(by_type, index.size(), self.budget)
            except (OSError, sqlite3.Error) as error:
                self._trouble(error, index)
        return Usage({}, 0, self.budget)

    def clear(self, node_type: str | None = None, older_than: float | None = None) -> tuple[int, int]:
        """Forget results; returns how many entries and bytes went.

        Args:
            node_type: only of this node type, such as `Denoise@1`, or `Denoise` for all its versions.
            older_than: only those not used for so many seconds.
        """
        self.flush()
        index = self._index
        if index is None:
            return 0, 0
        try:
            with self._lock:
                before = index.size()
                keys = index.keys(node_type, None if older_than is None else time.time() - older_than)
                with index.writing():
                    index.delete(keys)
                self._remove_doomed(index)
                if not self._blobs.others()[0]:
                    self._sweep(index)
                index.compact()
                if node_type is None and older_than is None:
                    for path in self.folder.glob("index-damaged-*.sqlite"):
                        path.unlink(missing_ok=True)
                return len(keys), max(before - index.size(), 0)
        except (OSError, sqlite3.Error) as error:
            self._trouble(error, index)
            return 0, 0

    def verify(self) -> list[Found]:
        """Read everything; what is damaged is removed and told."""
        self.flush()
        index = self._index
        if index is None:
            return []
        found = []
        try:
            for what in index.check():
                found.append(Found("", "", what))
            if found:
                self._mend(index, found[0].what)
                return found
            for key in index.keys():
                entry = index.entry(key)
                if entry is None:
                    continue
                try:
                    entry.packed(lambda part: self._part(index, None, part))
                except Damaged as damage:
                    found.append(Found(key, entry.node_type, str(damage)))
                    self._drop(index, key, damage)
        except (OSError, sqlite3.Error) as error:
            self._trouble(error, index)
        return found

    def _read(self, key: str, output: str | None = None) -> tuple[Entry, dict[str, Packed]] | None:
        index = self._index
        if index is None:
            return None
        try:
            self._commit_when_due()
            row = self._waiting.get(key)
            entry = row.entry if row is not None else index.entry(key)
            if entry is None:
                return None
            try:
                if entry.key != key:
                    raise Damaged("its row in the index belongs to another key")
                packed = entry.packed(lambda part: self._part(index, row, part), output)
            except Damaged as damage:
                if row is not None or index.entry(key) != entry:
                    with self._lock:
                        self._forget(key)  # a file that it shares was evicted before it was written
                    return None
                self._drop(index, key, damage)
                self._warn(
                    f"A kept result of {entry.node_type or 'a step'} is damaged: {damage}. "
                    f"It was removed from {self.folder} and is made again when it is needed."
                )
                return None
        except (OSError, sqlite3.Error) as error:
            self._trouble(error, index)
            return None
        self._used[key] = time.time()
        return entry, packed

    def _part(self, index: Index, row: _Waiting | None, part: PartRow) -> bytes:
        if part.size > INLINE_BYTES:
            return self._blobs.read(part.digest)
        if row is not None:
            return row.short[part.digest]
        data = index.inlined(part.digest)
        if data is None or sha256(data) != part.digest:
            raise Damaged("a part of it in the index does not match its checksum", part.digest)
        return data

    def _drop(self, index: Index, key: str, damage: Damaged) -> None:
        """Remove a damaged entry, and all others that hold the same bad part."""
        with self._lock:
            self._forget(key)
            with index.writing():
                index.delete([key])
                if damage.digest:
                    index.delete_holders(damage.digest)
                    self._blobs.remove(damage.digest)

    def _write(self, index: Index, row: _Waiting, data: Mapping[str, bytes]) -> bool:
        """Make room for the long parts of a row and write them; False when there is none to be made."""
        with self._lock:
            if not self._has_room(index, row.file_bytes):
                self._commit()  # rows that wait cannot be evicted
                self._make_room(index, row.file_bytes)
                if not self._has_room(index, row.file_bytes):
                    return False
            self._incoming += row.file_bytes
        try:
            for digest in row.files:
                if self._blobs.put(digest, data[digest]):
                    row.written.append(digest)
        except OSError:
            self._undo(row)
            raise
        return True

    def _has_room(self, index: Index, size: int) -> bool:
        return index.size() + self._incoming + size <= self._limit

    def _add(self, row: _Waiting) -> None:
        with self._lock:
            key = row.entry.key
            if key in self._waiting:
                self._incoming -= row.file_bytes
                return
            if not self._waiting:
                self._since = time.monotonic()
            self._waiting[key] = row
            self._waiting_bytes += row.row_bytes
            if len(self._waiting) >= _WAITING_ROWS or self._waiting_bytes >= self._log_bytes:
                self._since = 0.0
            self._commit_when_due()

    def _commit_when_due(self) -> None:
        if self._waiting:
            now = time.monotonic()
            if now - self._since >= _WAITING_SECONDS and now >= self._not_before:
                self._commit()

    def _commit(self) -> None:
        """Write the waiting rows and times of use in one transaction."""
        with self._lock:
            index, waiting = self._index, self._waiting
            if index is None or not (waiting or self._used):
                return
            used, self._used = self._used, {}
            try:
                with index.writing():
                    # A file may have been evicted by another process since its row began to wait.
                    kept = [row for row in waiting.values() if all(map(self._blobs.has, row.files))]
                    inline = {digest: data for row in kept for digest, data in row.short.items()}
                    index.insert([(row.entry, row.sizes) for row in kept], inline)
                    index.touch(used)
                    evicted = index.size() > self._limit and index.shrink(self._low)
            except sqlite3.Error as error:
                if _code(error) != sqlite3.SQLITE_BUSY:
                    full = _code(error) == sqlite3.SQLITE_FULL
                    small_first = sorted(waiting, key=lambda key: waiting[key].file_bytes)
                    for key in small_first[len(waiting) // 2 if full else 0 :]:
                        self._forget(key)
                    self._commit()  # what is left may find room in place of the files that went
                raise
            self._incoming -= sum(row.file_bytes for row in waiting.values())
            self._waiting_bytes = 0
            waiting.clear()
            if evicted:
                self._remove_doomed(index)

    @property
    def _low(self) -> int:
        """How far to shrink, so that not every save has to."""
        return self._limit - self._limit // 32

    def _make_room(self, index: Index, size: int) -> None:
        with index.writing():
            index.shrink(max(self._low - self._incoming - size, 0))
        self._remove_doomed(index)

    def _remove_doomed(self, index: Index) -> None:
        """Delete the files of evicted entries; only now, so that a crash leaves no row without its file."""
        with index.writing():
            for digest in index.doomed():
                self._blobs.remove(digest)
            index.undoom()

    def _forget(self, key: str) -> None:
        """Let go of a waiting row, and of the files that it brought."""
        row = self._waiting.pop(key, None)
        if row is not None:
            self._waiting_bytes -= row.row_bytes
            self._undo(row)

    def _undo(self, row: _Waiting) -> None:
        """Delete the files that a row brought, unless another row has come to hold them."""
        with self._lock:
            self._incoming -= row.file_bytes
            index = self._index
            if row.written and index is not None:
                with suppress(OSError, sqlite3.Error), index.writing():
                    for digest in row.written:
                        if not index.knows(digest):
                            self._blobs.remove(digest)

    def _open(self, damage: str | None = None) -> Index | None:
        path = self.folder / "index.sqlite"
        try:
            self.folder.mkdir(parents=True, exist_ok=True)
            with self._blobs.door():
                self._blobs.enter()
                living, dead = self._blobs.others()
                index = None
                if damage is None:
                    try:
                        index = Index(path, self._log_bytes)
                    except sqlite3.DatabaseError as error:
                        if _code(error) not in _INDEX_DAMAGE:
                            raise
                        damage = str(error)
                if index is None:
                    if living:
                        self._off(
                            f"The index of kept results {path} is damaged ({damage}), and other processes "
                            "are using it. Nothing is kept on disk until they have ended."
                        )
                        return None
                    self._set_aside(path, str(damage))
                    index = Index(path, self._log_bytes)
                if not living and (dead or index.fresh):
                    self._sweep(index)
                if dead and not living:
                    self._blobs.bury()
                aside = sum(old.stat().st_size for old in self.folder.glob("index-damaged-*.sqlite"))
                room = self.budget - 4 * self._log_bytes - aside
                self._limit = max(room, 0)
                return index
        except Newer:
            self._off(
                f"The kept results in {self.folder} were written by a newer Safelight and are left alone; "
                "nothing is kept on disk. Update Safelight, or name another folder."
            )
            return None
        except (OSError, sqlite3.Error) as error:
            self._off(
                f"Nothing is kept on disk, since {self.folder} cannot be used: {_text(error)}. "
                "Everything runs, but is made again by the next process. Name another folder."
            )
            return None

    def _off(self, message: str) -> None:
        """Say why there is no disk tier from now on."""
        self._blobs.leave()
        self._say("off", message)

    def _set_aside(self, path: Path, damage: str) -> None:
        n = 1
        while (aside := path.with_name(f"index-damaged-{n}.sqlite")).exists():
            n += 1
        path.rename(aside)
        for suffix in ("-wal", "-shm"):
            path.with_name(path.name + suffix).unlink(missing_ok=True)
        self._warn(
            f"The index of kept results was damaged ({damage}). It was moved to {aside} and a new one begun: "
            "results are made again once. Delete the old one when you like."
        )

    def _sweep(self, index: Index) -> None:
        """Delete files that no row speaks of; for when no other process may be about to write the row."""
        self._remove_doomed(index)
        with index.writing():
            known = index.blobs().union(*(row.files for row in self._waiting.values()))
            for digest in self._blobs.all():
                if digest not in known:
                    self._blobs.remove(digest)

    def _mend(self, index: Index, damage: str) -> None:
        """Begin a new index in place of a damaged one; once, since twice means a failing disk."""
        with self._lock:
            if index is not self._index:
                return
            self._index = None
            with suppress(sqlite3.Error):
                index.close()
            for key in list(self._waiting):
                self._forget(key)
            self._used.clear()
            if self._mended:
                self._off(
                    f"The index of kept results in {self.folder} is damaged again ({damage}). Nothing more "
                    "is kept on disk; the disk may be failing."
                )
                return
            self._mended = True
            self._index = self._open(damage)

    def _trouble(self, error: Exception, index: Index | None) -> None:
        """Say what is wrong, once for each kind, and go on without."""
        if index is None or index is not self._index:
            return  # closed or mended meanwhile
        code = _code(error)
        number = error.errno if isinstance(error, OSError) else None
        if code in _INDEX_DAMAGE:
            self._mend(index, str(error))
        elif code in (sqlite3.SQLITE_BUSY, sqlite3.SQLITE_LOCKED):
            self._not_before = time.monotonic() + 3 * BUSY_SECONDS
            self._say(
                "busy",
                f"The index of kept results in {self.folder} is locked by another process; new results are "
                "kept when it lets go. End that process if it hangs.",
            )
        elif code == sqlite3.SQLITE_FULL or number in _FULL:
            self._say(
                "full",
                f"No room to keep results in {self.folder} ({_text(error)}). Everything runs on, but new "
                "results may not be kept. Free some space or set a smaller budget.",
            )
        elif code == sqlite3.SQLITE_READONLY or number in _FORBIDDEN:
            self._writable = False
            self._say(
                "forbidden",
                f"Results cannot be kept in {self.folder} ({_text(error)}). Everything runs on, and what is "
                "there is still used. Make the folder writable or name another one.",
            )
        else:
            self._say(
                "other",
                f"Keeping results in {self.folder} does not work ({_text(error)}). Everything runs on, but "
                "results may be made again. Check the disk, or name another folder.",
            )

    def _say(self, kind: str, message: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._warn(message)


def _code(error: Exception) -> int:
    """The primary result code of an SQLite error; 0 for anything else."""
    return getattr(error, "sqlite_errorcode", 0) & 0xFF


def _text(error: Exception) -> str:
    return (error.strerror if isinstance(error, OSError) else None) or str(error)


def _why_not(wire: str, error: Exception) -> str:
    if isinstance(error, KeyError) and wire not in values.Value.types:
        return f"no loaded node pack knows the type {wire}"
    return f"{type(error).__name__}: {error}"
