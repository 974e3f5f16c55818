"""The files that clients upload, and kept files of the server, stored under their digests."""

from __future__ import annotations

import re
from dataclasses import dataclass
from pathlib import Path

from engine.errors import NodeError
from engine.files import UPLOADED, Files
from engine.server.refusal import refused
from engine.server.thumbnails import Thumbnails

DIGEST = r"[0-9a-f]{64}"


@dataclass(frozen=True, slots=True)
class Upload:
    """An uploaded file."""

    hash: str
    """The sha256 of its bytes. A file input of a graph takes it as `sha256:HASH`."""
    mime: str
    """The media type of a picture of a supported format; `application/octet-stream` for any other file."""
    w: int | None
    h: int | None


@dataclass(frozen=True, slots=True)
class KeptFile:
    """A kept file, which file inputs of graphs accept."""

    file: str
    """Its name for file inputs: `sha256:HASH`."""
    size: int


class Uploads:
    """Saves and reads uploaded files.

    Args:
        files: the files of the home folder.
        thumbnails: reads the size of pictures.
    """

    def __init__(self, files: Files, thumbnails: Thumbnails) -> None:
        self._files, self._thumbnails = files, thumbnails

    def add(self, data: bytes) -> Upload:
        """Save a file.

        Raises:
            OSError: the file cannot be written.
        """
        digest = self._files.upload(data).removeprefix(UPLOADED)
        size = self._thumbnails.size(data)
        if size is None:
            return Upload(digest, "application/octet-stream", None, None)
        return Upload(digest, size.media, size.width, size.height)

    def keep(self, path: Path) -> KeptFile:
        """Keep a copy of a file of the server, of any size.

        Raises:
            OSError: the copy cannot be written.
            Refused: the file was deleted, or changes meanwhile (410).
        """
        try:
            return KeptFile(self._files.upload_copy(path), path.stat().st_size)
        except (NodeError, FileNotFoundError) as error:
            raise refused(410, "missing_file", f"the file cannot be kept: {error}") from None

    def find(self, digest: str) -> Path | None:
        """Return the path of an uploaded file; None if it was not uploaded or is damaged."""
        if not re.fullmatch(DIGEST, digest):
            return None
        try:
            return self._files.find("inputs", UPLOADED + digest)
        except NodeError:
            return None
