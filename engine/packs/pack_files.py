"""Finds the packs in a nodes folder, and reads the files of a pack."""

from __future__ import annotations

from collections.abc import Iterable, Iterator
from fnmatch import fnmatch
from pathlib import Path

from engine.digests import FileDigests
from engine.packs.pack import INIT, Pack
from engine.values import sha256

_IGNORED = (
    "__pycache__",
    ".git",
    ".hg",
    ".svn",
    ".idea",
    ".vscode",
    ".venv",
    ".*_cache",
    ".ipynb_checkpoints",
    ".DS_Store",
    ".*.sw?",
    ".#*",
    "*~",
)
"""Patterns of files and folders that editors, tools and Python make; they are not part of a pack's code."""


def packs_in(folder: Path) -> list[Path]:
    """List the packs in a nodes folder: every Python file, and every folder that is a Python package.

    Raises:
        OSError: the folder cannot be read.
    """
    if not folder.is_dir():
        return []
    packs = [
        path
        for path in folder.iterdir()
        if not path.name.startswith((".", "__")) and (path.suffix == ".py" or (path / INIT).is_file())
    ]
    return sorted(packs)


def folders_of(folders: Iterable[Path]) -> list[str]:
    """List the nodes folders and their direct sub-folders, each of which is a pack or may become one."""
    paths = [str(folder) for folder in folders]
    for folder in folders:
        if folder.is_dir():
            paths += [str(path) for path in folder.iterdir() if path.is_dir()]
    return paths


def places_of(pack: Pack) -> list[str]:
    """List the paths of a pack's files and folders; any change of the pack changes the stamp of one."""
    inside = all_in(pack.path) if pack.path.is_dir() else ()
    return [str(pack.path), *map(str, inside)]


def digests_of(path: Path, digests: FileDigests) -> dict[str, str]:
    """Compute the sha256 of every file of a pack, by path inside it. Unchanged files are not read again.

    Raises:
        OSError: a file cannot be read.
    """
    if not path.is_dir():
        return {path.name: digests.digest(path)}
    return {
        file.relative_to(path).as_posix(): digests.digest(file) for file in all_in(path) if file.is_file()
    }


def read(path: Path, digests: FileDigests) -> Pack:
    """Read the files of the pack at a path.

    Raises:
        OSError: a file cannot be read.
    """
    by_path = digests_of(path, digests)
    sources: dict[str, bytes] = {}
    for inside in by_path:
        if inside.endswith(".py"):
            sources[inside] = (path / inside if path.is_dir() else path).read_bytes()
            by_path[inside] = sha256(sources[inside])
    return Pack(path, by_path, sources)


def all_in(folder: Path) -> Iterator[Path]:
    """Yield every file and folder in the folder of a pack, except those that are not part of its code."""
    for path in sorted(folder.iterdir()):
        if any(fnmatch(path.name, pattern) for pattern in _IGNORED):
            continue
        if path.is_file():
            yield path
        elif path.is_dir() and not folder.resolve().is_relative_to(
            path.resolve()
        ):  # a link to a parent folder
            yield path
            yield from all_in(path)
