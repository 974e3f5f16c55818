"""Recognises sparse files, which take less space on disk than their size, such as unfinished downloads."""

from __future__ import annotations

import os

_LARGE = 1 << 30
_SHARE = 8


def is_sparse(info: os.stat_result) -> bool:
    """Return whether a file of 1 GiB or more takes less than an eighth of its size on disk.

    Reading such a file takes as long as a real one and gives mostly zeros. Returns False on file systems that
    do not report the space on disk."""
    blocks: int | None = getattr(info, "st_blocks", None)
    return blocks is not None and info.st_size >= _LARGE and blocks * 512 * _SHARE < info.st_size


def sparse_message(info: os.stat_result) -> str:
    """Return the message about a sparse file, to follow its name."""
    return (
        f"has a size of {info.st_size / 1e9:,.1f} GB but takes {info.st_blocks * 512 / 1e9:,.1f} GB on disk:"
        " an unfinished download"
    )
