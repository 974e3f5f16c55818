"""Values for the tests of the stores, and what to expect of a store that a seed filled."""

from __future__ import annotations

import random
from collections.abc import Mapping
from dataclasses import dataclass
from pathlib import Path
from typing import Any, Self

import numpy as np

from engine.store.store import Result
from engine.values import Json, Packed, Part, Value, sha256


@dataclass(frozen=True)
class Note(Value, wire="TestNote"):
    """Some text and any number of runs of bytes."""

    text: str
    pages: tuple[bytes, ...] = ()

    def pack(self) -> Packed:
        parts = (Part(f"page-{n}", "application/octet-stream", page) for n, page in enumerate(self.pages))
        return Packed(self.wire, {"text": self.text, "pages": len(self.pages)}, tuple(parts))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        assert isinstance(meta, dict)
        count = meta["pages"]
        assert isinstance(count, int)
        return cls(str(meta["text"]), tuple(parts[f"page-{n}"] for n in range(count)))


@dataclass(frozen=True, eq=False)
class Grid(Value, wire="TestGrid"):
    """An array."""

    array: np.ndarray[Any, Any]

    def __eq__(self, other: object) -> bool:
        return (
            isinstance(other, Grid)
            and self.array.dtype == other.array.dtype
            and np.array_equal(self.array, other.array)
        )

    def pack(self) -> Packed:
        meta: Json = {"shape": list(self.array.shape), "dtype": self.array.dtype.str}
        return Packed(self.wire, meta, (Part("array", "application/octet-stream", self.array.tobytes()),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        assert isinstance(meta, dict)
        shape: Any = meta["shape"]
        return cls(np.frombuffer(parts["array"], np.dtype(str(meta["dtype"]))).reshape(shape))


def result(*values: object, seconds: float = 1.0, node_type: str = "Test@1", made: float = 1.5e9) -> Result:
    """A result whose outputs are named a, b, c..."""
    outputs = {chr(ord("a") + n): value for n, value in enumerate(values)}
    return Result(outputs, seconds, made, node_type)


def key(n: int) -> str:
    return sha256(f"key {n}".encode())


def result_of(n: int) -> Result:
    """The result under `key(n)`: plain JSON, a short part, a long part, or all of them."""
    made = random.Random(n)
    kinds = (
        lambda: {"n": n, "list": [1.5, None, "ü"]},
        lambda: Note(f"short {n}", (made.randbytes(made.randrange(1, 2000)),)),
        lambda: Note(f"long {n}", (made.randbytes(made.randrange(17_000, 60_000)),)),
        lambda: [Note(f"in a list {n}", (made.randbytes(20_000), made.randbytes(10))), n],
    )
    return result(kinds[n % 4](), n, seconds=n / 7, node_type=f"Kind{n % 4}@1", made=1.5e9 + n)


def folder_bytes(folder: Path) -> int:
    return sum(path.stat().st_size for path in folder.rglob("*") if path.is_file())


def blob_names(folder: Path) -> set[str]:
    return {path.parent.name + path.name for path in (folder / "blobs").rglob("*") if path.is_file()}
