"""Finds the file that a recipe names by digest, even if it was moved."""

from __future__ import annotations

from pathlib import Path

from engine.errors import NodeError
from engine.files import Files
from nodes.sd.formats.scan import scan


def located(files: Files, kind: str, name: str, digest: str, first: Path | None = None) -> Path:
    """Find a file by its digest. It may have been moved or renamed since the recipe was made.

    The search tries the old name, then the last known path of a file with this digest, then all files of the
    kind. If the size is known, only files of the same size are hashed.

    Args:
        files: the folders, and the digests of the files in them.
        kind: the kind of file, such as `loras`.
        name: its name in the folders of the kind, or its path, when the recipe was made.
        digest: the sha256 of its content.
        first: the path to try first.

    Raises:
        NodeError: no file of the kind has this digest: `changed_file` if there is a file with the old name,
            otherwise `missing_file`.
    """
    if first is not None and _has(files, first, digest):
        return first
    try:
        there = files.find(kind, name)
    except NodeError:
        there = None
    if there is not None and _has(files, there, digest):
        return there
    seen = files.last_seen(digest)
    if seen is not None and _inside(files, kind, seen.path) and _has(files, seen.path, digest):
        return seen.path
    for folder in files.folders(kind):
        for item in scan(Path(folder), pictures=kind == "embeddings"):
            if item.problem is not None or item.model_folder:
                continue
            if (seen is None or _size(item.path) == seen.size) and _has(files, item.path, digest):
                return item.path
    if there is not None:
        hint = "run again to use its current content"
        raise NodeError(f"the file {name!r} changed during the run", hint=hint, code="changed_file")
    was = f"; it was last seen as {seen.path}" if seen is not None else ""
    raise NodeError(
        f"the file {name!r} is missing, and no file in {kind} has its content (sha256 {digest}){was}",
        hint=f"put it back into {', '.join(map(str, files.folders(kind))) or 'its folder'}",
        code="missing_file",
    )


def _has(files: Files, path: Path, digest: str) -> bool:
    try:
        return files.digest(path) == digest
    except NodeError:
        return False


def _inside(files: Files, kind: str, path: Path) -> bool:
    """Return whether a path is inside the folders of a kind; a graph may not use other files."""
    return any(path.is_relative_to(Path(folder).absolute()) for folder in files.folders(kind))


def _size(path: Path) -> int:
    try:
        return path.stat().st_size
    except OSError:
        return -1
