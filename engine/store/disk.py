"""The disk tier of the store: keeps results as bytes in a folder of limited size, for later processes."""

from __future__ import annotations

import os
import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from engine.packing import unpack
from engine.read_only import read_only
from engine.store.shared_folder.entry import Damaged, NewEntry
from engine.store.shared_folder.error_kind import ErrorKind, Unusable, reason_of
from engine.store.shared_folder.opening import index_holder, open_folder
from engine.store.shared_folder.reader import Reader
from engine.store.shared_folder.write_buffer import SECONDS, Damage, Read, WriteBuffer, Writer
from engine.store.store import Result, Store, StoredResult
from engine.values import Packed, Value

P = ParamSpec("P")
T = TypeVar("T")


class Usage(NamedTuple):
    """Statistics of the results on disk."""

    by_type: Mapping[str, tuple[int, int]]
    """Node type -> (results, bytes), largest first; a part that two results share counts for both."""
    uses: Mapping[str, tuple[int, int]]
    """Node type -> (results that runs found in the store, results that were computed)."""
    bytes: int
    """The bytes of the index and the files; shared parts count once."""
    budget: int


class Disk(Store):
    """A store in a folder: an SQLite index, and long parts as files that are named by their sha256.

    Every read is verified. A damaged entry is deleted with a warning and counts as missing. A result that
    cannot be written is not kept, and the first one causes a warning. New results are written in batches
    within 50 ms: this process finds them at once, other processes after the write or after `flush`. Results
    in a read-only folder can still be read. Several processes may use one folder;
    `engine.store.shared_folder` explains the protocol.

    Args:
        folder: the folder; it is created if it does not exist.
        budget_bytes: the most bytes that the folder may hold, including the index (about 0.1 MB when empty),
            its log, and all other files in the folder.
        warn: receives a message for the first problem of each kind, and for each damaged result.
    """

    def __init__(self, folder: Path, budget_bytes: int, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self.budget = budget_bytes
        self.problem = ""
        """The latest warning about the folder, as a sentence; empty if there was none."""
        self._warn = warn
        self._warned: set[str] = set()
        self._lock = RLock()
        self._index_replaced = False
        self._source: WriteBuffer | _ReadOnly | None = None
        """The object that reads results; None if the folder is unusable or closed."""
        self._buffer: WriteBuffer | None = None
        """The buffer for new results; None if the folder cannot be written."""
        self._open()
        self._writer = Writer(self._write_what_is_due, SECONDS)

    @property
    def readable(self) -> bool:
        """True if results can be read."""
        return self._source is not None

    @property
    def writable(self) -> bool:
        """True if results can be written and deleted."""
        return self._buffer is not None

    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """Return the tier and times of those keys that are stored, by key."""
        source = self._source
        return {} if source is None else self._try(source, {}, source.where, keys)

    def load(self, key: str) -> Result | None:
        """Read the result under a key; None if it is missing or damaged, or its values cannot be unpacked."""
        found = self._read(key)
        if found is None:
            return None
        entry, packed = found
        outputs = {}
        for name, value in packed.items():
            parts = {part.name: part.data for part in value.parts}
            try:
                outputs[name] = read_only(unpack(value.type, value.meta, parts))
            except Exception as error:  # the code of a node pack may raise anything
                self._warn_once(
                    f"unpack {value.type}",
                    f"A cached result of {entry.node_type} cannot be read back "
                    f"({_reason(value.type, error)}). It is computed again.",
                )
                return None
        return Result(outputs, entry.seconds, entry.made, entry.node_type)

    def packed(self, key: str, output: str) -> Packed | None:
        """Read one output of a result as bytes; None if it is missing or damaged."""
        found = self._read(key, output)
        return None if found is None else found.outputs.get(output)

    def touch(self, key: str) -> None:
        """Record that a result was used, although it was read from another tier."""
        if (buffer := self._buffer) is not None:
            buffer.touch(key)

    def count(self, hits: Mapping[str, int]) -> None:
        """Add to the counts of results that runs have reused, by node type."""
        if hits:
            self._write(WriteBuffer.count, None, hits)
            self._writer.start()

    def save(self, key: str, result: Result) -> None:
        """Save a result, unless it cannot be packed or is larger than the budget."""
        buffer = self._buffer
        if buffer is None or not buffer.accepts(key):
            return
        try:
            new = NewEntry(key, result)
        except Exception as error:  # the code of a node pack may raise anything
            self._warn_once(
                f"pack {result.node_type}",
                f"Results of {result.node_type} are cached in memory only, because they cannot be packed: "
                f"{error}",
            )
            return
        self._try(buffer, None, buffer.save, new)
        if not self._writer.alive:
            self._writer.start()

    def flush(self) -> None:
        """Write all waiting results to the folder, so that other processes find them."""
        self._write(WriteBuffer.commit, None)

    def close(self) -> None:
        """Write all waiting results, and close all files."""
        self._writer.close()
        self.flush()
        with self._lock:
            source, self._source, self._buffer = self._source, None, None
        if source is not None:
            source.close()

    def usage(self) -> Usage:
        """Return statistics of the results."""
        self.flush()
        source = self._source
        nothing = Usage({}, {}, 0, self.budget)
        if source is None:
            return nothing

        def usage() -> Usage:
            return Usage(source.reader.by_type(), source.reader.uses(), source.size(), self.budget)

        return self._try(source, nothing, usage)

    def clear(self, node_type: str | None = None, older_than: float | None = None) -> tuple[int, int]:
        """Delete results; return the numbers of deleted results and bytes.

        Args:
            node_type: delete only results of this node type, such as `Denoise@1`, or `Denoise` for all its
                versions.
            older_than: delete only results that have not been used for this many seconds.
        """
        self.flush()
        unused_since = None if older_than is None else time.time() - older_than
        return self._write(WriteBuffer.clear, (0, 0), node_type, unused_since)

    def free_disk(self, place: Path, size: int, last: Sequence[str] = ()) -> bool:
        """Delete results to free space on a full disk; see `Store.free_disk`."""
        try:
            if os.stat(place).st_dev != os.stat(self.folder).st_dev:
                return False
        except OSError:
            return False
        return self._write(WriteBuffer.free_disk, False, size, last)

    def verify(self) -> list[Damage]:
        """Read and verify all results; return the damaged ones, and delete them if the folder is writable."""
        self.flush()
        source = self._source
        damages: list[Damage] = []
        if source is None:
            return damages

        def read_all() -> None:
            damages.extend(Damage("", "", what) for what in source.reader.check())
            if damages:
                self._replace_index(source, damages[0].what)
                return
            for key in source.reader.keys():
                if isinstance(found := source.read(key), Damage):
                    damages.append(found)

        self._try(source, None, read_all)
        return damages

    def _read(self, key: str, output: str | None = None) -> Read | None:
        source = self._source
        if source is None:
            return None
        found = self._try(source, None, source.read, key, output)
        if isinstance(found, Damage):
            removed = "It was deleted, and is" if self.writable else "It is"
            self._warn(
                f"A cached result of {found.node_type or 'a step'} is damaged: {found.what}. "
                f"{removed} computed again when it is needed. The cache is {self.folder}."
            )
            return None
        if found is not None:
            self.touch(key)
        return found

    def _write_what_is_due(self) -> float | None:
        return self._write(WriteBuffer.commit_when_due, None)

    def _write(
        self, use: Callable[Concatenate[WriteBuffer, P], T], otherwise: T, *args: P.args, **named: P.kwargs
    ) -> T:
        buffer = self._buffer
        return otherwise if buffer is None else self._try(buffer, otherwise, use, buffer, *args, **named)

    def _try(
        self,
        source: WriteBuffer | _ReadOnly,
        otherwise: T,
        use: Callable[P, T],
        *args: P.args,
        **named: P.kwargs,
    ) -> T:
        """Call `use`, which accesses the folder; if it fails, warn and return `otherwise`."""
        try:
            return use(*args, **named)
        except (OSError, sqlite3.Error) as error:
            if source is self._source:  # the store was not closed or repaired in the meantime
                kind = ErrorKind.of(error)
                if kind is ErrorKind.DAMAGED:
                    self._replace_index(source, str(error))
                else:
                    if kind is ErrorKind.FORBIDDEN:
                        self._buffer = None
                    holder = index_holder(self.folder) if kind is ErrorKind.LOCKED else None
                    self._warn_of(kind, reason_of(error), holder)
            return otherwise

    def _open(self, damage: str | None = None) -> None:
        def short_of_disk() -> None:
            self._warn_of(ErrorKind.FULL, "the disk is nearly full")

        def warn(message: str) -> None:
            self.problem = message
            self._warn(message)

        try:
            opened = open_folder(self.folder, self.budget, warn, short_of_disk, damage)
        except Unusable as unusable:
            self._warn_once("unusable", str(unusable))
            self.problem = str(unusable)
            return
        if isinstance(opened, Reader):
            self._source = _ReadOnly(opened)
        else:
            self._source = self._buffer = WriteBuffer(opened)

    def _replace_index(self, source: WriteBuffer | _ReadOnly, damage: str) -> None:
        """Replace a damaged index by a new one, but only once: a second damage suggests a failing disk."""
        with self._lock:
            if source is not self._source:
                return
            self._source = self._buffer = None
            source.close()
            if self._index_replaced or isinstance(source, _ReadOnly):
                self._warn_of(ErrorKind.DAMAGED, damage)
                return
            self._index_replaced = True
            self._open(damage)

    def _warn_of(self, kind: ErrorKind, reason: str, holder: int | None = None) -> None:
        self.problem = kind.sentence(self.folder, reason, holder)
        self._warn_once("unusable" if kind is ErrorKind.DAMAGED else kind.name, self.problem)

    def _warn_once(self, kind: str, message: str) -> None:
        if kind not in self._warned:
            self._warned.add(kind)
            self._warn(message)


class _ReadOnly:
    """The results in a read-only folder.

    Args:
        reader: reads the results.
    """

    def __init__(self, reader: Reader) -> None:
        self.reader = reader

    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """Return the tier and times of those keys that are stored, by key."""
        return {key: StoredResult("disk", seconds, made) for key, seconds, made in self.reader.times(keys)}

    def read(self, key: str, output: str | None = None) -> Read | Damage | None:
        """Read an entry and its outputs as bytes, or only one output. None if there is no such entry."""
        entry = self.reader.entry(key)
        if entry is None:
            return None
        try:
            return Read(entry, entry.packed(self.reader.part, output))
        except Damaged as damage:
            return Damage(key, entry.node_type, str(damage))

    def size(self) -> int:
        """Return the approximate size of the entries in bytes."""
        return sum(size for _, size in self.reader.by_type().values())

    def close(self) -> None:
        """Close the index."""
        self.reader.close()


def _reason(wire: str, error: Exception) -> str:
    if isinstance(error, KeyError) and wire not in Value.types:
        return f"no loaded node pack declares the type {wire}"
    return f"{type(error).__name__}: {error}"
