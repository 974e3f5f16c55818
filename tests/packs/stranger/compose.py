"""Making tunes."""

from __future__ import annotations

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node

from .tune import Tune


class Compose(Node, category="tunes"):
    """Begin on a note and go up by steps."""

    root: int = 40
    steps: list[int]
    """How far each note is from the one before it."""

    def run(self, ctx: Context) -> Tune:
        notes = [self.root]
        for step in ctx.track(self.steps):
            notes.append(notes[-1] + step)
        if not 0 <= min(notes) <= max(notes) < 88:
            raise NodeError("it leaves the keyboard", hint="take smaller steps", input="steps")
        return Tune(tuple(notes))


class Harmonize(Node, category="tunes"):
    """Play several tunes as one, note by note."""

    tunes: list[Tune]

    def run(self, ctx: Context) -> Tune:
        woven = zip(*(tune.notes for tune in self.tunes), strict=True)
        return Tune(tuple(note for chord in woven for note in chord), self.tunes[0].beat / len(self.tunes))
