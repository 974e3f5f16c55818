"""Reads the size of pictures from clients and makes thumbnails of them, in a separate process."""

from __future__ import annotations

import json
import subprocess
import sys
import threading
from collections import OrderedDict
from dataclasses import dataclass
from pathlib import Path
from typing import BinaryIO, cast

MEDIA = "image/webp"
"""The media type of thumbnails."""
WIDTHS = (64, 128, 256, 512, 1024)
"""The widths of thumbnails; a fixed set, so that clients cannot fill the memory with sizes of their own."""
SECONDS = 20.0
"""The seconds that one picture may take; then the process is killed."""
CACHE_BYTES = 64 << 20
_BEGINNINGS = (b"\x89PNG", b"\xff\xd8\xff", b"RIFF")
"""The first bytes of the files that may be pictures: PNG, JPEG, and those of WEBP."""


@dataclass(frozen=True, slots=True)
class PictureSize:
    """The media type and the size in pixels of a picture."""

    media: str
    width: int
    height: int


class Thumbnails:
    """Makes thumbnails, one at a time, and caches the latest ones in memory; thread-safe.

    A picture that crashes the process, or takes too long, has no thumbnail; the next picture starts a new
    process.
    """

    def __init__(self) -> None:
        self._lock = threading.Lock()
        self._process: subprocess.Popen[bytes] | None = None
        self._cache: OrderedDict[tuple[str, int], bytes] = OrderedDict()
        self._cached = 0

    def size(self, data: bytes) -> PictureSize | None:
        """Return the media type and size of a picture; None if the bytes are no picture of a known format."""
        with self._lock:
            described, _ = self._ask(data, 0)
        if "error" in described:
            return None
        return PictureSize(str(described["media"]), cast(int, described["w"]), cast(int, described["h"]))

    def made(self, digest: str, data: bytes | Path, width: int) -> bytes | None:
        """Return a thumbnail as WEBP; None if the bytes are no picture of a known format.

        Args:
            digest: the digest of the picture, the key of the cache.
            data: the bytes of the picture, or the path of its file, which is read only if needed.
            width: the largest width and height; rounded up to one of `WIDTHS`.
        """
        width = next((known for known in WIDTHS if known >= width), WIDTHS[-1])
        key = digest, width
        with self._lock:
            if key in self._cache:
                self._cache.move_to_end(key)
                return self._cache[key]
            described, thumbnail = self._ask(data if isinstance(data, bytes) else _picture_in(data), width)
            if "error" in described:
                return None
            self._cache[key] = thumbnail
            self._cached += len(thumbnail)
            while self._cached > CACHE_BYTES:
                self._cached -= len(self._cache.popitem(last=False)[1])
            return thumbnail

    def close(self) -> None:
        """End the process."""
        with self._lock:
            self._end()

    def _ask(self, data: bytes, width: int) -> tuple[dict[str, object], bytes]:
        if self._process is None:
            self._process = subprocess.Popen(
                [sys.executable, "-m", "engine.server.thumbnail_process"],
                stdin=subprocess.PIPE,
                stdout=subprocess.PIPE,
                stderr=subprocess.DEVNULL,
            )
        process = self._process
        timer = threading.Timer(SECONDS, process.kill)
        timer.start()
        try:
            incoming, outgoing = cast(BinaryIO, process.stdin), cast(BinaryIO, process.stdout)
            incoming.write(json.dumps({"width": width, "bytes": len(data)}).encode() + b"\n" + data)
            incoming.flush()
            described: dict[str, object] = json.loads(outgoing.readline() or b'{"error": ""}')
            size = cast(int, described.get("bytes", 0))
            thumbnail = outgoing.read(size)
            if "bytes" not in described or len(thumbnail) < size:
                raise BrokenPipeError
            return described, thumbnail
        except (OSError, ValueError):  # the process has died
            self._end()
            return {"error": "the picture cannot be read"}, b""
        finally:
            timer.cancel()

    def _end(self) -> None:
        process, self._process = self._process, None
        if process is not None:
            process.kill()
            process.wait()
            for pipe in (process.stdin, process.stdout):
                if pipe is not None:
                    try:
                        pipe.close()
                    except OSError:
                        continue


def _picture_in(path: Path) -> bytes:
    """The bytes of a file; none if it is no picture, so that a large model is not read."""
    try:
        with path.open("rb") as file:
            beginning = file.read(4)
            return beginning + file.read() if beginning.startswith(_BEGINNINGS) else b""
    except OSError:
        return b""
