"""Results kept as live values, within a number of bytes."""

from __future__ import annotations

import heapq
from collections import Counter
from collections.abc import Sequence
from threading import Lock

from engine import values
from engine.store.rank import worth
from engine.store.store import Held, Result
from engine.values import Packed


class Memory:
    """The fastest tier: what this process made or read, until the room is needed for something dearer.

    Sizes are those that `engine.values.nbytes` tells, except that an array that several results share (a step
    that hands its input on) counts once. `engine.store.rank` says what is evicted first.

    Args:
        budget_bytes: the most that all kept results may hold together; a larger result is not kept.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget = budget_bytes
        self.bytes = 0
        """What the kept results hold now, in bytes."""
        self._entries: dict[str, _Entry] = {}
        self._arrays: Counter[int] = Counter()  # id of an array -> how many kept results hold it
        self._queue: list[tuple[float, int, str]] | None = None  # a heap of ranks, some of them out of date
        self._floor = 0.0
        self._uses = 0
        self._lock = Lock()

    def where(self, keys: Sequence[str]) -> dict[str, Held]:
        """Which of these keys are held."""
        entries = self._entries
        found = {}
        for key in keys:
            entry = entries.get(key)
            if entry is not None:
                if entry.held is None:
                    entry.held = Held("memory", entry.result.seconds, entry.result.made)
                found[key] = entry.held
        return found

    def load(self, key: str) -> Result | None:
        """The result under a key, or None. The values are the live ones, not copies."""
        with self._lock:
            entry = self._entries.get(key)
            if entry is None:
                return None
            self._use(entry)
            return entry.result

    def packed(self, key: str, output: str) -> Packed | None:
        """One output as bytes, or None.

        Raises:
            TypeError: the value does not say how it becomes bytes.
            ValueError: a number in it is NaN or infinite.
        """
        result = self.load(key)
        return None if result is None or output not in result.outputs else values.pack(result.outputs[output])

    def save(self, key: str, result: Result) -> None:
        """Keep a result, and let cheaper ones go when there is no room."""
        entry = _Entry(result)
        arrays = entry.arrays
        if entry.own + (sum(arrays.values()) if arrays else 0) > self.budget:
            return
        with self._lock:
            if self._entries.setdefault(key, entry) is not entry:
                return
            self.bytes += entry.own
            if arrays:
                self.bytes += sum(size for at, size in arrays.items() if not self._arrays[at])
                self._arrays.update(arrays.keys())
            self._use(entry)
            if self._queue is not None:
                heapq.heappush(self._queue, (entry.rank, entry.used, key))
            while self.bytes > self.budget:
                self._evict()

    def _use(self, entry: _Entry) -> None:
        self._uses += 1
        entry.used = self._uses
        entry.rank = self._floor + entry.worth

    def _evict(self) -> None:
        if self._queue is None:  # most processes never need it
            self._queue = [(entry.rank, entry.used, key) for key, entry in self._entries.items()]
            heapq.heapify(self._queue)
        rank, used, key = heapq.heappop(self._queue)
        entry = self._entries[key]
        if entry.used > used:  # since it was queued, so its rank may be higher now
            heapq.heappush(self._queue, (entry.rank, entry.used, key))
            return
        self._floor = rank
        del self._entries[key]
        self.bytes -= entry.own
        for at, size in (entry.arrays or {}).items():
            self._arrays[at] -= 1
            if not self._arrays[at]:
                del self._arrays[at]
                self.bytes -= size

    def clear(self) -> None:
        """Let go of everything."""
        with self._lock:
            self._entries.clear()
            self._arrays.clear()
            self._queue = None
            self.bytes = 0

    def flush(self) -> None:
        """Nothing to do: memory is not found by the next process."""

    def close(self) -> None:
        """Let go of everything."""
        self.clear()


_OBJECT_BYTES = 64
"""What a Python object takes besides its content, about."""

_PLAIN = frozenset({bool, int, float, str, type(None)})
"""Types of values that hold no arrays, told apart early because most steps of a large graph make them."""


class _Entry:
    """A kept result, what of it is its own and which arrays it may share, and its rank."""

    __slots__ = ("arrays", "held", "own", "rank", "result", "used", "worth")

    def __init__(self, result: Result) -> None:
        self.result = result
        self.held: Held | None = None  # made when somebody asks for it
        self.arrays: dict[int, int] | None = None
        size = _OBJECT_BYTES
        for name, value in result.outputs.items():
            size += _OBJECT_BYTES + len(name) + values.nbytes(value)
            if type(value) not in _PLAIN:
                self.arrays = self.arrays or {}
                self.arrays |= {id(array): int(array.nbytes) for array in values.arrays(value)}
        self.own = size
        if self.arrays:
            self.own = max(size - sum(self.arrays.values()), _OBJECT_BYTES)
        self.worth = worth(result.seconds, size)
        self.rank = 0.0
        self.used = 0
