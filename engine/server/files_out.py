"""Answers with the bytes of files: pictures that Safelight encoded are shown, all else is a download."""

from __future__ import annotations

from urllib.parse import quote

from fastapi import Response

INLINE = frozenset({"image/png", "image/jpeg", "image/webp"})
"""The media types that a browser may show."""
IMMUTABLE = "private, max-age=31536000, immutable"
"""The caching of a file that is named by its digest."""


def inline(data: bytes, media: str, caching: str = "no-store", name: str = "file") -> Response:
    """A picture that Safelight has encoded; a file of another type becomes a download with a name."""
    if media not in INLINE:
        return attachment(data, caching, name)
    return Response(data, media_type=media, headers={"Cache-Control": caching})


def attachment(data: bytes, caching: str = "no-store", name: str = "file") -> Response:
    """A file of unknown content: a browser saves it under the name, and never shows it."""
    disposition = f"attachment; filename*=UTF-8''{quote(name, safe='')}"
    headers = {"Cache-Control": caching, "Content-Disposition": disposition}
    return Response(data, media_type="application/octet-stream", headers=headers)
