"""Named tensors of one file: what is known of each without reading it, and its numbers when asked for."""

from __future__ import annotations

import io
import math
import zlib
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import TYPE_CHECKING, Any

from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.opened import Identity, opened, read_at

if TYPE_CHECKING:
    from torch import Tensor

DTYPES = {
    "F64": ("float64", 8),
    "F32": ("float32", 4),
    "F16": ("float16", 2),
    "BF16": ("bfloat16", 2),
    "F8_E4M3": ("float8_e4m3fn", 1),
    "F8_E5M2": ("float8_e5m2", 1),
    "I64": ("int64", 8),
    "I32": ("int32", 4),
    "I16": ("int16", 2),
    "I8": ("int8", 1),
    "U8": ("uint8", 1),
    "BOOL": ("bool", 1),
}
"""What safetensors calls each kind of number: torch's name for it, and its bytes."""

_INFLATED_LIMIT = 64 << 20
"""Nobody deflates large weights; a small file that claims to be large inside is a trap."""


@dataclass(frozen=True)
class Run:
    """Some bytes of a file that tensors lie in."""

    start: int
    size: int
    deflated: int | None = None
    """How many bytes it takes in the file if they are deflated there."""


@dataclass(frozen=True)
class Entry:
    """What is known of one tensor before it is read."""

    dtype: str
    """As safetensors calls it: `F32`, `F16`, `BF16` …"""
    shape: tuple[int, ...]
    run: Run
    offset: int
    """Bytes from the beginning of the run to the tensor's first number."""
    strides: tuple[int, ...] | None = None
    """Numbers from one to the next along each side; None where they lie one after another."""

    @property
    def count(self) -> int:
        """How many numbers it has."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The bytes of its numbers."""
        return self.count * DTYPES[self.dtype][1]

    @property
    def floating(self) -> bool:
        """Whether its numbers can be fractions."""
        return self.dtype.startswith(("F", "BF"))


@dataclass(frozen=True)
class Named:
    """Stands in the tree of a file where the tensor of that name does."""

    name: str


class Tensors(Mapping[str, "Tensor"]):
    """The tensors of one file, read one by one as they are asked for.

    Every look at one opens the file anew, so nothing stays open, and reads a copy, so nothing that happens to
    the file later changes what was read. A file that was replaced since is refused, not mixed with the new.

    Args:
        path: the file.
        identity: which file that is.
        format: `safetensors`, `torch zip` or `torch stream`.
        entries: what is known of each tensor, by name.
        metadata: the text that a safetensors file carries beside its tensors.
        tree: everything that a pickle holds around its tensors: dicts, lists, plain values, and `Named` where
            a tensor stands.
    """

    def __init__(
        self,
        path: Path,
        identity: Identity,
        format: str,
        entries: Mapping[str, Entry],
        metadata: Mapping[str, str],
        tree: Any,
    ) -> None:
        self.path, self.identity, self.format = path, identity, format
        self.entries, self.metadata, self.tree = entries, metadata, tree

    def __iter__(self) -> Iterator[str]:
        return iter(self.entries)

    def __len__(self) -> int:
        return len(self.entries)

    def __contains__(self, name: object) -> bool:
        return name in self.entries

    def __getitem__(self, name: str) -> Tensor:
        """A tensor, on the CPU, in the file's own precision, with memory of its own.

        Raises:
            KeyError: there is none of that name.
            BadFileError: the file is gone, was changed, or is damaged there.
        """
        return self.some([name])[name]

    def some(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Several tensors, each as when it is asked for alone; the file is opened once.

        Raises:
            KeyError: there is none of one of these names.
            BadFileError: the file is gone, was changed, or is damaged there.
        """
        import torch

        found = {}
        file, _ = opened(self.path, self.identity)
        with file:
            for name in names:
                entry = self.entries[name]
                dtype: torch.dtype = getattr(torch, DTYPES[entry.dtype][0])
                if entry.count:
                    numbers = torch.frombuffer(self._raw(file, entry), dtype=dtype)
                    found[name] = numbers.reshape(entry.shape)
                else:
                    found[name] = torch.empty(entry.shape, dtype=dtype)
        return found

    def raw(self, name: str) -> bytearray:
        """The bytes of a tensor's numbers, one after another as safetensors lays them out.

        Raises:
            KeyError: there is none of that name.
            BadFileError: the file is gone, was changed, or is damaged there.
        """
        file, _ = opened(self.path, self.identity)
        with file:
            return self._raw(file, self.entries[name])

    def _raw(self, file: io.FileIO, entry: Entry) -> bytearray:
        if entry.strides is None or not entry.count:
            return self._read(file, entry)
        import numpy
        from numpy.lib.stride_tricks import as_strided

        item = DTYPES[entry.dtype][1]
        flat = numpy.frombuffer(self._read(file, entry), f"<u{item}")
        laid = as_strided(flat, entry.shape, [stride * item for stride in entry.strides], writeable=False)
        return bytearray(laid.tobytes())

    def finite(self, name: str) -> bool:
        """Whether a tensor is free of NaN and infinity, without torch.

        Raises:
            KeyError: there is none of that name.
            BadFileError: the file is gone, was changed, or is damaged there.
        """
        import numpy

        entry = self.entries[name]
        if not entry.floating or not entry.count:
            return True
        file, _ = opened(self.path, self.identity)
        with file:
            data = self._read(file, entry)
        if entry.dtype == "BF16":  # unknown to numpy: all bits of the exponent set
            return not bool(((numpy.frombuffer(data, "<u2") & 0x7F80) == 0x7F80).any())
        if entry.dtype == "F8_E5M2":
            return not bool(((numpy.frombuffer(data, "u1") & 0x7C) == 0x7C).any())
        if entry.dtype == "F8_E4M3":  # has NaN alone, no infinity
            return not bool(((numpy.frombuffer(data, "u1") & 0x7F) == 0x7F).any())
        return bool(numpy.isfinite(numpy.frombuffer(data, f"<f{DTYPES[entry.dtype][1]}")).all())

    def _read(self, file: io.FileIO, entry: Entry) -> bytearray:
        """The bytes from a tensor's first number to its last."""
        if not entry.count:
            return bytearray()
        item = DTYPES[entry.dtype][1]
        if entry.strides is None:
            length = entry.nbytes
        else:
            steps = zip(entry.shape, entry.strides, strict=True)
            length = (1 + sum((side - 1) * stride for side, stride in steps)) * item
        if entry.run.deflated is None:
            return read_at(file, entry.run.start + entry.offset, length)
        packed = read_at(file, entry.run.start, entry.run.deflated)
        if entry.run.size > _INFLATED_LIMIT:
            raise BadFileError(
                "too_large", f"{self.path} unpacks to {entry.run.size:,} bytes. Save it unpacked."
            )
        try:
            data = zlib.decompressobj(-15).decompress(packed, entry.run.size + 1)
        except zlib.error:
            data = b""
        if len(data) != entry.run.size:
            raise BadFileError(
                "bad_zip", f"{self.path} is a zip file with a damaged member. Download it again."
            )
        return bytearray(data[entry.offset : entry.offset + length])
