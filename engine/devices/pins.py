"""Pins: they keep the loaded models of a running step from being evicted."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from engine.devices.ledger import Key, Loaded
from engine.files import changed_file, overwritten


class Pins:
    """The loaded models that one step has pinned. None of them is evicted before `release`.

    Args:
        unpin: decrements the pin count of each model.
        bytes_of: returns the total size of models on a device, with the bases whose tensors they share.
    """

    __slots__ = ("_bytes_of", "_entries", "_unpin")

    def __init__(
        self, unpin: Callable[[Sequence[Loaded]], None], bytes_of: Callable[[str, Sequence[Key]], int]
    ) -> None:
        self._unpin, self._bytes_of = unpin, bytes_of
        self._entries: dict[int, Loaded] = {}

    def keep(self, entry: Loaded) -> bool:
        """Record that the step has pinned a model. Returns False if it had pinned the model before."""
        if id(entry) in self._entries:
            return False
        self._entries[id(entry)] = entry
        return True

    def drop(self, entry: Loaded) -> bool:
        """Forget the pin of a model; the caller decrements its pin count. Returns False if there is none."""
        return self._entries.pop(id(entry), None) is not None

    def bytes(self, device: str) -> int:
        """Return the total size of the pinned models on a device, with the bases whose tensors they share."""
        return self._bytes_of(device, [entry.key for entry in self._entries.values()])

    def require_unchanged(self) -> None:
        """Check that no file of the models was overwritten while the step used them.

        Raises:
            NodeError: `changed_file`: a file was overwritten.
        """
        require_unchanged(self._entries.values())

    def release(self) -> None:
        """Remove all pins."""
        entries, self._entries = self._entries, {}
        self._unpin(list(entries.values()))


def require_unchanged(entries: Iterable[Loaded]) -> None:
    """Check that no file was overwritten from which tensors of these models may be memory-mapped.

    Raises:
        NodeError: `changed_file`: a file was overwritten, so results of the model may be wrong.
    """
    for entry in entries:
        if (path := overwritten(entry.files)) is not None:
            raise changed_file(path)
