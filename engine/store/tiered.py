"""The store that a run uses: memory over disk."""

from __future__ import annotations

from collections.abc import Mapping, Sequence

from engine.store.disk import Disk
from engine.store.memory import Memory
from engine.store.store import Held, Result
from engine.values import Packed


class Tiered:
    """Results in memory first, and on disk if there is one.

    Args:
        memory: the fast tier.
        disk: the lasting tier; None keeps nothing beyond this process.
    """

    def __init__(self, memory: Memory, disk: Disk | None = None) -> None:
        self.memory = memory
        self.disk = disk

    def where(self, keys: Sequence[str]) -> dict[str, Held]:
        """Which of these keys are held; `memory` where both tiers do."""
        found = self.memory.where(keys)
        if self.disk is not None and len(found) < len(keys):
            found |= self.disk.where([key for key in keys if key not in found])
        return found

    def load(self, key: str) -> Result | None:
        """The result under a key; one read from disk is in memory from then on."""
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
        """One output as bytes: those on disk if they are there, else packed from the live value.

        Raises:
            TypeError: the value is in memory only and does not say how it becomes bytes.
            ValueError: likewise, and a number in it is NaN or infinite.
        """
        found = None if self.disk is None else self.disk.packed(key, output)
        return found if found is not None else self.memory.packed(key, output)

    def save(self, key: str, result: Result) -> None:
        """Keep a result in both tiers; one that cannot become bytes stays in memory only."""
        self.memory.save(key, result)
        if self.disk is not None:
            self.disk.save(key, result)

    def count(self, hits: Mapping[str, int]) -> None:
        """Note how often results of which node types were there when a run wanted them."""
        if self.disk is not None:
            self.disk.count(hits)

    def flush(self) -> None:
        """Make everything saved so far findable by the next process."""
        if self.disk is not None:
            self.disk.flush()

    def close(self) -> None:
        """Flush and let go of files and values."""
        if self.disk is not None:
            self.disk.close()
        self.memory.close()
