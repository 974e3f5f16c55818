"""Encodes pictures for the events of running steps: previews and samples."""

from __future__ import annotations

import io
from typing import Any

from engine.events import Picture
from engine.values import Value

QUALITY = 90
"""The JPEG quality, from 1 to 100."""


def encoded(value: object) -> Picture | None:
    """Encode a value's picture as JPEG, or as PNG if it is not plain RGB or grey; None if it has no picture.

    Args:
        value: a `Picture`, a Pillow image, a `Value` whose `preview` returns one of these, or a function that
            returns one of these or None.
    """
    shown: Any = value.preview() if isinstance(value, Value) else value() if callable(value) else value
    if isinstance(shown, Picture):
        return shown
    if not hasattr(shown, "save") or not hasattr(shown, "mode"):
        return None
    width, height = shown.size
    file = io.BytesIO()
    if shown.mode in ("L", "RGB"):
        shown.save(file, "JPEG", quality=QUALITY)
        return Picture(file.getvalue(), "image/jpeg", width, height)
    shown.save(file, "PNG")
    return Picture(file.getvalue(), "image/png", width, height)
