"""The store that runs use: a memory tier, and usually a persistent tier behind it."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from pathlib import Path

from engine.store.memory import Memory
from engine.store.store import Result, Store, StoredResult
from engine.values import Packed


class Tiered(Store):
    """A store that keeps results in memory and, if it has a persistent tier, also there.

    Args:
        memory: the fast tier.
        disk: the persistent tier, `Disk` or any other store; None to keep results only until this process
            ends.
    """

    def __init__(self, memory: Memory, disk: Store | None = None) -> None:
        self.memory = memory
        self.disk = disk

    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """Return the tier and times of those keys that are stored; `memory` if both tiers have a result."""
        held = self.memory.where(keys)
        if self.disk is not None and len(held) < len(keys):
            held |= self.disk.where([key for key in keys if key not in held])
        return held

    def load(self, key: str) -> Result | None:
        """Read the result under a key; keep a result that is read from disk in memory, too."""
        result = self.memory.load(key)
        if self.disk is None:
            return result
        if result is not None:
            self.disk.touch(key)
            return result
        result = self.disk.load(key)
        if result is not None:
            self.memory.save(key, result)
        return result

    def packed(self, key: str, output: str) -> Packed | None:
        """Return one output as bytes: read from disk, or packed if it is a plain value or only in memory.

        Raises:
            TypeError: the value is in memory only and has no `pack`.
            ValueError: the value is in memory only and a number in it is NaN or infinite.
        """
        if self.disk is None:
            return self.memory.packed(key, output)
        packed = self.memory.packed_plain(key, output)
        if packed is not None:
            self.disk.touch(key)
            return packed
        packed = self.disk.packed(key, output)
        return packed if packed is not None else self.memory.packed(key, output)

    def save(self, key: str, result: Result) -> None:
        """Save a result in both tiers; a result that cannot be packed is kept in memory only."""
        self.memory.save(key, result)
        if self.disk is not None:
            self.disk.save(key, result)

    def count(self, hits: Mapping[str, int]) -> None:
        """Add to the counts of results that runs have reused, by node type."""
        if self.disk is not None:
            self.disk.count(hits)

    def free_disk(self, place: Path, size: int, last: Sequence[str] = ()) -> bool:
        """Delete results to free space on a full disk; see `Store.free_disk`."""
        return self.disk is not None and self.disk.free_disk(place, size, last)

    def on_disk(self, keys: Sequence[str]) -> set[str]:
        """Return those of the keys that are on disk, where a later process finds them."""
        if self.disk is None:
            return set()
        self.disk.flush()
        return set(self.disk.where(keys))

    def drop_live(self, key: str) -> None:
        """Drop the live values of a result, because a node may have written into them."""
        self.memory.drop_live(key)

    def flush(self) -> None:
        """Write all saved results to disk, so that the next process finds them."""
        if self.disk is not None:
            self.disk.flush()

    def close(self) -> None:
        """Write all saved results to disk, and release files and values."""

        if self.disk is not None:
            self.disk.close()
        self.memory.close()
