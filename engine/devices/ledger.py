"""The list of the models that are loaded on one device, with their sizes in bytes."""

from __future__ import annotations

import time
from collections import OrderedDict
from collections.abc import Callable, Hashable, Iterable, Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any, NamedTuple

from engine.digests import Identity

NextUse = Callable[[Hashable], float]
"""A function from the identity of a recipe to the number of steps until its next use; infinity if none."""


class Key(NamedTuple):
    """The key of a loaded model: the recipe's identity, and the settings that it was loaded with."""

    identity: Hashable
    placement: str
    """See `ComputeSettings.placement`."""


@dataclass(slots=True, eq=False)
class Loaded:
    """A loaded model, and the data that decides when it may be evicted."""

    key: Key
    model: Any
    size: int
    """Its size on the device in bytes, without the tensors that it shares with its bases."""
    bases: tuple[Key, ...]
    """The keys of the models whose tensors it shares, the direct base first."""
    files: Mapping[Path, Identity] = field(default_factory=dict)
    """The files from which its tensors may be memory-mapped, with their identities at the time of loading."""
    label: str = ""
    """A description of the model for people."""
    pins: int = 0
    """The number of steps and loads that are using it. It is evicted only if there are none."""
    used: float = 0.0


class Row(NamedTuple):
    """A loaded model as `Residency.ledger` lists it, for people and tests."""

    device: str
    identity: Hashable
    size: int
    pinned: bool
    last_use: float
    """The time of its last use, in seconds since the epoch."""
    next_use: float
    """The number of steps until a running run uses it next; infinity if none will."""
    label: str = ""
    """A description of the model for people."""


class Ledger:
    """The models that are loaded on one device, in the order of their last use, the oldest first."""

    def __init__(self) -> None:
        self.bytes = 0
        self._entries: OrderedDict[Key, Loaded] = OrderedDict()

    def use(self, key: Key) -> Loaded | None:
        """Return the model with a key and mark it as most recently used; None if it is not loaded."""
        entry = self._entries.get(key)
        if entry is not None:
            now = time.time()
            for used in (*entry.bases, key):
                if used in self._entries:  # a base may have been removed by `clear`
                    self._entries.move_to_end(used)
                    self._entries[used].used = now
        return entry

    def add(self, entry: Loaded) -> None:
        """Add a model that has just been loaded."""
        self._entries[entry.key] = entry
        self.bytes += entry.size
        self.use(entry.key)

    def drop(self, entry: Loaded) -> None:
        """Remove a model, whether it is pinned or not."""
        self.bytes -= self._entries.pop(entry.key).size

    @property
    def evictable(self) -> list[Loaded]:
        """The models that can be evicted, least recently used first.

        Pinned models cannot be evicted. A base model whose tensors other loaded models share cannot either,
        since that would free no memory.
        """
        shared = {base for entry in self._entries.values() for base in entry.bases}
        return [entry for key, entry in self._entries.items() if not entry.pins and key not in shared]

    def remove(self, key: Key) -> bool:
        """Remove a model unless it is pinned or others share its tensors. Returns True if it was removed."""
        entry = self._entries[key]
        if entry.pins or any(key in other.bases for other in self._entries.values()):
            return False
        self.bytes -= self._entries.pop(key).size
        return True

    def remove_all_of(self, key: Key) -> bool:
        """Remove a model and all that share its tensors. If one is pinned, remove none and return False."""
        keys = {key, *self._entries[key].bases}
        sharing = [entry for entry in self._entries.values() if keys & {entry.key, *entry.bases}]
        if any(entry.pins for entry in sharing):
            return False
        for entry in sharing:
            self.drop(entry)
        return True

    def clear(self) -> None:
        """Remove all models, pinned or not."""
        self._entries.clear()
        self.bytes = 0

    def bytes_of(self, keys: Iterable[Key]) -> int:
        """Return the total size of models and of the bases whose tensors they share; each counts once."""
        entries = [self._entries[key] for key in keys if key in self._entries]
        shared = {key for entry in entries for key in (entry.key, *entry.bases)}
        return sum(self._entries[key].size for key in shared if key in self._entries)

    def rows(self, device: str, next_use: NextUse) -> list[Row]:
        """List the loaded models, least recently used first."""
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
