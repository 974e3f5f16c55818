"""The pictures in a value, such as a dataset, as a canvas lists them."""

from __future__ import annotations

from collections.abc import Sequence
from dataclasses import dataclass
from typing import Any, Protocol, runtime_checkable

from engine.files import Files


@dataclass(frozen=True, slots=True)
class ListedPicture:
    """One picture."""

    name: str
    """The name by which it gets a caption, such as `cats/1.png`. Copies of one file have the same."""
    caption: str
    caption_source: str
    """Where the caption comes from, such as `txt`, `file name` or `edited`; empty if there is none."""
    digest: str
    """The sha256 of its file."""
    file_width: int | None
    """The size of its file; null if the file cannot be read."""
    file_height: int | None
    width: int | None
    """The size after all edits, at which the picture is used."""
    height: int | None
    edits: Sequence[str]
    """The edits that are applied when the picture is read, in words."""
    flags: Sequence[str]
    """Remarks of nodes, such as `duplicate`."""
    problem: str | None
    """The reason that the file cannot be read."""


@dataclass(frozen=True, slots=True)
class UnlistedFile:
    """A file that looks like a picture but cannot be used."""

    name: str
    reason: str


@runtime_checkable
class ListsPictures(Protocol):
    """A `Value` whose pictures a canvas can list. It has no fields that change."""

    def list_pictures(self, files: Files) -> tuple[list[ListedPicture], list[UnlistedFile]]:
        """The pictures in order, and the files that are left out."""
        ...

    def draw_picture(self, files: Files, place: int, side: int) -> Any:
        """The picture at a place as a Pillow image that fits in `side` x `side` pixels.

        Raises:
            NodeError: its file is missing, has changed, or cannot be read.
        """
        ...
