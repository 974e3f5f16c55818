"""The interface of every store: results under content keys, as live values and as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from typing import Literal, NamedTuple, Protocol

from engine.values import Packed

Tier = Literal["memory", "disk"]


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


class Store(Protocol):
    """Stores results under keys. Every method may be called from any thread.

    A store only saves work, so its own errors are not raised: a damaged or missing result is a miss, a result
    that cannot be written is not kept, and both are reported as warnings.
    """

    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        """Look up which of the keys are stored, and in which tier. Reads no values."""
        ...

    def load(self, key: str) -> Result | None:
        """The result under a key, verified against its checksums; None if it is missing or damaged."""
        ...

    def packed(self, key: str, output: str) -> Packed | None:
        """One output as bytes, verified and ready to be written to files. Unpacks nothing.

        Raises:
            TypeError: the value is in memory only and has no `pack`.
            ValueError: the value is in memory only and a number in it is NaN or infinite.
        """
        ...

    def save(self, key: str, result: Result) -> None:
        """Save a result. An existing result under the key stays."""
        ...

    def drop_live(self, key: str) -> None:
        """Drop the live values of a result, because a node may have written into them."""
        ...

    def flush(self) -> None:
        """Write all saved results to disk, so that the next process finds them."""
        ...

    def close(self) -> None:
        """Flush, and release files and values."""
        ...
