"""Finds the files that a graph names, and lets no name lead outside its folders."""

from __future__ import annotations

from collections.abc import Callable, Sequence
from pathlib import Path, PurePosixPath
from typing import Protocol

from engine import whole_file
from engine.errors import GraphError, NodeError
from engine.paths import expanded
from engine.registry import near
from engine.slug import slug
from engine.values import sha256

KEPT = "kept"
"""The sub-folder for copies of files from elsewhere."""


Inscribe = Callable[[bytes, str, int], bytes]
"""`inscribe(png, step, index)`: the file with its text; the step that made it, and its place in the batch."""


class Digests(Protocol):
    """What remembers the sha256 of files."""

    def digest(self, path: Path) -> str:
        """The sha256 of a file's content, in hex."""
        ...


class Files:
    """The folders of each kind of file, and the digests of what lies in them.

    Args:
        folders: says for a kind, such as `checkpoints`, which folders to look in; the first match wins.
        digests: what remembers the sha256 of files.
        outputs: the folder that nodes write into.
        local: True if a graph may also read a file by any path on this machine, as on the command line; a
            server says False.
    """

    def __init__(
        self,
        folders: Callable[[str], Sequence[Path]],
        digests: Digests,
        outputs: Path,
        *,
        local: bool = False,
    ) -> None:
        self._folders = folders
        self._digests = digests
        self._local = local
        self._staged: dict[tuple[str, str], tuple[Path, str]] = {}
        self.beside: Path | None = None
        """The folder of the graph at hand, which local names may be relative to."""
        self.outputs = outputs
        """The folder that nodes write into."""
        self.inscribe: Inscribe = _as_it_is
        """Puts what says how it was made into a PNG file that a node writes; a face sets it for each run."""

    def folders(self, kind: str) -> Sequence[Path]:
        """Where files of this kind are looked for."""
        return self._folders(kind)

    def inside(self, kind: str, name: str) -> Path | None:
        """What lies under this name in the folders of a kind; None if nothing does or the name leads out."""
        inner = _inner(name)
        if inner is not None:
            for folder in self.folders(kind):
                path = folder.joinpath(*inner.parts)
                if path.exists():
                    return path
        return None

    def find(self, kind: str, name: str) -> Path:
        """The file or folder of this kind and name; the name may have sub-folders, and no way out of them.

        Raises:
            NodeError: there is none; says where it was looked for and what is there.
        """
        if (kind, name) in self._staged:
            return self._staged[kind, name][0]
        if (there := self.inside(kind, name)) is not None:
            return there
        if not name.strip() or "\0" in name or not (self._local or _inner(name)):
            raise NodeError(f"{name!r} is not a name inside the {kind} folders", code="bad_name")
        if self._local:
            try:
                written = expanded(name)
            except GraphError as error:
                (problem,) = error.problems
                raise NodeError(problem.message, hint=problem.hint, code=problem.code) from None
            for start in (Path(), self.beside or Path()):
                path = (start / written).absolute()
                if path.exists():
                    return path
        looked = ", ".join(str(folder) for folder in self.folders(kind)) or "no folder"
        hint = near(name, self.names(kind)) or f"put it into {looked}"
        raise NodeError(f"there is no {name!r} among the {kind}", hint=hint, code="missing_file")

    def stage(self, kind: str, path: Path) -> str:
        """A name for a file from elsewhere, made of its content, under which it is found from now on.

        Raises:
            NodeError: it cannot be read.
        """
        digest = self.digest(path)
        suffix = path.suffix.lower() if path.suffix[1:].isalnum() else ""
        name = f"{KEPT}/{slug(path.stem)}-{digest[:16]}{suffix}"
        self._staged[kind, name] = path, digest
        return name

    def keep(self, warn: Callable[[str], None]) -> None:
        """Copy what was staged into the home, so that later processes find it under its name too.

        Args:
            warn: is told of what cannot be kept.
        """
        for (kind, name), (path, digest) in self._staged.items():
            copy = next(iter(self.folders(kind))).joinpath(*PurePosixPath(name).parts)
            try:
                data = path.read_bytes()
                if sha256(data) != digest:
                    warn(f"{path} changed during the run, so the pictures made from it cannot be made again")
                elif not whole_file.holds(copy, data):
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    whole_file.replace(copy, data)
            except OSError as error:
                warn(f"{path} cannot be kept as {copy}: {error.strerror or error}")

    def target(self, name: str) -> Path:
        """Where a file of this name may be written: inside the outputs folder, whoever asks.

        Graphs come from strangers, so not even a local one may choose a place elsewhere.

        Raises:
            NodeError: the name leads out of the folder.
        """
        inner = PurePosixPath(name.replace("\\", "/"))
        if not inner.name or "\0" in name or not name.strip():
            raise NodeError(f"{name!r} is no file name", code="bad_name")
        if inner.is_absolute() or ".." in inner.parts or ":" in name or name.startswith("~"):
            hint = "name a file, or a sub-folder and a file"
            raise NodeError(f"{name!r} leads out of the outputs folder", hint=hint, code="bad_name")
        return self.outputs.joinpath(*inner.parts)

    def names(self, kind: str) -> list[str]:
        """What lies directly in the folders of this kind, sorted."""
        found: set[str] = set()
        for folder in self.folders(kind):
            if folder.is_dir():
                found |= {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        return sorted(found)

    def digest(self, path: Path) -> str:
        """The sha256 of a file's content, in hex.

        Raises:
            NodeError: it cannot be read.
        """
        try:
            return self._digests.digest(path)
        except OSError as error:
            raise NodeError(f"{path} cannot be read: {error.strerror or error}", code="unreadable") from None


def _as_it_is(png: bytes, step: str, index: int) -> bytes:
    return png


def _inner(name: str) -> PurePosixPath | None:
    """A name as a way inside a folder; None if it leads out, or is no name."""
    inner = PurePosixPath(name.replace("\\", "/"))
    bad = not name.strip() or "\0" in name or ":" in name or inner.is_absolute() or ".." in inner.parts
    return None if bad else inner
