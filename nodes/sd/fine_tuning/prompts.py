"""Makes the prompts of training pictures: a line of a template, filled in with the caption."""

from __future__ import annotations

import random
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from typing import Any

from nodes.sd.fine_tuning.latents import CachedPicture
from nodes.sd.fine_tuning.templates import CaptionChanges, filled


@dataclass(frozen=True)
class CaptionedPicture:
    """The latents of a picture, with the texts for its prompts."""

    latents: CachedPicture
    caption: str = ""
    columns: Mapping[str, Any] = field(default_factory=dict)


@dataclass(frozen=True)
class Prompts:
    """Makes the prompts of pictures."""

    name: str
    """The text that replaces `[name]`."""
    lines: Sequence[str]
    """The lines of the template; each use of a picture takes one at random."""
    changes: CaptionChanges = field(default_factory=CaptionChanges)
    once: bool = False
    """True if each picture keeps its first line for the whole training, as in A1111."""
    seed: int = 0
    """The seed of the choice of lines if `once` is set."""
    dropout: float = 0.0
    """The probability of an empty prompt."""

    def of(self, picture: CaptionedPicture, number: int, rng: random.Random) -> str:
        """Make a prompt for a picture; `number` is its number in the dataset."""
        if self.dropout and rng.random() < self.dropout:
            return ""
        line = (
            random.Random(f"{self.seed} {number}").choice(self.lines) if self.once else rng.choice(self.lines)
        )
        return filled(line, self.name, self.changes.applied(picture.caption, rng), picture.columns)

    def fullest(self, caption: str, columns: Mapping[str, Any]) -> str:
        """Make a prompt with the whole caption, from a line with `[filewords]` if the template has one."""
        line = max(self.lines, key=lambda line: "[filewords]" in line)
        return filled(line, self.name, caption, columns)

    def first(self, picture: CaptionedPicture) -> str:
        """Make the prompt of a picture from the first line of the template and the whole caption."""
        return filled(self.lines[0], self.name, picture.caption, picture.columns)
