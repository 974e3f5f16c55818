"""Files by the names that people call them by, which need no suffix and no sub-folder."""

from __future__ import annotations

from pathlib import Path

from engine.errors import NodeError
from engine.files import Files
from nodes.sd.formats.scan import MODEL_SUFFIXES, scan


def named(files: Files, kind: str, name: str) -> str | None:
    """The file of a kind that goes by a name: as it is, without its suffix, or without sub-folder and suffix.

    Returns:
        its name inside the folders of the kind, or the path that it is; None if there is no such file.

    Raises:
        NodeError: several in different sub-folders go by this name.
    """
    if files.inside(kind, name) is not None or Path(name).suffix.lower() in MODEL_SUFFIXES:
        return name
    there = [
        item
        for folder in files.folders(kind)
        for item in scan(Path(folder), pictures=kind == "embeddings")
        if item.problem is None and not item.model_folder
    ]
    found = sorted(
        {item.name for item in there if name in (item.path.stem, item.name.removesuffix(item.path.suffix))}
    )
    if len(found) > 1:
        message = f"{len(found)} {kind} go by the name {name!r}: {', '.join(found[:3])}"
        hint = "say which, with its sub-folder and suffix"
        raise NodeError(message, hint=hint, code="ambiguous_name")
    return found[0] if found else None
