"""The files of a folder that may be models, found without opening any of them."""

from __future__ import annotations

import os
import stat
from collections.abc import Iterator
from pathlib import Path
from typing import NamedTuple

MODEL_SUFFIXES = frozenset({".pt", ".pth", ".bin", ".ckpt", ".safetensors"})
_BESIDE = frozenset(
    ".txt .md .json .yaml .yml .toml .csv .info .html .htm .log .optim .jpg .jpeg .gif .avif .jxl .mp4 .py"
    " .pdf .zip .tmp .part .crdownload .lock .db .ini".split()
)
"""What lies beside models and is none: notes, previews, downloads that are not finished."""
_PICTURES = frozenset({".png", ".webp"})
_SKIPPED = frozenset({"concept_images", "__pycache__"})
_DEPTH = 8
_MOST = 100_000


class Seen(NamedTuple):
    """Something in a folder."""

    name: str
    """The way to it from the folder, with `/`."""
    path: Path
    model_folder: bool
    """True for a folder that is one model in the diffusers layout."""
    problem: tuple[str, str] | None
    """What is wrong with it, as a code and in words that follow its name."""


def scan(folder: Path, *, pictures: bool = False) -> Iterator[Seen]:
    """What may be a model in a folder and the folders in it, in the order of their names.

    Hidden files, previews and notes are passed over. Links are followed, and a folder that was seen already
    is not gone into again, so that no loop of links lasts.

    Args:
        folder: where to look; nothing is found in one that is not there.
        pictures: whether pictures are to be looked at, too.
    """
    left = _MOST
    for seen in _scan(folder, "", pictures, set(), 0):
        yield seen
        left -= 1
        if not left:
            problem = "too_many", f"holds more than {_MOST:,} files; the rest is not looked at"
            yield Seen("", folder, False, problem)
            return


def _scan(
    folder: Path, prefix: str, pictures: bool, gone_into: set[tuple[int, int]], depth: int
) -> Iterator[Seen]:
    try:
        here = os.stat(folder)
        if (here.st_dev, here.st_ino) in gone_into or depth > _DEPTH:
            return
        gone_into.add((here.st_dev, here.st_ino))
        with os.scandir(folder) as listing:
            entries = sorted(listing, key=lambda entry: entry.name)
    except FileNotFoundError:
        return
    except OSError as error:
        yield Seen(prefix, folder, False, ("unreadable", f"cannot be looked into: {error.strerror}"))
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
            mode = entry.stat().st_mode
        except OSError as error:
            yield Seen(name, path, False, ("unreadable", f"cannot be opened: {error.strerror}"))
            continue
        if stat.S_ISDIR(mode):
            if suffix in MODEL_SUFFIXES:
                yield Seen(name, path, False, ("not_a_file", "is a folder, not a file"))
            elif (path / "model_index.json").exists():
                yield Seen(name, path, True, None)
            elif entry.name not in _SKIPPED:
                folders.append((name, path))
        elif stat.S_ISREG(mode):
            yield Seen(name, path, False, None)
        else:
            yield Seen(name, path, False, ("not_a_file", "is a pipe or a device, not a file"))
    for name, path in folders:
        yield from _scan(path, f"{name}/", pictures, gone_into, depth + 1)
