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
    """Convert a PNG picture to the wanted format. Returns its media type and its bytes.

    A picture that the format cannot hold stays PNG: JPEG has no transparency, JPEG and WEBP have at most
    8 bits per channel, and WEBP has at most 16,383 pixels along a side.

    Args:
        part: the part of an output; if it is not PNG, it is returned unchanged.
        format: the wanted format.
        quality: the quality of lossy formats, from 1 to 100.
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
