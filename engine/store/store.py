"""The base class of all stores: results under content keys, as live values and as bytes."""

from __future__ import annotations

from abc import ABC, abstractmethod
from collections.abc import Mapping, Sequence
from pathlib import Path
from typing import Literal, NamedTuple

from engine.values import Packed

Tier = Literal["memory", "disk"]
"""Where a result is: in this process, or in the store that later processes read."""


class Result(NamedTuple):
    """The outputs of one step, with the time that it took."""

    outputs: Mapping[str, object]
    seconds: float
    """Wall-clock seconds that the step took."""
    made: float
    """When the step ended, in seconds since the epoch."""
    node_type: str = ""
    """The node type of the step, such as `Denoise@1`: shown to people and used in statistics; not part of the
    result's identity."""


class StoredResult(NamedTuple):
    """The tier and times of a stored result, without its values."""

    tier: Tier
    seconds: float
    made: float


class Store(ABC):
    """Stores results under keys. Every method may be called from any thread.

    A new store implements `where`, `load`, `packed` and `save`. The other methods do nothing here; a store
    implements those that mean something for it.

    A store only saves work, so its own errors are not raised: a damaged or missing result is a miss, a result
    that cannot be written is not kept, and both are reported as warnings.
    """

    @abstractmethod
    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """Look up which of the keys are stored, and in which tier. Reads no values."""

    @abstractmethod
    def load(self, key: str) -> Result | None:
        """The result under a key, verified against its checksums; None if it is missing or damaged."""

    @abstractmethod
    def packed(self, key: str, output: str) -> Packed | None:
        """One output as bytes, verified and ready to be written to files. Unpacks nothing.

        Raises:
            TypeError: the value is in memory only and has no `pack`.
            ValueError: the value is in memory only and a number in it is NaN or infinite.
        """

    @abstractmethod
    def save(self, key: str, result: Result) -> None:
        """Save a result. An existing result under the key stays."""

    def drop_live(self, key: str) -> None:
        """Drop the live values of a result, because a node may have written into them."""

    def touch(self, key: str) -> None:
        """Record the use of a result that was read from another tier, for a store that evicts by use."""

    def count(self, hits: Mapping[str, int]) -> None:
        """Count the results of each node type that a run found in any tier, for statistics."""

    def free_disk(self, place: Path, size: int, last: Sequence[str] = ()) -> bool:
        """Delete results to free room on a full disk.

        Args:
            place: a folder on the full disk. Nothing is deleted if the results are on another disk.
            size: the number of bytes needed.
            last: keys of results that are deleted only if all others do not suffice.

        Returns:
            True if at least `size` bytes were freed.
        """
        return False

    def flush(self) -> None:
        """Write all saved results, so that the next process finds them."""

    def close(self) -> None:
        """Flush, and release files and values."""
