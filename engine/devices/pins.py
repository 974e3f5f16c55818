"""The loaded models that a step uses, which no other step may evict."""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence

from engine.devices.ledger import Key, Loaded
from engine.files import changed_file, overwritten


class Pins:
    """The loaded models of one step; none of them is evicted before `release`.

    Args:
        unpin: removes one pin of each model.
        bytes_of: returns the bytes of models on a device, with those of the models whose memory they share.
    """

    __slots__ = ("_bytes_of", "_entries", "_unpin")

    def __init__(
        self, unpin: Callable[[Sequence[Loaded]], None], bytes_of: Callable[[str, Sequence[Key]], int]
    ) -> None:
        self._unpin, self._bytes_of = unpin, bytes_of
        self._entries: dict[int, Loaded] = {}

    def keep(self, entry: Loaded) -> bool:
        """Record one pin of a model, which `release` removes; False if the step has pinned it before."""
        if id(entry) in self._entries:
            return False
        self._entries[id(entry)] = entry
        return True

    def drop(self, entry: Loaded) -> bool:
        """Give up the pin of a model, for the caller to undo; False if the step has not pinned it."""
        return self._entries.pop(id(entry), None) is not None

    def bytes(self, device: str) -> int:
        """The bytes of the pinned models on a device, with those of the models whose memory they share."""
        return self._bytes_of(device, [entry.key for entry in self._entries.values()])

    def require_unchanged(self) -> None:
        """Check that the files of the models did not change while the step used them.

        Raises:
            NodeError: `changed_file`: one was overwritten.
        """
        require_unchanged(self._entries.values())

    def release(self) -> None:
        """Remove all pins."""
        entries, self._entries = self._entries, {}
        self._unpin(list(entries.values()))


def require_unchanged(entries: Iterable[Loaded]) -> None:
    """Check that no file was overwritten from which the memory of loaded models may be mapped.

    Raises:
        NodeError: one was overwritten (`changed_file`), so results of the model may be wrong.
    """
    for entry in entries:
        if (path := overwritten(entry.files)) is not None:
            raise changed_file(path)
