"""Combines new captions with those that pictures already have."""

from __future__ import annotations

from dataclasses import replace
from typing import Literal

from engine.errors import NodeError
from nodes.picture_sets.dataset import DatasetPicture

MOST_CHARACTERS = 20_000
"""The most characters of a caption."""
Existing = Literal["keep", "replace", "prepend", "append"]
"""What happens to a caption that a picture has: it is kept, replaced, or the new one is added."""


def with_new_caption(picture: DatasetPicture, new: str, existing: Existing) -> DatasetPicture:
    """Add a caption to a picture, or replace or keep the existing one, as `existing` says.

    A caption made from the file name does not count as an existing one.

    Raises:
        NodeError: the caption is too long.
    """
    old = picture.own_caption
    if not old.strip() or existing == "replace":
        return with_caption(picture, new)
    if existing == "keep":
        return picture
    return with_caption(picture, ", ".join([new, old] if existing == "prepend" else [old, new]))


def with_caption(picture: DatasetPicture, caption: str) -> DatasetPicture:
    """Return the picture with another caption.

    Raises:
        NodeError: the caption has more than 20,000 characters.
    """
    if len(caption) > MOST_CHARACTERS:
        message = (
            f"the caption of {picture.name} has {len(caption):,} characters; the limit is {MOST_CHARACTERS:,}"
        )
        raise NodeError(message, code="too_long")
    if caption == picture.caption and picture.caption_source != "file name":
        return picture
    return replace(picture, caption=caption, caption_source="edited")
