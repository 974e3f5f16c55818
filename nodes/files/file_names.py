"""Finds model files by name, with or without suffix and sub-folder."""

from __future__ import annotations

from pathlib import Path, PurePosixPath

from engine.errors import NodeError
from engine.files import Files
from nodes.sd.formats.scan import MODEL_SUFFIXES, scan

_SUFFIXES = (*MODEL_SUFFIXES, ".png", ".webp")


def stem(name: str) -> str:
    """Return the last part of a model file's name without its suffix; `.5` in `v1.5` is not a suffix."""
    path = PurePosixPath(name.replace("\\", "/").strip())
    return path.stem if path.suffix.lower() in _SUFFIXES else path.name


def resolve(files: Files, kind: str, name: str) -> str | None:
    r"""Find a file of a kind by its full name, its name without suffix, or its last part, with or without
    suffix.

    Sub-folders may be written with `/` or `\`. A model in the folder layout of diffusers counts as a file.

    Returns:
        the file's name inside the folders of the kind, or the given name if it is a path; None if no file
        has this name.

    Raises:
        NodeError: several files in different sub-folders have this name.
    """
    if files.inside(kind, name) is not None:
        return name
    name = name.replace("\\", "/")
    if Path(name).suffix.lower() in MODEL_SUFFIXES and ("/" in name or _is_elsewhere(files, kind, name)):
        return name
    matches = {
        item.name
        for folder in files.folders(kind)
        for item in scan(Path(folder), pictures=kind == "embeddings")
        if item.problem is None
        and name in (item.path.stem, item.path.name, item.name.removesuffix(item.path.suffix))
    }
    if len(matches) > 1:
        message = f"{len(matches)} {kind} have the name {name!r}: {', '.join(sorted(matches)[:3])}"
        hint = "add the sub-folder and the suffix"
        raise NodeError(message, hint=hint, code="ambiguous_name")
    return matches.pop() if matches else None


def _is_elsewhere(files: Files, kind: str, name: str) -> bool:
    """Return whether `files` finds the name outside the folders of the kind, such as beside the graph."""
    try:
        files.find(kind, name)
    except NodeError:
        return False
    return True
