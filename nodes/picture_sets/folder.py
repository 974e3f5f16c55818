"""Reads a folder of pictures, captions and masks as a dataset."""

from __future__ import annotations

import os
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path, PurePosixPath
from typing import Literal

from engine.errors import NodeError
from engine.files import Files
from engine.values import Json
from nodes.files.picture_files import fault_of_head
from nodes.files.text_files import read_text
from nodes.picture_sets.captions import CaptionLine, read_caption_lines, words_of_name
from nodes.picture_sets.dataset import KIND, CaptionSource, Dataset, DatasetFile, DatasetPicture, LeftOut

Captions = Literal["auto", "files", "jsonl", "names", "none"]

SUFFIXES = frozenset({".png", ".jpg", ".jpeg", ".webp", ".bmp", ".tif", ".tiff", ".gif"})
METADATA = "metadata.jsonl"
_MASKS = ("-masklabel", ".mask")
"""The suffixes that a mask's name adds to the name of its picture; the first is OneTrainer's."""
_MOST = 100_000
_DEPTH = 32


@dataclass
class FoundFiles:
    """The files in a dataset's folder, as sorted names (paths inside the folder)."""

    root: Path
    pictures: list[str] = field(default_factory=list)
    masks: dict[str, str] = field(default_factory=dict)
    """The names of the masks, keyed by the name of the picture."""
    texts: dict[str, str] = field(default_factory=dict)
    """The names of the text files beside pictures, keyed by the name of the picture."""
    metadata: list[str] = field(default_factory=list)
    """The JSONL files, outer folders first."""
    left_out: list[LeftOut] = field(default_factory=list)
    """The files that look like pictures but cannot be used."""

    def all(self) -> list[str]:
        """Return the names of all files except those left out."""
        return [*self.pictures, *self.masks.values(), *self.texts.values(), *self.metadata]


def find_files(files: Files, folder: str, *, subfolders: bool) -> FoundFiles:
    """Find the pictures of a folder, and the masks, text files and JSONL files that belong to them.

    Raises:
        NodeError: there is no such folder, or it has more than 100,000 files.
    """
    try:
        root = files.find(KIND, folder)
    except NodeError as error:
        raise error.at("folder") from None
    if not root.is_dir():
        hint = "choose the folder that contains the picture"
        raise NodeError(f"{folder!r} is a file, not a folder", hint=hint, input="folder", code="bad_folder")
    found = FoundFiles(root)
    names = _names(root, subfolders)
    present = set(names)
    for name in names:
        path = PurePosixPath(name)
        if path.name == METADATA:
            found.metadata.append(name)
        if path.suffix.lower() not in SUFFIXES:
            continue
        try:
            fault = fault_of_head(root / name)
        except OSError as error:
            found.left_out.append(LeftOut(name, f"it cannot be read: {error.strerror or error}"))
            continue
        if fault is None:
            found.pictures.append(name)
        else:
            found.left_out.append(LeftOut(name, f"it is not a picture: {fault}"))
    _take_masks(found)
    for name in found.pictures:
        stem = _stem(name)
        text = next(
            (f"{stem}{suffix}" for suffix in (".txt", ".caption") if f"{stem}{suffix}" in present), ""
        )
        if text:
            found.texts[name] = text
    found.metadata.sort(key=lambda name: name.count("/"))
    return found


def read_folder(
    files: Files, folder: str, found: FoundFiles, *, captions: Captions, word_regex: str, join: str
) -> Dataset:
    """Read the dataset of a folder.

    Args:
        files: computes digests.
        folder: the name of the folder in the graph.
        found: its files.
        captions: where captions come from; see LoadDataset.
        word_regex, join: how to make captions from file names; see `words_of_name`.

    Raises:
        NodeError: the folder has no pictures, a file cannot be read, or the regex cannot be used.
    """
    if not found.pictures:
        others = "".join(f"; {file.name} is left out: {file.reason}" for file in found.left_out[:1])
        raise NodeError(
            f"there are no pictures in {found.root}{others}",
            hint=f"put files of the types {', '.join(sorted(SUFFIXES))} into it",
            input="folder",
            code="empty_dataset",
        )
    lines = _lines(found) if captions in ("auto", "jsonl") or found.metadata else {}
    pictures = []
    for name in found.pictures:
        line = lines.get(name, CaptionLine(None, {}))
        caption, source = "", ""
        if captions in ("auto", "files") and name in found.texts:
            text = found.texts[name]
            caption = read_text(found.root / text, input="folder")
            source = PurePosixPath(text).suffix[1:]
        elif captions in ("auto", "jsonl") and line.caption is not None:
            caption, source = line.caption, "jsonl"
        elif captions in ("auto", "names"):
            caption, source = words_of_name(name, word_regex, join), "file name"
        pictures.append(
            DatasetPicture(
                DatasetFile(folder, name, files.digest(found.root / name)),
                caption,
                _SOURCES[source],
                _columns(name, line.columns),
                _file(files, folder, found.root, found.masks.get(name)),
            )
        )
    return Dataset(tuple(pictures), tuple(found.left_out))


_SOURCES: Mapping[str, CaptionSource] = {
    "txt": "txt",
    "caption": "caption",
    "jsonl": "jsonl",
    "file name": "file name",
    "": "",
}


def _columns(name: str, columns: Mapping[str, Json]) -> Mapping[str, Json]:
    folder = name.rpartition("/")[0]
    return {"folder": folder, **columns} if folder else columns


def _file(files: Files, folder: str, root: Path, name: str | None) -> DatasetFile | None:
    return None if name is None else DatasetFile(folder, name, files.digest(root / name))


def _lines(found: FoundFiles) -> dict[str, CaptionLine]:
    """Read the lines of all JSONL files, by the name of the picture inside the dataset's folder."""
    lines: dict[str, CaptionLine] = {}
    for name in found.metadata:
        prefix = name.rpartition("/")[0]
        for picture, line in read_caption_lines(found.root / name).items():
            lines[f"{prefix}/{picture}" if prefix else picture] = line
    return lines


def _take_masks(found: FoundFiles) -> None:
    """Move the masks from `pictures` to `masks`; a second mask of a picture is moved to `left_out`."""
    by_stem = {_stem(name): name for name in found.pictures}
    pictures = []
    for name in found.pictures:
        owner = next((by_stem[stem] for stem in _owners(_stem(name)) if stem in by_stem), None)
        if owner is None:
            pictures.append(name)
        elif owner in found.masks:
            found.left_out.append(LeftOut(name, f"the mask of {owner} is {found.masks[owner]}"))
        else:
            found.masks[owner] = name
    found.pictures = pictures


def _stem(name: str) -> str:
    return str(PurePosixPath(name).with_suffix(""))


def _owners(stem: str) -> list[str]:
    """Return the stems of pictures that a file with this stem may be the mask of."""
    return [stem.removesuffix(ending) for ending in _MASKS if stem.endswith(ending)]


def _names(root: Path, subfolders: bool) -> Sequence[str]:
    """List the names of the files in a folder, sorted, without hidden files.

    Raises:
        NodeError: a folder cannot be read, or there are more than 100,000 files.
    """
    names: list[str] = []
    seen: set[tuple[int, int]] = set()
    ahead = [(root, "", 0)]
    while ahead:
        folder, prefix, depth = ahead.pop()
        info = folder.stat()
        if (info.st_dev, info.st_ino) in seen:
            continue  # a cycle of symbolic links
        seen.add((info.st_dev, info.st_ino))
        try:
            entries = list(os.scandir(folder))
        except OSError as error:
            message = f"{folder} cannot be read: {error.strerror or error}"
            raise NodeError(message, input="folder", code="unreadable") from None
        for entry in entries:
            if entry.name.startswith("."):
                continue
            try:
                is_folder, is_file = entry.is_dir(), entry.is_file()
            except OSError:  # a symbolic link that points to itself
                is_folder, is_file = False, False
            if is_folder:
                if subfolders and depth < _DEPTH:
                    ahead.append((Path(entry.path), f"{prefix}{entry.name}/", depth + 1))
            elif is_file or (entry.is_symlink() and Path(entry.name).suffix.lower() in SUFFIXES):
                names.append(prefix + entry.name)  # a broken link to a picture is reported later
        if len(names) > _MOST:
            message = f"{root} has more than {_MOST:,} files"
            raise NodeError(message, input="folder", code="too_many")
    return sorted(names)
