"""One stored result as a row of the index: its outputs as JSON, its parts by digest, and a checksum."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from hashlib import sha256 as _sha256
from json.encoder import encode_basestring_ascii as _quoted
from math import isfinite
from types import NoneType
from typing import Any, NamedTuple

from engine.packing import pack
from engine.store.store import Result
from engine.values import Packed, Part, sha256

INLINE_BYTES = 16 * 1024
"""Parts up to this size are stored in the index; larger parts are files of their own."""

_ROW_BYTES = 320  # approximate bytes of a row without its outputs, including the indexes

# Not the canonical spelling: a dict comes back in the order in which it was made.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode


class Damaged(Exception):
    """Raised if a stored result differs from what was saved.

    Args:
        message: how the damage was detected.
        digest: the digest of the damaged part; None if the row itself is damaged.
    """

    def __init__(self, message: str, digest: str | None = None) -> None:
        super().__init__(message)
        self.digest = digest


class PartRow(NamedTuple):
    """The description of a part of an output, without its bytes."""

    name: str
    media: str
    size: int
    digest: str


class Entry(NamedTuple):
    """A row of the index: one result."""

    key: str
    outputs: str
    """JSON: output name -> [wire type, meta, [[part name, media type, size, sha256], ...]]."""
    node_type: str
    seconds: float
    made: float
    checksum: bytes
    """The checksum of all other columns, including the key."""

    def packed(self, read: Callable[[PartRow], bytes], output: str | None = None) -> dict[str, Packed]:
        """Read the outputs as bytes, by name.

        Args:
            read: reads and verifies the bytes of a part.
            output: the only output to read; None for all.

        Raises:
            Damaged: the row differs from what was saved.
            Exception: any exception of `read`.
        """
        if self.checksum != _checksum(*self[:5]):
            raise Damaged("its row in the index does not match its checksum")
        packed = {}
        for name, (wire, meta, rows) in json.loads(self.outputs).items():
            if output is None or name == output:
                parts = (PartRow(*row) for row in rows)
                packed[name] = Packed(
                    wire, meta, tuple(Part(part.name, part.media, read(part)) for part in parts)
                )
        return packed


class NewEntry:
    """An entry that has not been inserted into the index yet, with its parts.

    Args:
        key: the key of the result.
        result: the result.

    Raises:
        TypeError: a value has no `pack`.
        ValueError: a number in it is NaN or infinite.
    """

    __slots__ = ("entry", "file_bytes", "files", "row_bytes", "short", "sizes", "written")

    def __init__(self, key: str, result: Result) -> None:
        outputs: list[str] = []
        parts: dict[str, bytes] = {}
        for name, value in result.outputs.items():
            spell = _SPELL.get(type(value))
            spelled = None if spell is None else spell(value)
            if spelled is None:
                packed = pack(value)
                rows = []
                for part in packed.parts:
                    digest = sha256(part.data)
                    parts[digest] = part.data
                    rows.append([part.name, part.media, len(part.data), digest])
                outputs.append(f"{_quoted(name)}:{_encode([packed.type, packed.meta, rows])}")
            else:
                outputs.append(f'{_quoted(name)}:["json",{spelled},[]]')
        text = "{" + ",".join(outputs) + "}"
        columns = key, text, result.node_type, float(result.seconds), float(result.made)
        self.entry = Entry(*columns, _checksum(*columns))
        self.sizes: dict[str, int] = _NONE
        """The bytes of each part, by digest."""
        self.short: dict[str, bytes] = _NONE
        """The parts to store in the index, by digest."""
        self.files: dict[str, bytes] = _NONE
        """The parts to store as files, by digest; their bytes are released after writing."""
        self.written: tuple[str, ...] = ()
        """The digests of the files that did not exist before, so that this entry created them."""
        self.file_bytes = 0
        self.row_bytes = len(text) + _ROW_BYTES
        if parts:
            self.sizes = {digest: len(data) for digest, data in parts.items()}
            self.short = {digest: data for digest, data in parts.items() if len(data) <= INLINE_BYTES}
            self.files = {digest: data for digest, data in parts.items() if digest not in self.short}
            self.file_bytes = sum(map(len, self.files.values()))
            self.row_bytes += sum(map(len, self.short.values()))


_NONE: dict[str, Any] = {}


def _float(value: float) -> str | None:
    return repr(value) if isfinite(value) else None  # for other values, `pack` raises the error


_SPELL: Mapping[type, Callable[[Any], str | None]] = {
    NoneType: lambda value: "null",
    bool: lambda value: "true" if value else "false",
    int: repr,
    float: _float,
    str: _quoted,
}
"""Functions that write plain values as JSON, by type. They save the overhead of an encoder, since most steps
of a large graph return plain values."""


def _checksum(key: str, outputs: str, node_type: str, seconds: float, made: float) -> bytes:
    text = f"{key}\n{node_type}\n{seconds!r}\n{made!r}\n{outputs}"
    return _sha256(text.encode("utf-8", "surrogatepass")).digest()
