"""The memory tier of the store: keeps results as live values, within a budget of bytes."""

from __future__ import annotations

from collections import Counter
from collections.abc import Sequence
from threading import Lock

from engine.packing import pack
from engine.store.result_eviction import EvictionQueue, worth
from engine.store.store import Result, Store, StoredResult
from engine.values import Packed, arrays, nbytes, on_host

_OBJECT_BYTES = 64
"""The approximate overhead of a Python object, in bytes."""

_PLAIN = frozenset({bool, int, float, str, type(None)})
"""The types of values that hold no arrays. Most steps of a large graph return such values."""


class Memory(Store):
    """A store of live values, which evicts the least valuable results when it is full.

    Tensors on a device are copied to the host, so that results take no device memory from models. The run
    itself keeps the tensors on the device while further steps need them.

    The size of a result is that of `engine.values.nbytes`. An array shared by several results, such as an
    input that a step passes through, counts once.

    Args:
        budget_bytes: the most bytes of all results together; a result larger than this is not kept.
    """

    def __init__(self, budget_bytes: int) -> None:
        self.budget = budget_bytes
        self.bytes = 0
        """The current size of all results in bytes."""
        self._results: dict[str, _Kept] = {}
        self._arrays: Counter[int] = Counter()  # id of an array -> the number of results that hold it
        self._queue = EvictionQueue(self._results)
        self._lock = Lock()

    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """Return the tier and times of those keys that are stored, by key."""
        results = self._results
        held = {}
        for key in keys:
            kept = results.get(key)
            if kept is not None:
                if kept.held is None:
                    kept.held = StoredResult("memory", kept.result.seconds, kept.result.made)
                held[key] = kept.held
        return held

    def load(self, key: str) -> Result | None:
        """Return the result under a key, with the live values and no copies; None if it is missing."""
        with self._lock:
            kept = self._results.get(key)
            if kept is None:
                return None
            self._queue.use(kept)
            return kept.result

    def packed(self, key: str, output: str) -> Packed | None:
        """Pack one output of a result into bytes; None if it is missing.

        Raises:
            TypeError: the value has no `pack`.
            ValueError: a number in it is NaN or infinite.
        """
        result = self.load(key)
        return None if result is None or output not in result.outputs else pack(result.outputs[output])

    def packed_plain(self, key: str, output: str) -> Packed | None:
        """Pack one output into bytes if it is a plain value, which takes no time; otherwise return None."""
        result = self.load(key)
        plain = result is not None and type(result.outputs.get(output, result)) in _PLAIN
        return self.packed(key, output) if plain else None

    def save(self, key: str, result: Result) -> None:
        """Save a result, and evict others if the tier is full."""
        kept = _Kept(_on_host(result))
        arrays = kept.arrays
        if kept.own_bytes + (sum(arrays.values()) if arrays else 0) > self.budget:
            return
        with self._lock:
            if self._results.setdefault(key, kept) is not kept:
                return
            self.bytes += kept.own_bytes
            if arrays:
                self.bytes += sum(size for array, size in arrays.items() if not self._arrays[array])
                self._arrays.update(arrays.keys())
            self._queue.use(kept)
            self._queue.add(key, kept)
            while self.bytes > self.budget:
                self._remove(self._queue.lowest())

    def _remove(self, key: str) -> None:
        kept = self._results.pop(key)
        self.bytes -= kept.own_bytes
        for array, size in (kept.arrays or {}).items():
            self._arrays[array] -= 1
            if not self._arrays[array]:
                del self._arrays[array]
                self.bytes -= size

    def drop_live(self, key: str) -> None:
        """Remove a result, because a node may have written into its values."""
        with self._lock:
            if key in self._results:
                self._remove(key)
                self._queue.clear()

    def clear(self) -> None:
        """Remove all results."""
        with self._lock:
            self._results.clear()
            self._arrays.clear()
            self._queue.clear()
            self.bytes = 0

    def close(self) -> None:
        """Remove all results."""
        self.clear()


def _on_host(result: Result) -> Result:
    """Copy the tensors of a result to the host; return the same object if all are on the host already."""
    outputs = result.outputs
    if _PLAIN.issuperset(map(type, outputs.values())):
        return result
    hosted = {name: on_host(value) for name, value in outputs.items()}
    if all(hosted[name] is value for name, value in outputs.items()):
        return result
    return result._replace(outputs=hosted)


class _Kept:
    """A result in memory, with its size and its rank for eviction."""

    __slots__ = ("arrays", "held", "last_use", "own_bytes", "rank", "result", "worth")

    def __init__(self, result: Result) -> None:
        self.result = result
        self.held: StoredResult | None = None  # created by the first call of `where` for it
        self.arrays: dict[int, int] | None = None  # id -> bytes of the arrays that other results may share
        size = _OBJECT_BYTES
        for name, value in result.outputs.items():
            size += _OBJECT_BYTES + len(name) + nbytes(value)
            if type(value) not in _PLAIN:
                self.arrays = self.arrays or {}
                self.arrays |= {id(array): int(array.nbytes) for array in arrays(value)}
        self.own_bytes = size
        if self.arrays:
            self.own_bytes = max(size - sum(self.arrays.values()), _OBJECT_BYTES)
        self.worth = worth(result.seconds, size)
        self.rank = 0.0
        self.last_use = 0
