"""What travels between the nodes of this pack."""

from __future__ import annotations

from array import array
from collections.abc import Mapping
from dataclasses import dataclass

from engine.values import Json, Packed, Part, Value


@dataclass(frozen=True)
class Tune(Value, wire="stranger/Tune"):
    """Notes, one after another."""

    notes: tuple[int, ...]
    """Half tones above the lowest key."""
    beat: float = 0.5
    """Seconds that each note takes."""

    def summary(self) -> str:
        """How long it is."""
        return f"{len(self.notes)} notes, {len(self.notes) * self.beat:g} s"

    def preview(self) -> Json:
        """The notes as numbers."""
        return list(self.notes)

    def pack(self) -> Packed:
        """The notes as 16-bit integers."""
        data = array("h", self.notes).tobytes()
        return Packed(self.wire, {"beat": self.beat}, (Part("notes", "application/octet-stream", data),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Tune:
        """The tune that `pack` made this of."""
        assert isinstance(meta, dict)
        assert isinstance(meta["beat"], float)
        return cls(tuple(array("h", parts["notes"])), meta["beat"])
