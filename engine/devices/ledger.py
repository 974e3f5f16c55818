"""The ledger of one device: the loaded models and their bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from engine.digests import Identity

NextUse = Callable[[Hashable], float]
"""Takes the identity of a recipe; returns the number of steps until its next use, or infinity."""


class Key(NamedTuple):
    """The key of a loaded model; the same recipe in another precision has another key."""

    identity: Hashable
    placement: str
    """See `ComputeSettings.placement`."""


@dataclass(slots=True, eq=False)
class Loaded:
    """A loaded model."""

    key: Key
    model: Any
    size: int
    """Its bytes on the device, without those shared with its bases."""
    bases: tuple[Key, ...]
    """The models whose memory it shares, nearest first."""
    files: Mapping[Path, Identity] = field(default_factory=dict)
    """The files that its memory may be mapped from, as they were when it was loaded."""
    label: str = ""
    """The model in words."""
    pins: int = 0
    """The number of steps and loads that currently use it."""
    used: float = 0.0


class Row(NamedTuple):
    """A row of the ledger, for people and tests."""

    device: str
    identity: Hashable
    size: int
    pinned: bool
    last_use: float
    """The time of its last use, in seconds since the epoch."""
    next_use: float
    """The number of steps until a current run uses it next; infinity if none does."""
    label: str = ""
    """The model in words."""


class Ledger:
    """The models loaded on one device, least recently used first."""

    def __init__(self) -> None:
        self.bytes = 0
        self._entries: OrderedDict[Key, Loaded] = OrderedDict()

    def use(self, key: Key) -> Loaded | None:
        """The model under a key, marked as most recently used; None if it is not loaded."""
        entry = self._entries.get(key)
        if entry is not None:
            now = time.time()
            for used in (*entry.bases, key):
                if used in self._entries:  # a base may have been removed by `clear`
                    self._entries.move_to_end(used)
                    self._entries[used].used = now
        return entry

    def add(self, entry: Loaded) -> None:
        """Add a newly loaded model."""
        self._entries[entry.key] = entry
        self.bytes += entry.size
        self.use(entry.key)

    def drop(self, entry: Loaded) -> None:
        """Remove a model."""
        self.bytes -= self._entries.pop(entry.key).size

    @property
    def evictable(self) -> list[Loaded]:
        """The models that can be evicted, least recently used first.

        Pinned models cannot, nor can a base whose memory other loaded models share, since that would free
        nothing.
        """
        shared = {base for entry in self._entries.values() for base in entry.bases}
        return [entry for key, entry in self._entries.items() if not entry.pins and key not in shared]

    def remove(self, key: Key) -> bool:
        """Drop a model, unless it is pinned or others share its memory; returns whether it was dropped."""
        entry = self._entries[key]
        if entry.pins or any(key in other.bases for other in self._entries.values()):
            return False
        self.bytes -= self._entries.pop(key).size
        return True

    def remove_all_of(self, key: Key) -> bool:
        """Drop a model and all that share its memory, unless one is pinned; returns whether it did."""
        keys = {key, *self._entries[key].bases}
        sharing = [entry for entry in self._entries.values() if keys & {entry.key, *entry.bases}]
        if any(entry.pins for entry in sharing):
            return False
        for entry in sharing:
            self.drop(entry)
        return True

    def clear(self) -> None:
        """Drop everything."""
        self._entries.clear()
        self.bytes = 0

    def bytes_of(self, keys: Iterable[Key]) -> int:
        """The bytes of models, with those of the models whose memory they share; each counts once."""
        entries = [self._entries[key] for key in keys if key in self._entries]
        shared = {key for entry in entries for key in (entry.key, *entry.bases)}
        return sum(self._entries[key].size for key in shared if key in self._entries)

    def rows(self, device: str, next_use: NextUse) -> list[Row]:
        """The loaded models, least recently used first."""
        return [
            Row(
                device,
                key.identity,
                entry.size,
                entry.pins > 0,
                entry.used,
                next_use(key.identity),
                entry.label,
            )
            for key, entry in self._entries.items()
        ]
