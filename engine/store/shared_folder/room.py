"""Computes how many bytes results may take, within the budget and with some disk space left free."""

from __future__ import annotations

import os
import shutil
import time
from contextlib import suppress
from pathlib import Path
from typing import NamedTuple

_RESERVE_BYTES = 512 << 20
_RESERVE_SHARE = 20  # the reserve on a small disk, as 1/20 of it
_LOG_BYTES = 4 << 20
_LOG_SHARE = 128
_MEASURED_AGAIN_SECONDS = 30.0


class Limit(NamedTuple):
    """The most bytes that results may take now."""

    bytes: int
    disk_is_short: bool
    """True if free disk space, not the budget, sets the limit."""


class Room:
    """Computes the limit for the results in a folder.

    The budget is for the whole folder: journals, history and scratch files count too, although only results
    are evicted. Some disk space is left free, so that cached results never leave no space for outputs.

    Args:
        folder: the folder of results.
        budget: the most bytes that the folder may hold.
        own: the names in the folder that belong to the results and their index, which the index counts.

    Raises:
        OSError: the folder does not exist.
    """

    def __init__(self, folder: Path, budget: int, own: frozenset[str]) -> None:
        total = shutil.disk_usage(folder).total
        self.log_bytes = min(budget // 32, total // _LOG_SHARE, _LOG_BYTES)
        """The length at which the log of the index is restarted."""
        self._margin = 8 * self.log_bytes
        self._reserve = min(_RESERVE_BYTES, total // _RESERVE_SHARE)
        self.budget = max(budget - self._margin, 0)
        """The most bytes that results may take if the folder contains nothing else."""
        self._folder, self._own = folder, own
        self._beside = 0
        self._measured = float("-inf")

    def limit(self, on_disk: int) -> Limit:
        """Compute the most bytes that rows and files may take now.

        Args:
            on_disk: the bytes that rows, files and the log of the index take on the disk now.
        """
        now = time.monotonic()
        if now - self._measured > _MEASURED_AGAIN_SECONDS:
            self._measured = now
            self._beside = _bytes_beside(self._folder, self._own)
        by_budget = max(self.budget - self._beside, 0)
        free = shutil.disk_usage(self._folder).free
        by_disk = max(on_disk + free - self._reserve - self._margin, 0)
        return Limit(min(by_budget, by_disk), by_disk < by_budget)


def _bytes_beside(folder: Path, own: frozenset[str]) -> int:
    """Return the bytes of all files in a folder and its sub-folders, except those named in `own`."""
    size = 0
    with suppress(OSError), os.scandir(folder) as entries:
        for entry in entries:
            if entry.name in own:
                continue
            with suppress(OSError):
                size += entry.stat(follow_symlinks=False).st_size
                if entry.is_dir(follow_symlinks=False):
                    size += _bytes_beside(Path(entry.path), frozenset())
    return size
