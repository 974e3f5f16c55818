"""A file system with little room, for as long as a test needs it."""

from __future__ import annotations

import ctypes
import os
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

_LET_GO_LATER = 2  # MNT_DETACH


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
