"""The base class of all stores: results under content keys, as live values and as bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from engine.values import Packed

Tier = Literal["memory", "disk"]
"""The place of a result: in the memory of this process, or on the disk, where later processes find it."""


class Result(NamedTuple):
    """The outputs of one step, with the time that it took."""

    outputs: Mapping[str, object]
    seconds: float
    """The wall-clock seconds that the step took."""
    made: float
    """The time at which the step ended, in seconds since the epoch."""
    node_type: str = ""
    """The node type of the step, such as `Denoise@1`, for messages and statistics."""


class StoredResult(NamedTuple):
    """The tier and the times of a stored result, without its values; see `Result` for the times."""

    tier: Tier
    seconds: float
    made: float


class Store(ABC):
    """Stores results under keys. Every method may be called from any thread.

    A subclass implements `where`, `load`, `packed` and `save`. The other methods do nothing here; a subclass
    overrides those that it needs.

    A store only saves time, so its own errors are not raised: a damaged result counts as missing, a result
    that cannot be written is not kept, and both cause a warning.
    """

    @abstractmethod
    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """Return the tier and times of those keys that are stored, by key, without reading values."""

    @abstractmethod
    def load(self, key: str) -> Result | None:
        """Read the result under a key, and verify its checksums; None if it is missing or damaged."""

    @abstractmethod
    def packed(self, key: str, output: str) -> Packed | None:
        """Read one output as bytes, verified and ready to be written to files; None if it is missing.

        Raises:
            TypeError: the value is in memory only and has no `pack`.
            ValueError: the value is in memory only and a number in it is NaN or infinite.
        """

    @abstractmethod
    def save(self, key: str, result: Result) -> None:
        """Save a result. If the key is stored already, keep the existing result."""

    def drop_live(self, key: str) -> None:
        """Drop the live values of a result, because a node may have written into them."""

    def touch(self, key: str) -> None:
        """Record that a result was used, although it was read from another tier."""

    def count(self, hits: Mapping[str, int]) -> None:
        """Add to the counts of results that runs have reused, by node type, for statistics."""

    def free_disk(self, place: Path, size: int, last: Sequence[str] = ()) -> bool:
        """Delete results to free space on a full disk.

        Args:
            place: a folder on the full disk. Nothing is deleted if the results are on another disk.
            size: the number of bytes needed.
            last: keys of results that are deleted only if all others do not suffice.

        Returns:
            True if at least `size` bytes were freed.
        """
        return False

    def flush(self) -> None:
        """Write all saved results to disk, so that the next process finds them."""

    def close(self) -> None:
        """Write all saved results, and release files and values."""
