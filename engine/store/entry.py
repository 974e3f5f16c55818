"""One kept result as a row of the index: what its outputs are, and a checksum over all of it."""

from __future__ import annotations

import json
from collections.abc import Callable, Mapping
from dataclasses import dataclass
from hashlib import sha256 as _sha256
from json.encoder import encode_basestring_ascii as _quoted
from math import isfinite
from types import NoneType
from typing import Any, NamedTuple

from engine import values
from engine.store.store import Result
from engine.values import Packed, Part, sha256

INLINE_BYTES = 16 * 1024
"""Parts up to this size lie in the index; longer ones are files of their own."""

ROW_BYTES = 320
"""What the columns and indexes of a row take beside its outputs, about."""

_PLAIN_TEXT = 1024  # letters; a longer text is packed at once, so that what waits stays small
_PLAIN_INT = 1 << 64

_PLAIN = {NoneType, bool, int, float, str}

# Not the canonical spelling: a dict comes back in the order in which it was made.
_encode = json.JSONEncoder(allow_nan=False, separators=(",", ":"), check_circular=False).encode


class Damaged(Exception):
    """A kept result is not what was saved; the message says how it shows.

    Args:
        what: how it shows.
        digest: the part that is bad, unless the row is.
    """

    def __init__(self, what: str, digest: str | None = None) -> None:
        super().__init__(what)
        self.digest = digest


class PartRow(NamedTuple):
    """A part without its bytes."""

    name: str
    media: str
    size: int
    digest: str


@dataclass(frozen=True, slots=True)
class Entry:
    """A row. `check` covers everything else in it, the key included."""

    key: str
    outputs: str
    """JSON: output name -> [wire type, meta, [[part name, media type, size, sha256], ...]]."""
    node_type: str
    seconds: float
    made: float
    check: bytes

    @classmethod
    def of(cls, key: str, result: Result) -> tuple[Entry, dict[str, bytes]]:
        """The row of a result, and the bytes of its parts by sha256.

        Raises:
            TypeError: a value does not say how it becomes bytes.
            ValueError: a number in it is NaN or infinite.
        """
        outputs: dict[str, Any] = {}
        data: dict[str, bytes] = {}
        for name, value in result.outputs.items():
            if type(value) in _PLAIN:
                outputs[name] = ["json", value, []]
                continue
            packed = values.pack(value)
            parts = []
            for part in packed.parts:
                digest = sha256(part.data)
                data[digest] = part.data
                parts.append([part.name, part.media, len(part.data), digest])
            outputs[name] = [packed.type, packed.meta, parts]
        fields = (key, _encode(outputs), result.node_type, float(result.seconds), float(result.made))
        return cls(*fields, check=_check(*fields)), data

    @property
    def row_bytes(self) -> int:
        """About how much room the row itself takes in the index."""
        return len(self.outputs) + ROW_BYTES

    def packed(self, read: Callable[[PartRow], bytes], output: str | None = None) -> dict[str, Packed]:
        """The outputs as bytes, all or one; `read` fetches the bytes of a part and vouches for them.

        Raises:
            Damaged: the row is not what was saved.
            Exception: whatever `read` raises.
        """
        found = {}
        for name, (wire, meta, rows) in self._checked().items():
            if output is None or name == output:
                parts = (PartRow(*row) for row in rows)
                held = tuple(Part(part.name, part.media, read(part)) for part in parts)
                found[name] = Packed(wire, meta, held)
        return found

    def _checked(self) -> Mapping[str, Any]:
        if self.check != _check(self.key, self.outputs, self.node_type, self.seconds, self.made):
            raise Damaged("its row in the index does not match its checksum")
        outputs: Mapping[str, Any] = json.loads(self.outputs)
        return outputs


def plain_bytes(result: Result) -> int:
    """About how much room a result takes in the index, if all its outputs are short plain values; else 0.

    Such a result needs no packing, so that it may wait as it is, and cannot fail to become a row.
    """
    size = ROW_BYTES
    for value in result.outputs.values():
        kind = type(value)
        if kind is int:
            if not -_PLAIN_INT < value < _PLAIN_INT:  # type: ignore[operator]  # mypy sees no `kind is`
                return 0
        elif kind is float:
            if not isfinite(value):  # type: ignore[arg-type]
                return 0
        elif kind is str:
            if len(value) > _PLAIN_TEXT:  # type: ignore[arg-type]
                return 0
            size += 2 * len(value)  # type: ignore[arg-type]
        elif kind is not bool and value is not None:
            return 0
        size += 48
    return size


def plain_row(key: str, result: Result) -> tuple[str, str, str, float, float, bytes]:
    """The columns of an `Entry`, in order, of a result whose `plain_bytes` are not 0."""
    outputs = []
    for name, value in result.outputs.items():
        kind = type(value)
        if kind is int or kind is float:
            text = repr(value)
        elif kind is str:
            text = _quoted(value)  # type: ignore[arg-type]
        else:
            text = "null" if value is None else "true" if value else "false"
        outputs.append(f'{_quoted(name)}:["json",{text},[]]')
    spelled = "{" + ",".join(outputs) + "}"
    node_type, seconds, made = result.node_type, float(result.seconds), float(result.made)
    return key, spelled, node_type, seconds, made, _check(key, spelled, node_type, seconds, made)


def _check(key: str, outputs: str, node_type: str, seconds: float, made: float) -> bytes:
    text = f"{key}\n{node_type}\n{seconds!r}\n{made!r}\n{outputs}"
    return _sha256(text.encode("utf-8", "surrogatepass")).digest()
