"""The seam of every store: results under content keys, as live values and as bytes."""

from __future__ import annotations

from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Literal, Protocol

from engine.values import Packed

Tier = Literal["memory", "disk"]


@dataclass(frozen=True, slots=True)
class Result:
    """What one step made: its outputs by name, and what it cost."""

    outputs: Mapping[str, object]
    seconds: float
    """Wall-clock seconds that it took to make."""
    made: float
    """When it was made, in seconds since the epoch."""
    node_type: str = ""
    """The node type that made it, such as `Denoise@1`; for people and for eviction, never for identity."""


@dataclass(frozen=True, slots=True)
class Held:
    """Where a key's result lies, without reading it."""

    tier: Tier
    seconds: float
    made: float


class Store(Protocol):
    """Results under keys. Every method may be called from any thread.

    Nothing here raises for a cache's own trouble: a damaged or vanished entry is a miss, an entry that cannot
    be written is not kept, and both are told to the `warn` that a store was made with.
    """

    def where(self, keys: Sequence[str]) -> dict[str, Held]:
        """Which of these keys are held, and in which tier. Reads no values."""
        ...

    def load(self, key: str) -> Result | None:
        """The result under a key, verified against its checksum; None on a miss or when it is damaged."""
        ...

    def packed(self, key: str, output: str) -> Packed | None:
        """One output as bytes, verified: what a face writes to files. Unpacks nothing.

        Raises:
            TypeError: the value is in memory only and does not say how it becomes bytes.
            ValueError: likewise, and a number in it is NaN or infinite.
        """
        ...

    def save(self, key: str, result: Result) -> None:
        """Keep a result. A key that is already held is left as it is."""
        ...

    def flush(self) -> None:
        """Make everything saved so far durable enough to be found by the next process."""
        ...

    def close(self) -> None:
        """Flush and let go of files."""
        ...
