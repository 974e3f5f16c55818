"""Sends the bytes of files: pictures that Safelight encoded are shown, all else is downloaded.

A file that is given by its path is read and sent piece by piece, so that its size does not matter.
"""

from __future__ import annotations

from pathlib import Path
from urllib.parse import quote

from fastapi import Response
from fastapi.responses import FileResponse

INLINE = frozenset({"image/png", "image/jpeg", "image/webp"})
"""The media types that a browser may show."""
IMMUTABLE = "private, max-age=31536000, immutable"
"""The caching of a file that is named by its digest."""


def inline(data: bytes | Path, media: str, caching: str = "no-store", name: str = "file") -> Response:
    """Create the response for a file that Safelight wrote.

    A browser shows it if it is a picture, and saves any other file under `name`.
    """
    if media not in INLINE:
        return attachment(data, caching, name)
    return _answer(data, media, {"Cache-Control": caching})


def attachment(data: bytes | Path, caching: str = "no-store", name: str = "file") -> Response:
    """Create the response for a file of unknown content; a browser saves it under `name`, never shows it."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    headers = {"Cache-Control": caching, "Content-Disposition": disposition}
    return _answer(data, "application/octet-stream", headers)


def _answer(data: bytes | Path, media: str, headers: dict[str, str]) -> Response:
    if isinstance(data, bytes):
        return Response(data, media_type=media, headers=headers)
    return FileResponse(data, media_type=media, headers=headers)
