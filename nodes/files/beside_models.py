"""Finds the files that other tools keep beside a model: a picture, and A1111's notes about a LoRA."""

from __future__ import annotations

import os
import stat
from base64 import b64decode
from collections.abc import Sequence
from pathlib import Path
from typing import NamedTuple

from engine import strict_json
from engine.errors import GraphError
from nodes.sd.formats.bad_file import BadFileError
from nodes.sd.formats.read import read_tensors
from nodes.sd.inspection.facts import THUMBNAIL
from nodes.sd.lora.describe import one_line

PICTURES = (".png", ".jpg", ".jpeg", ".webp")
"""The suffixes of pictures beside models, the first that exists is taken; each also after `.preview`."""
LARGEST_WEIGHT = 10.0
_MOST_PICTURE_BYTES, _MOST_NOTE_BYTES = 16 << 20, 1 << 20
_MOST_WORDS = 20
_MEDIA = tuple(f"data:image/{kind};base64" for kind in ("png", "jpeg", "jpg", "webp"))


class Note(NamedTuple):
    """The content of A1111's notes file beside a LoRA, `name.json`."""

    weight: float | None = None
    """The preferred weight of the LoRA; None if the file has none."""
    words: tuple[str, ...] = ()
    """The trigger words."""


class Beside:
    """Finds the files beside models, and lists each folder only once.

    A link that leads out of the model folder is not followed.

    Args:
        root: the model folder.
    """

    def __init__(self, root: Path) -> None:
        self._root = os.path.realpath(root)
        self._names: dict[Path, frozenset[str]] = {}

    def picture(self, model: Path) -> Path | None:
        """Return the path of the picture beside a model; None if there is none."""
        return self._first(model, [*PICTURES, *(f".preview{suffix}" for suffix in PICTURES)])

    def note(self, model: Path) -> Note:
        """Read a model's preferred weight and trigger words from the notes file beside it.

        Empty if that file is missing or cannot be parsed.
        """
        path = self._first(model, [".json"])
        data = None if path is None else _read(path, _MOST_NOTE_BYTES)
        try:
            tree = None if data is None else strict_json.parse(data)
        except GraphError:
            return Note()
        if not isinstance(tree, dict):
            return Note()
        return Note(_weight(tree.get("preferred weight")), _words(tree.get("activation text")))

    def _first(self, model: Path, suffixes: Sequence[str]) -> Path | None:
        names = self._names.get(model.parent)
        if names is None:
            try:
                names = frozenset(os.listdir(model.parent))
            except OSError:
                names = frozenset()
            self._names[model.parent] = names
        for suffix in suffixes:
            if model.stem + suffix in names and model.suffix != suffix:
                real = Path(os.path.realpath(model.parent / (model.stem + suffix)))
                if real.is_relative_to(self._root) and real.is_file():
                    return real
        return None


def picture_bytes(path: Path) -> bytes | None:
    """Read a picture file, or the picture in the metadata of a safetensors file; None if there is none.

    The bytes are not trusted: decode them only in a process with limited memory.
    """
    if path.suffix.lower() in PICTURES:
        return _read(path, _MOST_PICTURE_BYTES)
    try:
        media, _, data = read_tensors(path).metadata.get(THUMBNAIL, "").partition(",")
        return b64decode(data, validate=True) if media in _MEDIA else None
    except (BadFileError, OSError, ValueError):
        return None


def _read(path: Path, most: int) -> bytes | None:
    """Read a file; None if it is a symbolic link, a pipe, larger than `most` bytes, or cannot be read."""
    flags = os.O_RDONLY | getattr(os, "O_NOFOLLOW", 0) | getattr(os, "O_NONBLOCK", 0)
    try:
        with open(os.open(path, flags | getattr(os, "O_BINARY", 0)), "rb") as file:
            if not stat.S_ISREG(os.fstat(file.fileno()).st_mode):
                return None
            data = file.read(most + 1)
    except OSError:
        return None
    return data if len(data) <= most else None


def _weight(value: object) -> float | None:
    """Round a weight to two decimals; None for 0 (A1111's value for "not set") and for any invalid value."""
    if type(value) not in (int, float) or not abs(value) <= LARGEST_WEIGHT:  # type: ignore[arg-type]
        return None
    return round(float(value), 2) or None  # type: ignore[arg-type]


def _words(value: object) -> tuple[str, ...]:
    if not isinstance(value, str):
        return ()
    words = (one_line(word) for word in value[: 1 << 14].split(","))
    return tuple(dict.fromkeys(word for word in words if word))[:_MOST_WORDS]
