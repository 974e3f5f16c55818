"""Lists the files of a folder that may be models, without opening any of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

from nodes.sd.formats.sparse import is_sparse, sparse_message

MODEL_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".safetensors"})
_BESIDE = frozenset(
    ".txt .md .json .yaml .yml .toml .csv .info .html .htm .log .optim .jpg .jpeg .gif .avif .jxl .mp4 .py"
    " .pdf .zip .tmp .part .crdownload .lock .db .ini".split()
)
"""Suffixes of files beside models: notes, previews, unfinished downloads."""
_PICTURES = frozenset({".png", ".webp"})
_SKIPPED = frozenset({"concept_images", "__pycache__"})
_DEPTH = 8
_MOST = 100_000


class Seen(NamedTuple):
    """A file or a model folder."""

    name: str
    """The path inside the scanned folder, with `/`."""
    path: Path
    model_folder: bool
    """True for a folder with a model in the diffusers layout."""
    problem: tuple[str, str] | None
    """The reason the file cannot be used: a code, and a message to follow its name; None if it may be
    usable."""


def scan(folder: Path, *, pictures: bool = False) -> Iterator[Seen]:
    """List the files of a folder and its sub-folders that may be models, in the order of their names.

    Hidden files, previews and notes are skipped. Links are followed, and each folder is listed only once, so
    that cycles of links end.

    Args:
        folder: the folder; if it does not exist, the list is empty.
        pictures: True to list PNG and WEBP pictures, too, since they may contain an embedding.
    """
    left = _MOST
    for seen in _scan(folder, "", pictures, set(), 0):
        yield seen
        left -= 1
        if not left:
            problem = "too_many", f"contains more than {_MOST:,} files; the others are not listed"
            yield Seen("", folder, False, problem)
            return


def _scan(
    folder: Path, prefix: str, pictures: bool, visited: set[tuple[int, int]], depth: int
) -> Iterator[Seen]:
    try:
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in visited or depth > _DEPTH:
            return
        visited.add((here.st_dev, here.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Seen(prefix, folder, False, ("unreadable", f"cannot be listed: {error.strerror}"))
        return
    folders = []
    for entry in entries:
        suffix = os.path.splitext(entry.name)[1].lower()
        name, path = prefix + entry.name, folder / entry.name
        if entry.name.startswith((".", "~")) or suffix in _BESIDE:
            continue
        if suffix in _PICTURES and (not pictures or ".preview." in entry.name.lower()):
            continue
        try:
            info = entry.stat()
        except OSError as error:
            yield Seen(name, path, False, ("unreadable", f"cannot be opened: {error.strerror}"))
            continue
        if stat.S_ISDIR(info.st_mode):
            if suffix in MODEL_SUFFIXES:
                yield Seen(name, path, False, ("not_a_file", "is a folder, not a file"))
            elif (path / "model_index.json").exists():
                yield Seen(name, path, True, None)
            elif entry.name not in _SKIPPED:
                folders.append((name, path))
        elif stat.S_ISREG(info.st_mode):
            problem = ("sparse", sparse_message(info)) if is_sparse(info) else None
            yield Seen(name, path, False, problem)
        else:
            yield Seen(name, path, False, ("not_a_file", "is a pipe or a device, not a file"))
    for name, path in folders:
        yield from _scan(path, f"{name}/", pictures, visited, depth + 1)
