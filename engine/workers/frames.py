"""Sends messages between two processes: JSON objects, each in a frame with its length, over pipes."""

from __future__ import annotations

import json
import struct
import threading
from collections.abc import Iterator, Mapping
from contextlib import suppress
from typing import Any, BinaryIO

MAX_FRAME_BYTES = 256 << 20
"""The longest frame; a longer one can only come from a damaged stream."""

_LENGTH = struct.Struct(">I")


class BrokenFrame(Exception):
    """Raised if the bytes on a pipe are not a frame."""


class FrameWriter:
    """Writes messages to a pipe; several threads may share one.

    Args:
        pipe: a binary file, unbuffered or flushed by this class alone.
    """

    def __init__(self, pipe: BinaryIO) -> None:
        self._pipe = pipe
        self._lock = threading.Lock()

    def write(self, message: Mapping[str, Any]) -> None:
        """Send one message.

        Raises:
            OSError: the process at the other end has ended.
            ValueError: the message is longer than `MAX_FRAME_BYTES`, or the pipe is closed.
        """
        data = json.dumps(message, ensure_ascii=True, separators=(",", ":")).encode()
        if len(data) > MAX_FRAME_BYTES:
            raise ValueError(f"a message of {len(data):,} bytes is longer than {MAX_FRAME_BYTES:,}")
        with self._lock:
            self._pipe.write(_LENGTH.pack(len(data)) + data)
            self._pipe.flush()

    def close(self) -> None:
        """Close the pipe, so that the process at the other end reads the end of the stream."""
        with self._lock, suppress(BrokenPipeError):  # the process ended before it read what was written
            self._pipe.close()


def frames(pipe: BinaryIO) -> Iterator[dict[str, Any]]:
    """Yield the messages that arrive on a pipe, until the other end closes it.

    Raises:
        BrokenFrame: the stream ends inside a frame, or a frame is not a JSON object.
        OSError: the pipe cannot be read.
    """
    while head := _read(pipe, _LENGTH.size):
        if len(head) < _LENGTH.size:
            raise BrokenFrame("the stream ends inside the length of a frame")
        (length,) = _LENGTH.unpack(head)
        if length > MAX_FRAME_BYTES:
            raise BrokenFrame(f"a frame claims {length:,} bytes")
        data = _read(pipe, length)
        if len(data) < length:
            raise BrokenFrame("the stream ends inside a frame")
        try:
            message = json.loads(data)
        except ValueError as error:
            raise BrokenFrame(f"a frame is not JSON: {error}") from None
        if not isinstance(message, dict):
            raise BrokenFrame("a frame is not a JSON object")
        yield message


def _read(pipe: BinaryIO, size: int) -> bytes:
    """Read exactly `size` bytes; fewer only if the stream ends."""
    data = b""
    while len(data) < size and (more := pipe.read(size - len(data))):
        data += more
    return data
