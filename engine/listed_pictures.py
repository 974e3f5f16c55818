"""The protocol of values that contain pictures, such as datasets, so that a canvas can list the pictures."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from engine.files import Files


@dataclass(frozen=True, slots=True)
class ListedPicture:
    """A picture of a dataset, or of another value that lists its pictures."""

    name: str
    """The name that captions refer to, such as `cats/1.png`. Copies of one file have the same name."""
    caption: str
    caption_source: str
    """The source of the caption, such as `txt`, `file name` or `edited`; empty if there is no caption."""
    digest: str
    """The SHA-256 of the picture's file, in hex."""
    file_width: int | None
    """The size of the picture in its file, in pixels; null if the file cannot be read."""
    file_height: int | None
    width: int | None
    """The size of the picture after all edits, in pixels."""
    height: int | None
    edits: Sequence[str]
    """Descriptions of the edits that are applied when the picture is read."""
    flags: Sequence[str]
    """Marks that nodes have set on the picture, such as `duplicate`."""
    problem: str | None
    """The reason why the file cannot be read; null if it can."""


@dataclass(frozen=True, slots=True)
class UnlistedFile:
    """A file that looks like a picture but cannot be used."""

    name: str
    reason: str


@runtime_checkable
class ListsPictures(Protocol):
    """Protocol of a `Value` whose pictures a canvas can list. Its fields never change."""

    def list_pictures(self, files: Files) -> tuple[list[ListedPicture], list[UnlistedFile]]:
        """Return the pictures in order, and the files that look like pictures but were left out."""
        ...

    def draw_picture(self, files: Files, place: int, side: int) -> Any:
        """Draw the picture at the index `place` as a Pillow image of at most `side` x `side` pixels.

        Raises:
            NodeError: the picture's file is missing, has changed, or cannot be read.
        """
        ...
