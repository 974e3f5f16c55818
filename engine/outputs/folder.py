"""Writes files with consecutive numbers to a folder: `cat-image-0001.png`, `cat-image-0002.png`."""

from __future__ import annotations

import errno
import itertools
import re
from collections import defaultdict
from collections.abc import Callable
from pathlib import Path

from engine import whole_file
from engine.errors import SafelightError
from engine.values import sha256

_FULL = {errno.ENOSPC, errno.EDQUOT}
_SLACK = 64 * 1024  # bytes reserved for the file system's own data
_NUMBERED = re.compile(r"(.+)-(\d{4,9})(\.[a-z]+)", re.DOTALL)


class OutputFolder:
    """A folder to which numbered files are added. It is listed once, so adding a file takes constant time.

    Args:
        path: the folder; it is created with the first file.
        free_disk: called when the disk is full, with the folder and the number of bytes needed there; returns
            True if it has freed them. Then the file is written again.
    """

    def __init__(self, path: Path, free_disk: Callable[[Path, int], bool]) -> None:
        self.path = path
        self._free_disk = free_disk
        self._series: dict[str, _Series] | None = None

    def add(self, stem: str, suffix: str, data: bytes) -> Path:
        """Write `data` to a new file `{stem}-{number}{suffix}`, and return its path.

        If the folder already has such a file with the same content, the path of that is returned, but each
        path only once.

        Raises:
            SafelightError: the folder cannot be written, or the disk is full; no partial file is left.
        """
        try:
            series = self._listed().setdefault(stem + suffix, _Series())
            if (existing := series.take(data)) is not None:
                return existing
            try:
                path = self._put(stem, suffix, data, series.next)
            except OSError as error:
                if error.errno not in _FULL or not self._free_disk(self.path, 2 * len(data) + _SLACK):
                    raise
                path = self._put(stem, suffix, data, series.next)
        except OSError as error:
            reason = error.strerror or error
            raise SafelightError(f"the outputs cannot be written to {self.path}: {reason}") from None
        series.next = int(path.name.removesuffix(suffix).rpartition("-")[2]) + 1
        return path

    def _put(self, stem: str, suffix: str, data: bytes, first: int) -> Path:
        names = (self.path / f"{stem}-{n:04}{suffix}" for n in itertools.count(first))
        return whole_file.put(data, names, share=True)

    def _listed(self) -> dict[str, _Series]:
        if self._series is None:
            self.path.mkdir(parents=True, exist_ok=True)
            self._series = {}
            found: list[tuple[str, int, Path]] = []
            for path in self.path.iterdir():
                if match := _NUMBERED.fullmatch(path.name):
                    found.append((match[1] + match[3], int(match[2]), path))
            for name, number, path in sorted(found):
                series = self._series.setdefault(name, _Series())
                series.paths.append(path)
                series.next = number + 1
        return self._series


class _Series:
    """The files with one stem and suffix, to find one by its content; only files of its size are read."""

    def __init__(self) -> None:
        self.paths: list[Path] = []
        """The files that were in the folder when it was listed, lowest number first."""
        self.next = 1
        """The number of the next file."""
        self._by_size: dict[int, list[Path]] | None = None
        self._by_digest: dict[str, list[Path]] = {}  # lowest number last

    def take(self, data: bytes) -> Path | None:
        """Return the first file with these bytes that has not been returned before; None if there is none."""
        if self._by_size is None:
            self._by_size = defaultdict(list)
            for path in self.paths:
                try:
                    self._by_size[path.stat().st_size].append(path)
                except OSError:
                    continue
        for path in reversed(self._by_size.pop(len(data), [])):
            try:
                self._by_digest.setdefault(sha256(path.read_bytes()), []).append(path)
            except OSError:
                continue
        existing = self._by_digest.get(sha256(data), []) if self._by_digest else []
        while existing:
            if whole_file.holds(path := existing.pop(), data):
                return path
        return None
