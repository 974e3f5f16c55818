"""Results kept as bytes in a folder, within a number of bytes, for the next process and the next week."""

from __future__ import annotations

import sqlite3
import time
from collections.abc import Callable, Mapping, Sequence
from pathlib import Path
from threading import RLock
from typing import Concatenate, NamedTuple, ParamSpec, TypeVar

from engine import values
from engine.store.buffer import SECONDS, Buffer, Found
from engine.store.entry import Entry, plain_bytes
from engine.store.opening import Unusable, open_folder
from engine.store.store import Held, Result
from engine.store.ticker import Ticker
from engine.store.trouble import Trouble, text
from engine.values import Packed

P = ParamSpec("P")
T = TypeVar("T")


class Usage(NamedTuple):
    """What a store holds."""

    by_type: Mapping[str, tuple[int, int]]
    """Node type -> (entries, bytes), largest first; a part that two entries share counts for both."""
    uses: Mapping[str, tuple[int, int]]
    """Node type -> how often its results were there when a run wanted them, and how often they were made."""
    bytes: int
    """What the folder takes, the index and shared parts counted once."""
    budget: int


class Disk:
    """A folder of results: an SQLite index, with long parts as files named by their sha256.

    Everything read is verified. Trouble is never an exception: a damaged or vanished entry is removed and
    said, what cannot be written is not kept and said once. Rows wait up to 50 ms (or 2,048 of them) to be
    written together; this process sees them at once, others and the next one after that, or after `flush`.

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
        self._warn = warn
        self._said: set[str] = set()
        self._lock = RLock()
        self._writable = True
        self._mended = False
        self._buffer = self._open()
        self._ticker = Ticker(self._write_what_is_due, SECONDS)

    def where(self, keys: Sequence[str]) -> dict[str, Held]:
        """Which of these keys are held."""
        return self._try(Buffer.where, {}, keys)

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
        self._try(Buffer.touch, None, key)

    def count(self, hits: Mapping[str, int]) -> None:
        """Note how often results of which node types were there when a run wanted them, in whichever tier."""
        if hits:
            self._try(Buffer.count, None, hits)
            self._ticker.start()

    def save(self, key: str, result: Result) -> None:
        """Keep a result; one that cannot become bytes, or is larger than the budget, is not kept."""
        if not self._writable:
            return
        if size := plain_bytes(result):
            self._try(Buffer.save_plain, None, key, result, size)
            if not self._ticker.alive:
                self._ticker.start()
            return
        if not self._try(Buffer.takes, False, key):
            return
        try:
            entry, parts = Entry.of(key, result)
        except Exception as error:  # the code of a node pack may raise anything
            self._say(
                f"pack {result.node_type}",
                f"Results of {result.node_type} are kept in memory only, since they do not become bytes: "
                f"{error}",
            )
            return
        self._try(Buffer.save, None, entry, parts)
        self._ticker.start()

    def flush(self) -> None:
        """Write what waits, so that other processes find it."""
        self._try(Buffer.commit, None)

    def close(self) -> None:
        """Flush and let go of files."""
        self._ticker.close()
        self.flush()
        with self._lock:
            buffer, self._buffer = self._buffer, None
            if buffer is not None:
                buffer.folder.close()

    def usage(self) -> Usage:
        """What is kept, by node type."""
        self.flush()

        def usage(buffer: Buffer) -> Usage:
            index = buffer.folder.index
            return Usage(index.reader.by_type(), index.reader.uses(), index.size(), self.budget)

        return self._try(usage, Usage({}, {}, 0, self.budget))

    def clear(self, node_type: str | None = None, older_than: float | None = None) -> tuple[int, int]:
        """Forget results; returns how many entries and bytes went.

        Args:
            node_type: only of this node type, such as `Denoise@1`, or `Denoise` for all its versions.
            older_than: only those not used for so many seconds.
        """
        self.flush()
        unused_since = None if older_than is None else time.time() - older_than
        return self._try(Buffer.clear, (0, 0), node_type, unused_since)

    def verify(self) -> list[Found]:
        """Read everything; what is damaged is removed and told."""
        self.flush()
        found: list[Found] = []

        def read_all(buffer: Buffer) -> None:
            found.extend(Found("", "", what) for what in buffer.folder.index.reader.check())
            if found:
                self._mend(buffer, found[0].what)
                return
            for key in buffer.folder.index.reader.keys():
                if isinstance(entry := buffer.read(key), Found):
                    found.append(entry)

        self._try(read_all, None)
        return found

    def _read(self, key: str, output: str | None = None) -> tuple[Entry, dict[str, Packed]] | None:
        found = self._try(Buffer.read, None, key, output)
        if isinstance(found, Found):
            self._warn(
                f"A kept result of {found.node_type or 'a step'} is damaged: {found.what}. "
                f"It was removed from {self.folder} and is made again when it is needed."
            )
            return None
        if found is not None:
            self.touch(key)
        return found

    def _write_what_is_due(self) -> float | None:
        return self._try(Buffer.commit_when_due, None)

    def _try(
        self, use: Callable[Concatenate[Buffer, P], T], otherwise: T, *args: P.args, **named: P.kwargs
    ) -> T:
        """Use the folder; when there is none or it fails, say so, and answer otherwise."""
        buffer = self._buffer
        if buffer is None:
            return otherwise
        try:
            return use(buffer, *args, **named)
        except (OSError, sqlite3.Error) as error:
            if buffer is self._buffer:  # neither closed nor mended meanwhile
                trouble = Trouble.of(error)
                if trouble is Trouble.DAMAGED:
                    self._mend(buffer, str(error))
                else:
                    if trouble is Trouble.FORBIDDEN:
                        self._writable = False
                    self._say(trouble.name, trouble.sentence(self.folder, text(error)))
            return otherwise

    def _open(self, damage: str | None = None) -> Buffer | None:
        try:
            return Buffer(open_folder(self.folder, self.budget, self._warn, damage))
        except Unusable as unusable:
            self._say("unusable", str(unusable))
            return None

    def _mend(self, buffer: Buffer, damage: str) -> None:
        """Begin a new index in place of a damaged one; once, since twice means a failing disk."""
        with self._lock:
            if buffer is not self._buffer:
                return
            self._buffer = None
            buffer.folder.close()
            if self._mended:
                self._say("unusable", Trouble.DAMAGED.sentence(self.folder, damage))
                return
            self._mended = True
            self._buffer = self._open(damage)

    def _say(self, kind: str, message: str) -> None:
        if kind not in self._said:
            self._said.add(kind)
            self._warn(message)


def _why_not(wire: str, error: Exception) -> str:
    if isinstance(error, KeyError) and wire not in values.Value.types:
        return f"no loaded node pack knows the type {wire}"
    return f"{type(error).__name__}: {error}"
