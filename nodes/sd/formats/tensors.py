"""The tensors of one file: names and shapes are known at once, the data is read when needed."""

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
"""The number formats by their safetensors names: torch's name, and the size in bytes."""

_INFLATED_LIMIT = 64 << 20
"""The greatest unpacked size of a compressed tensor. No tool compresses large weights."""


@dataclass(frozen=True)
class Run:
    """A range of bytes of a file that contains tensors."""

    start: int
    size: int
    deflated: int | None = None
    """The number of compressed bytes in the file; None if they are not compressed."""


@dataclass(frozen=True)
class Entry:
    """The description of one tensor, known before it is read."""

    dtype: str
    """The number format by its safetensors name: `F32`, `F16`, `BF16` …"""
    shape: tuple[int, ...]
    run: Run
    offset: int
    """The number of bytes from the start of the run to the first number."""
    strides: tuple[int, ...] | None = None
    """The stride of each dimension, in elements; None if the tensor is contiguous."""

    @property
    def count(self) -> int:
        """The number of elements."""
        return math.prod(self.shape)

    @property
    def nbytes(self) -> int:
        """The number of bytes."""
        return self.count * DTYPES[self.dtype][1]

    @property
    def floating(self) -> bool:
        """Whether the elements are floating-point numbers."""
        return self.dtype.startswith(("F", "BF"))


@dataclass(frozen=True)
class Named:
    """A placeholder for a tensor, by its name, in the tree of a file."""

    name: str


_WRAPPERS = ("state_dict", "model")


def weights_at(tree: Any) -> tuple[str, ...]:
    """The keys that lead to the weights in the tree of a checkpoint, such as `model` and `state_dict`.

    There are at most two, and the last one holds a dict with tensors; none if the weights are at the top.
    """
    keys: tuple[str, ...] = ()
    while isinstance(tree, dict) and len(keys) < 2:
        key = next((key for key in _WRAPPERS if isinstance(tree.get(key), dict)), None)
        if key is None:
            break
        tree, keys = tree[key], (*keys, key)
        if any(isinstance(value, Named) for value in tree.values()):
            return keys
    return ()


class Tensors(Mapping[str, "Tensor"]):
    """The tensors of one file, each read when it is requested.

    The file is opened for each request and not kept open. Tensors are copies, so later changes of the file do
    not affect them. If the file has been replaced or changed, requests fail.

    Args:
        path: the file.
        identity: the identity that the file must have.
        format: `safetensors`, `torch zip` or `torch stream`.
        entries: the description of each tensor, by name.
        metadata: the metadata of a safetensors file.
        tree: the content of the file: dicts, lists and plain values, with a `Named` in place of each tensor.
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
        """Read a tensor to the CPU, in the file's own number format.

        Raises:
            KeyError: there is no tensor of this name.
            BadFileError: the file no longer exists, has changed, or is damaged.
        """
        return self.some([name])[name]

    def some(self, names: Iterable[str]) -> dict[str, Tensor]:
        """Read several tensors, opening the file only once.

        Raises:
            KeyError: there is no tensor of one of the names.
            BadFileError: the file no longer exists, has changed, or is damaged.
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
        """Read the bytes of a tensor, contiguous, as safetensors stores them.

        Raises:
            KeyError: there is no tensor of this name.
            BadFileError: the file no longer exists, has changed, or is damaged.
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
        """Read a tensor without torch; return True if it has neither NaN nor infinity.

        Raises:
            KeyError: there is no tensor of this name.
            BadFileError: the file no longer exists, has changed, or is damaged.
        """
        import numpy

        entry = self.entries[name]
        if not entry.floating or not entry.count:
            return True
        file, _ = opened(self.path, self.identity)
        with file:
            data = self._read(file, entry)
        if entry.dtype == "BF16":  # numpy has no bfloat16: NaN and infinity have all exponent bits set
            return not bool(((numpy.frombuffer(data, "<u2") & 0x7F80) == 0x7F80).any())
        if entry.dtype == "F8_E5M2":
            return not bool(((numpy.frombuffer(data, "u1") & 0x7C) == 0x7C).any())
        if entry.dtype == "F8_E4M3":  # this format has NaN but no infinity
            return not bool(((numpy.frombuffer(data, "u1") & 0x7F) == 0x7F).any())
        return bool(numpy.isfinite(numpy.frombuffer(data, f"<f{DTYPES[entry.dtype][1]}")).all())

    def _read(self, file: io.FileIO, entry: Entry) -> bytearray:
        """Read the bytes from the first element of a tensor to the last one."""
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
