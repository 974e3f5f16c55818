"""Reads and writes the text metadata of PNG, JPEG and WEBP files."""

from __future__ import annotations

from collections.abc import Mapping

from engine.picture_text import exif, exif_writer, png

MEDIA = ("image/png", "image/jpeg", "image/webp")
"""The media types of these formats."""


def read_text(picture: bytes) -> dict[str, str] | None:
    """Read the text metadata of a picture file, by name; None if the file has another format.

    Raises:
        ValueError: the file is a damaged PNG. Damaged EXIF data is skipped without an error.
    """
    if picture.startswith(png.SIGNATURE):
        return png.read_text(picture)
    if picture.startswith(exif.JPEG) or exif.is_webp(picture):
        return exif.read_text(picture)
    return None


def write_text(picture: bytes, texts: Mapping[str, str]) -> bytes:
    """Add texts to a picture file, without re-encoding it; they replace texts of the same names.

    Raises:
        ValueError: the file has another format or is damaged, or its format cannot store one of the texts.
    """
    if picture.startswith(png.SIGNATURE):
        return png.write_text(picture, texts)
    if picture.startswith(exif.JPEG) or exif.is_webp(picture):
        return exif_writer.write_text(picture, texts)
    raise ValueError("not a PNG, JPEG or WEBP file")
