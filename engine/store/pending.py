"""A result on its way into the index."""

from __future__ import annotations

from collections.abc import Mapping

from engine.store.entry import INLINE_BYTES, Entry


class Pending:
    """An entry, and of its parts the sizes, the bytes of the short ones and the names of the long ones.

    Args:
        entry: the row.
        parts: the bytes of its parts by sha256.
    """

    __slots__ = ("brought", "entry", "file_bytes", "files", "row_bytes", "short", "sizes")

    def __init__(self, entry: Entry, parts: Mapping[str, bytes]) -> None:
        self.entry = entry
        self.sizes = {digest: len(data) for digest, data in parts.items()}
        self.short = {digest: data for digest, data in parts.items() if len(data) <= INLINE_BYTES}
        self.files = [digest for digest in parts if digest not in self.short]
        self.brought: list[str] = []
        """Those of the files that were not there before."""
        self.file_bytes = sum(self.sizes[digest] for digest in self.files)
        self.row_bytes = entry.row_bytes + sum(self.sizes.values()) - self.file_bytes
