"""EditCaptions and SetCaptions: change the captions of a dataset."""

from __future__ import annotations

import random
from collections.abc import Sequence
from dataclasses import replace
from typing import Annotated

from pydantic import Field

from engine.context import Context
from engine.errors import NodeError
from engine.node import Node
from engine.widgets import Advanced, Range, Seed
from nodes.picture_sets.dataset import DatasetPicture
from nodes.picture_sets.existing_captions import Existing, with_caption, with_new_caption
from nodes.picture_sets.patterns import Pattern
from nodes.picture_sets.tags import TagChanges
from nodes.sd.fine_tuning.templates import filled, unknown_tags
from nodes.values import Dataset


class EditCaptions(Node, category="dataset"):
    """Change the captions of a dataset: replace words, remove, shuffle and drop tags, add text around them.

    The changes are made in the order of the inputs, once for the whole training. TrainTI can also shuffle and
    drop tags anew at each use of a picture.
    """

    dataset: Dataset
    find: str = ""
    """The text to replace wherever it occurs. Empty: nothing is replaced."""
    replace: str = ""
    """The text in its place. With `regex`, `\\1` is the first group of the expression."""
    regex: bool = False
    """`find` is a regular expression, such as `\\bphoto of\\b`."""
    remove_tags: str = ""
    """Tags to remove, separated by commas. Capital and small letters are the same."""
    keep_tags: Annotated[int, Range(0, 100)] = 0
    """The number of tags at the beginning that are neither shuffled nor dropped (kohya: `keep_tokens`)."""
    shuffle_tags: bool = False
    """Shuffle the tags, which commas separate."""
    drop_tags: Annotated[float, Range(0, 1, step=0.05)] = 0.0
    """The probability of leaving out each tag, 0 to 1."""
    drop_captions: Annotated[float, Range(0, 1, step=0.05)] = 0.0
    """The probability of an empty caption, 0 to 1. A model trained with some learns to do without."""
    prefix: str = ""
    """Text before each caption, with its own comma or space at the end. `[artist]` is the column `artist` of
    the picture."""
    suffix: str = ""
    """Text after each caption, with its own comma or space at the beginning."""
    seed: Annotated[Seed, Advanced] = 0
    """The seed of `shuffle_tags`, `drop_tags` and `drop_captions`. The changes of a picture depend on this
    and on its file only, not on the other pictures."""

    def run(self, ctx: Context) -> Dataset:
        """Change the captions.

        Raises:
            NodeError: the regex cannot be used, or a caption becomes longer than 20,000 characters.
        """
        pattern = Pattern(self.find, "find") if self.regex and self.find else None
        removed = frozenset(tag.strip().casefold() for tag in self.remove_tags.split(",") if tag.strip())
        changes = TagChanges(removed, self.keep_tags, self.drop_tags, self.shuffle_tags)
        columns = [picture.columns for picture in self.dataset.pictures]
        for tag in unknown_tags([self.prefix, self.suffix], columns):
            ctx.warn(f"no picture has a column {tag!r}, so [{tag}] is left out")
        pictures = [
            with_caption(picture, self._edited(picture, pattern, changes))
            for picture in ctx.track(self.dataset.pictures, unit="pictures")
        ]
        return replace(self.dataset, pictures=tuple(pictures))

    def _edited(self, picture: DatasetPicture, pattern: Pattern | None, changes: TagChanges) -> str:
        rng = random.Random(f"{self.seed} {picture.key.decode()}")
        if rng.random() < self.drop_captions:
            return ""
        caption = picture.caption
        if pattern is not None:
            caption = pattern.replaced(caption, self.replace)
        elif self.find:
            caption = caption.replace(self.find, self.replace)
        caption = changes.applied(caption, rng)
        before, after = (
            filled(text, "[name]", "[filewords]", picture.columns) for text in (self.prefix, self.suffix)
        )
        return before + caption + after


class SetCaptions(Node, category="dataset"):
    """Set the captions of a dataset, by the names of the pictures or by a list in their order.

    The canvas writes captions that are edited in the view of a dataset into `by_name`; no file is changed.
    """

    dataset: Dataset
    captions: list[str] | None = None
    """One caption for each picture, in order, such as those of a captioner."""
    by_name: Annotated[dict[str, str], Advanced] = Field(default_factory=dict)
    """The captions of single pictures by name, such as `{"cats/1.png": "a cat on a sofa"}`. They take
    precedence over `captions`, and do not shift when pictures are added to the folder."""
    existing: Existing = "replace"
    """What happens to a caption that a picture has from a text file, a JSONL file or a node: the new caption
    replaces it (`replace`), is ignored (`keep`), or is written before (`prepend`) or after it (`append`). A
    caption that was made from the file name is always replaced."""

    def run(self, ctx: Context) -> Dataset:
        """Set the captions.

        Raises:
            NodeError: the number of captions differs from that of the pictures, or a caption is too long.
        """
        if self.captions is not None and len(self.captions) != len(self.dataset):
            message = f"there are {len(self.captions)} captions for {len(self.dataset)} pictures"
            raise NodeError(message, input="captions", code="wrong_count")
        new: Sequence[str | None] = self.captions or [None] * len(self.dataset)
        pictures = []
        for picture, listed in zip(self.dataset.pictures, new, strict=True):
            caption = self.by_name.get(picture.printable_name, listed)
            pictures.append(picture if caption is None else with_new_caption(picture, caption, self.existing))
        self._warn(ctx)
        return replace(self.dataset, pictures=tuple(pictures))

    def _warn(self, ctx: Context) -> None:
        """Warn about names in `by_name` that no picture has, and about names that several files share."""
        files: dict[str, set[str]] = {}
        for picture in self.dataset.pictures:
            files.setdefault(picture.printable_name, set()).add(picture.file.digest)
        unknown = [name for name in self.by_name if name not in files]
        if unknown:
            ctx.warn(f"`by_name` has captions for pictures that are not in the dataset: {_listed(unknown)}")
        shared = [name for name in self.by_name if len(files.get(name, ())) > 1]
        if shared:
            message = f"`by_name` gives the same caption to several pictures named {_listed(shared)}"
            ctx.warn(f"{message}; connect SetCaptions before JoinDatasets to tell them apart")


_MOST_NAMES = 10


def _listed(names: list[str]) -> str:
    more = len(names) - _MOST_NAMES
    return ", ".join(names[:_MOST_NAMES]) + (f" and {more} more" if more > 0 else "")
