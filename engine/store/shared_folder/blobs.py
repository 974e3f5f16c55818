"""The long parts of stored results: files named by the SHA-256 of their content."""

from __future__ import annotations

import itertools
import os
from collections.abc import Iterator
from contextlib import suppress
from pathlib import Path

from engine.failpoints import failpoint
from engine.store.shared_folder.entry import Damaged
from engine.values import sha256


class Blobs:
    """The files `blobs/ab/cdef...`, named by the digest of their content, so that no file is ever changed.

    A file is written in a temporary folder and then renamed, without fsync. After a power cut its content may
    be incomplete; `read` then raises `Damaged`.

    Args:
        folder: the folder of results.
        temporary: the folder for files that this process is writing, on the same file system.
    """

    def __init__(self, folder: Path, temporary: Path) -> None:
        self._root = str(folder / "blobs")
        self._temporary = temporary
        self._numbers = itertools.count()

    def make_folder(self) -> None:
        """Create the folder for the files."""
        os.makedirs(self._root, exist_ok=True)

    def path(self, digest: str) -> str:
        """Return the path of the file with this digest."""
        return f"{self._root}/{digest[:2]}/{digest[2:]}"

    def put(self, digest: str, data: bytes) -> bool:
        """Write a file unless it exists; return True if it was written.

        Raises:
            OSError: the file cannot be written; no half-written file is left.
        """
        path = self.path(digest)
        with suppress(OSError):
            if os.stat(path).st_size == len(data):
                return False
        temporary = f"{self._temporary}/{next(self._numbers)}"
        try:
            with open(temporary, "wb", buffering=0) as file:
                failpoint("blob.write", data, file.fileno())
                view = memoryview(data)
                while view:
                    view = view[file.write(view) :]
            failpoint("blob.rename")
            try:
                os.replace(temporary, path)
            except FileNotFoundError:
                os.makedirs(os.path.dirname(path), exist_ok=True)
                os.replace(temporary, path)
        except OSError:
            with suppress(OSError):
                os.unlink(temporary)
            raise
        return True

    def read(self, digest: str) -> bytes:
        """Read a file, and verify its content against its name.

        Raises:
            Damaged: the file is missing, or its content does not match its name.
            OSError: the file cannot be read.
        """
        try:
            with open(self.path(digest), "rb", buffering=0) as file:
                data = file.read()
        except FileNotFoundError:
            raise Damaged("one of its files is missing", digest) from None
        if sha256(data) != digest:
            raise Damaged("one of its files does not match its checksum", digest)
        return data

    def has(self, digest: str) -> bool:
        """Return True if the file exists; its content is not verified."""
        try:
            os.stat(self.path(digest))
        except FileNotFoundError:
            return False
        return True

    def remove(self, digest: str) -> None:
        """Delete a file if it exists."""
        failpoint("blob.remove")
        with suppress(FileNotFoundError):
            os.unlink(self.path(digest))

    def all(self) -> Iterator[str]:
        """Yield the digests of all files."""
        for start in os.listdir(self._root):
            for rest in os.listdir(f"{self._root}/{start}"):
                yield start + rest
