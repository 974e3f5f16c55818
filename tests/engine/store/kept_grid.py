"""A value that holds an array; apart from the others, since numpy takes long to import."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any, Self

import numpy as np

from engine.values import Json, Packed, Part, Value


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

    def __hash__(self) -> int:
        return hash(self.array.tobytes())

    def pack(self) -> Packed:
        meta: Json = {"shape": list(self.array.shape), "dtype": self.array.dtype.str}
        return Packed(self.wire, meta, (Part("array", "application/octet-stream", self.array.tobytes()),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        assert isinstance(meta, dict)
        shape: Any = meta["shape"]
        return cls(np.frombuffer(parts["array"], np.dtype(str(meta["dtype"]))).reshape(shape))
