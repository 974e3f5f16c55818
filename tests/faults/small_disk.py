"""A file system with little room, for as long as a test needs it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LET_GO_LATER = 2  # MNT_DETACH
_READ_ONLY, _REMOUNT = 1, 32  # MS_RDONLY, MS_REMOUNT


@contextmanager
def small_disk(place: Path, size: str = "2m") -> Iterator[None]:
    """A tmpfs of this size in a folder; skips the test where none can be mounted."""
    libc = ctypes.CDLL(None, use_errno=True)
    if libc.mount(b"tmpfs", bytes(place), b"tmpfs", 0, f"size={size}".encode()):
        pytest.skip(f"a tmpfs cannot be mounted here: {os.strerror(ctypes.get_errno())}")
    try:
        yield
    finally:
        assert libc.umount2(bytes(place), _LET_GO_LATER) == 0


def remount_read_only(place: Path, size: str = "2m") -> None:
    """From now on, nothing can be written to a small disk."""
    libc = ctypes.CDLL(None, use_errno=True)
    flags = _READ_ONLY | _REMOUNT
    assert libc.mount(b"tmpfs", bytes(place), b"tmpfs", flags, f"size={size}".encode()) == 0
