"""Tests of previews: encoded in the run, at most five a second, and only for a run that is watched."""

from __future__ import annotations

import io
from dataclasses import dataclass
from typing import Any

import pytest
from PIL import Image as pillow

from engine import context
from engine.cancel import Cancel
from engine.context import Context
from engine.events import Event, Picture, Preview
from engine.values import Value


@dataclass(frozen=True)
class Dot(Value, wire="PreviewDot"):
    """A value whose preview is a small picture."""

    mode: str = "RGB"

    def preview(self) -> object:
        return pillow.new(self.mode, (3, 2)) if self.mode else {"no": "picture"}


def shown(values: list[object], previews: bool = True) -> list[Picture]:
    events: list[Event] = []
    unused: Any = None
    ctx = Context("dot", events.append, Cancel(), unused, unused, unused, previews=previews)
    for value in values:
        ctx.preview(value)
    return [event.picture for event in events if isinstance(event, Preview)]


@pytest.mark.parametrize(("mode", "media"), [("RGB", "jpeg"), ("L", "jpeg"), ("RGBA", "png"), ("P", "png")])
def test_a_preview_is_an_encoded_picture(mode: str, media: str) -> None:
    for value in (Dot(mode), Dot(mode).preview()):
        (picture,) = shown([value])
        assert (picture.media, picture.width, picture.height) == (f"image/{media}", 3, 2)
        with pillow.open(io.BytesIO(picture.data)) as read:
            assert read.size == (3, 2)


def test_encoded_pictures_pass_and_values_without_a_picture_are_dropped(
    monkeypatch: pytest.MonkeyPatch,
) -> None:
    monkeypatch.setattr(context, "PREVIEWS_A_SECOND", 1e9)
    picture = Picture(b"bytes", "image/webp", 4, 5)
    assert shown([Dot(""), 3, None, picture]) == [picture]


def test_previews_are_few_and_cost_nothing_where_nobody_watches(monkeypatch: pytest.MonkeyPatch) -> None:
    encoded: list[object] = []
    monkeypatch.setattr(context, "encoded", encoded.append)
    shown([Dot()] * 9, previews=False)
    assert encoded == []
    shown([Dot()] * 9)
    assert encoded == [Dot()]
