"""Encodes the pictures of declared outputs, which nodes make as PNG, in the format that a user wants."""

from __future__ import annotations

import io
import warnings
from typing import Any

from engine.settings import PictureFormat
from engine.values import Part

_PNG = "image/png"
_ENCODERS = {
    "jpeg": ("image/jpeg", "JPEG", ("L", "RGB")),
    "webp": ("image/webp", "WEBP", ("L", "RGB", "RGBA")),
    "webp-lossless": ("image/webp", "WEBP", ("L", "RGB", "RGBA")),
}
"""The media type, Pillow's name and the modes of each format."""


def encoded(part: Part, format: PictureFormat, quality: int) -> tuple[str, bytes]:
    """The media type and the bytes of a part of an output.

    A PNG picture is converted. It stays PNG if the format cannot hold it: JPEG has no transparency, both have
    at most 8 bits per channel, and WEBP has at most 16,383 pixels along a side.

    Args:
        part: the part; anything but PNG stays as it is.
        format: the wanted format.
        quality: the quality of lossy formats, 1 to 100.
    """
    if part.media != _PNG or format == "png":
        return part.media, part.data
    from PIL import Image

    media, name, modes = _ENCODERS[format]
    options: dict[str, Any] = {"lossless": True} if format == "webp-lossless" else {"quality": quality}
    file = io.BytesIO()
    # A node of this run made the picture, so a large one is no attack.
    warnings.filterwarnings("ignore", category=Image.DecompressionBombWarning)
    try:
        with Image.open(io.BytesIO(part.data), formats=["PNG"]) as picture:
            if picture.mode not in modes or "transparency" in picture.info:
                return part.media, part.data
            picture.save(file, name, **options)
    except (OSError, ValueError, SyntaxError, Image.DecompressionBombError):
        return part.media, part.data
    return media, file.getvalue()
