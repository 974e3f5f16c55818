"""Changing tunes."""

from __future__ import annotations

from typing import Annotated, Any

from engine.context import Context
from engine.node import Node, is_connected
from engine.widgets import Range

from .tune import Tune


class Transpose(Node, category="tunes", version=2, passes={"out": "tune"}):
    """Play a tune higher or lower."""

    tune: Tune
    by: Annotated[int, Range(-24, 24)] = 0
    """In half tones; it was in octaves once."""

    @classmethod
    def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
        """Octaves, as version 1 had them, in half tones."""
        if version < 2 and "octaves" in inputs:
            octaves = inputs.pop("octaves")
            inputs["by"] = octaves if is_connected(octaves) else 12 * octaves
        return inputs

    def run(self, ctx: Context) -> Tune:
        return Tune(tuple(note + self.by for note in self.tune.notes), self.tune.beat)
