"""Changes the tags of captions, which are separated by commas, as kohya's sd-scripts does."""

from __future__ import annotations

import random
from collections.abc import Collection
from dataclasses import dataclass


@dataclass(frozen=True)
class TagChanges:
    """How the tags of a caption are changed: which are removed, dropped at random or shuffled."""

    removed: Collection[str] = ()
    """Tags to remove, in lower case."""
    keep: int = 0
    """The number of tags at the beginning that are neither dropped nor moved (kohya: keep_tokens)."""
    drop: float = 0.0
    """The probability of dropping each of the other tags (kohya: caption_tag_dropout_rate)."""
    shuffle: bool = False
    """True to shuffle the other tags (kohya: shuffle_caption)."""

    def applied(self, caption: str, rng: random.Random) -> str:
        """Return the caption with its tags changed and joined by `, `; unchanged if no change is set."""
        if not (self.removed or self.drop or self.shuffle):
            return caption
        tags = [tag for tag in map(str.strip, caption.split(",")) if tag]
        tags = [tag for tag in tags if tag.casefold() not in self.removed]
        first, rest = tags[: self.keep], tags[self.keep :]
        if self.shuffle:
            rng.shuffle(rest)
        if self.drop:
            rest = [tag for tag in rest if rng.random() >= self.drop]
        return ", ".join([*first, *rest])
