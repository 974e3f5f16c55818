"""Answers with the bytes of files: pictures that Safelight encoded are shown, all else is a download."""

from __future__ import annotations

from fastapi import Response

INLINE = frozenset({"image/png", "image/jpeg", "image/webp"})
"""The media types that a browser may show."""
IMMUTABLE = "private, max-age=31536000, immutable"
"""The caching of a file that is named by its digest."""


def inline(data: bytes, media: str, caching: str = "no-store") -> Response:
    """A picture that Safelight has encoded; a file of another type becomes a download."""
    if media not in INLINE:
        return attachment(data, caching)
    return Response(data, media_type=media, headers={"Cache-Control": caching})


def attachment(data: bytes, caching: str = "no-store") -> Response:
    """A file of unknown content: a browser saves it and never shows it."""
    headers = {"Cache-Control": caching, "Content-Disposition": 'attachment; filename="file"'}
    return Response(data, media_type="application/octet-stream", headers=headers)
