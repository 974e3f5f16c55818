"""Sends the bytes of files: pictures that Safelight encoded are shown, all else is downloaded."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Response

INLINE = frozenset({"image/png", "image/jpeg", "image/webp"})
"""The media types that a browser may show."""
IMMUTABLE = "private, max-age=31536000, immutable"
"""The caching of a file that is named by its digest."""


def inline(data: bytes, media: str, caching: str = "no-store", name: str = "file") -> Response:
    """Create the response for a file that Safelight wrote.

    A browser shows it if it is a picture, and saves any other file under `name`.
    """
    if media not in INLINE:
        return attachment(data, caching, name)
    return Response(data, media_type=media, headers={"Cache-Control": caching})


def attachment(data: bytes, caching: str = "no-store", name: str = "file") -> Response:
    """Create the response for a file of unknown content; a browser saves it under `name`, never shows it."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    headers = {"Cache-Control": caching, "Content-Disposition": disposition}
    return Response(data, media_type="application/octet-stream", headers=headers)
