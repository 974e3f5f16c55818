"""Finds the files that a graph names, and rejects names that point outside the allowed folders."""

from __future__ import annotations

import os
import re
from collections.abc import Callable, Iterator, Mapping, Sequence
from contextlib import contextmanager
from contextvars import ContextVar
from copy import copy
from pathlib import Path, PurePosixPath
from typing import Protocol

from engine import whole_file
from engine.digests import Identity, LastSeen, identity_of, last_seen
from engine.errors import GraphError, NodeError
from engine.file_facts import FileFacts
from engine.near_names import meant, near
from engine.paths import expanded, slug
from engine.values import sha256

UPLOADED = "sha256:"
"""The prefix of the name of an uploaded file; the digest of the file in hex follows."""
BLOBS = "blobs"
"""The sub-folder for uploaded files."""
KEPT = "kept"
"""The sub-folder for copies of files from outside the home folder."""


Inscribe = Callable[[bytes, str, int], bytes]
"""`inscribe(picture, step, index)` returns a PNG, JPEG or WEBP file with metadata added.

`picture` is the bytes of the file, which holds the picture `index` of the batch that `step` made.
"""


_UPLOADED = re.compile(rf"{UPLOADED}([0-9a-f]{{64}})")

_consulted: ContextVar[dict[Path, Identity] | None] = ContextVar("consulted", default=None)
"""The files whose digests were requested in the current `Files.unchanged` block, with their identities."""


class Digests(Protocol):
    """An object that computes and caches the SHA-256 of files, such as `digests.FileDigests`."""

    @property
    def facts(self) -> FileFacts:
        """The database of cached facts about files."""
        ...

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file's content, in hex."""
        ...


class Files:
    """Finds files by kind and name, such as `checkpoints` and `tiny.safetensors`, and computes their digests.

    Args:
        folders: returns the folders of a kind. They are searched in this order; the first match is used.
        digests: computes and caches the SHA-256 of files.
        outputs: the folder that nodes write files to.
        local: True if a graph may read any file on this machine by its path, as on the command line; False in
            a server.
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
        self.local = local
        """True if a graph may read any file on this machine by its path."""
        self._staged: dict[tuple[str, str], tuple[Path, str]] = {}
        self._kept: set[tuple[str, str]] = set()
        self.beside: Path | None = None
        """The folder of the graph's own file; file names in the graph may be relative to it."""
        self.outputs = outputs
        """The folder that nodes write files to."""
        self.inscribe: Inscribe = _as_it_is
        """Adds the graph to a picture file that a node writes; set for each run."""

    def for_run(self, beside: Path | None = None, outputs: Path | None = None) -> Files:
        """Return a copy for one run, so that simultaneous runs can have different folders.

        Args:
            beside: the folder of the graph's file; None if the graph is not from a file.
            outputs: the folder that nodes write files to; None for the default one.
        """
        files = copy(self)
        files._kept = set()
        files.beside, files.outputs = beside or self.beside, outputs or self.outputs
        return files

    def folders(self, kind: str) -> Sequence[Path]:
        """Return the folders of a kind of file, in the order in which they are searched."""
        return self._folders(kind)

    def inside(self, kind: str, name: str) -> Path | None:
        """Find a file or folder by name in the folders of a kind; None if it does not exist there."""
        if (digest := _digest_in(name)) is not None:
            blob = self._blobs / digest
            return blob if blob.is_file() else None
        path_inside = inner_path(name)
        if path_inside is not None:
            for folder in self.folders(kind):
                path = folder.joinpath(*path_inside.parts)
                if os.path.exists(path):  # unlike `path.exists`, False for a name that is too long
                    return path
        return None

    def find(self, kind: str, name: str) -> Path:
        """Find a file or folder by its kind and name.

        Args:
            kind: the kind of file, such as `inputs`.
            name: its path relative to a folder of the kind or to the graph's folder; or the name of an
                uploaded file, as `upload` returns it. If `local`, any path.

        Raises:
            NodeError: the name is invalid, the file does not exist (the hint has similar names, or the
                searched folders), or the content of an uploaded file does not match the digest in its name.
        """
        if (kind, name) in self._staged:
            return self._staged[kind, name][0]
        if (digest := _digest_in(name)) is not None:
            return self._uploaded(digest)
        if (there := self.inside(kind, name) or self._beside_graph(name)) is not None:
            return there
        looked = ", ".join(str(folder) for folder in self.folders(kind)) or "no folder"
        if not name.strip() or "\0" in name or not (self.local or inner_path(name)):
            message, hint = (
                f"{name!r} is not a name inside the {kind} folders",
                f"enter the name of a file inside {looked}",
            )
            raise NodeError(message, hint=hint, code="bad_name")
        if self.local:
            try:
                written = expanded(name)
            except GraphError as error:
                (problem,) = error.problems
                raise NodeError(problem.message, hint=problem.hint, code=problem.code) from None
            for start in (Path(), self.beside or Path()):
                path = (start / written).absolute()
                if os.path.exists(path):  # unlike `path.exists`, False for a name that is too long
                    return path
        names = self.names(kind)
        hint = near(name, names) or f"put the file into {looked}"
        message = f"there is no {name!r} in the folders for {kind}"
        if self.local and os.path.isabs(written := expanded(name)):
            message, hint = f"there is no file or folder {str(written)!r}", "check the path"
        missing = NodeError(message, hint=hint, code="missing_file")
        if (known := meant(name, names)) is not None:
            missing.instead = name, known
        raise missing

    def _beside_graph(self, name: str) -> Path | None:
        """Find a file or folder by name beside the graph's file; None if it does not exist there."""
        path_inside = inner_path(name)
        if self.beside is None or path_inside is None:
            return None
        path = self.beside.joinpath(*path_inside.parts)
        return path if os.path.exists(path) else None  # see `inside`

    def upload(self, data: bytes) -> str:
        """Save an uploaded file in the home folder, and return its name for `find`: `sha256:` and its digest.

        Raises:
            OSError: the file cannot be written.
        """
        digest = sha256(data)
        blob = self._blobs / digest
        if not whole_file.holds(blob, data):
            blob.parent.mkdir(parents=True, exist_ok=True)
            whole_file.replace(blob, data)
        return UPLOADED + digest

    def upload_copy(self, path: Path) -> str:
        """Save a copy of a file of any size in the home; returns the name for `find`, as `upload` does.

        Raises:
            NodeError: the file cannot be read, or changes meanwhile.
            OSError: the copy cannot be written.
        """
        digest = self.digest(path)
        blob = self._blobs / digest
        if not blob.is_file() or self.digest(blob) != digest:
            blob.parent.mkdir(parents=True, exist_ok=True)
            whole_file.copy(path, blob)
            if self.digest(blob) != digest:
                blob.unlink()
                raise changed_file(path)
        return UPLOADED + digest

    @property
    def _blobs(self) -> Path:
        """The folder of uploaded files, inside the `inputs` folder of the home folder."""
        return next(iter(self.folders("inputs"))) / BLOBS

    def _uploaded(self, digest: str) -> Path:
        blob = self._blobs / digest
        if not blob.is_file():
            hint = "upload the file again, or choose another"
            raise NodeError(f"no file with the sha256 {digest} was uploaded", hint=hint, code="missing_file")
        if self.digest(blob) != digest:
            hint = "delete it and upload the file again"
            raise NodeError(
                f"{blob} is damaged: its sha256 does not match its name", hint=hint, code="damaged_file"
            )
        return blob

    def stage(self, kind: str, path: Path) -> str:
        """Make a file outside the home folder known to `find`, and return the name that it gets there.

        The name contains a part of the digest, so the same content always gets the same name.

        Raises:
            NodeError: the file cannot be read.
        """
        digest = self.digest(path)
        suffix = path.suffix.lower() if path.suffix[1:].isalnum() else ""
        name = f"{KEPT}/{slug(path.stem)}-{digest[:16]}{suffix}"
        self._staged[kind, name] = path, digest
        self._kept.add((kind, name))
        return name

    def keep(self, warn: Callable[[str], None]) -> None:
        """Copy the files that `stage` has named into the home folder, so that later processes find them too.

        Args:
            warn: called with a message for each file that cannot be copied.
        """
        for kind, name in sorted(self._kept):
            path, digest = self._staged[kind, name]
            copy = next(iter(self.folders(kind))).joinpath(*PurePosixPath(name).parts)
            try:
                data = path.read_bytes()
                if sha256(data) != digest:
                    warn(f"{path} changed during the run, so pictures made from it cannot be reproduced")
                elif not whole_file.holds(copy, data):
                    copy.parent.mkdir(parents=True, exist_ok=True)
                    whole_file.replace(copy, data)
            except OSError as error:
                warn(f"{path} cannot be copied to {copy}: {error.strerror or error}")

    def target(self, name: str) -> Path:
        """Return the path in the outputs folder for a file that a node writes.

        Graphs may come from strangers, so nodes cannot write anywhere else.

        Raises:
            NodeError: the name is invalid, or points outside the outputs folder.
        """
        inner = PurePosixPath(name.replace("\\", "/"))
        if not inner.name or "\0" in name or not name.strip():
            raise NodeError(f"{name!r} is not a valid file name", code="bad_name")
        if inner.is_absolute() or ".." in inner.parts or ":" in name or name.startswith("~"):
            hint = "use a file name, or a sub-folder and a file name"
            raise NodeError(f"{name!r} points outside the outputs folder", hint=hint, code="bad_name")
        return self.outputs.joinpath(*inner.parts)

    def names(self, kind: str) -> list[str]:
        """Return the sorted names of the files and folders that lie directly in the folders of a kind."""
        found: set[str] = set()
        for folder in self.folders(kind):
            if folder.is_dir():
                found |= {path.name for path in folder.iterdir() if not path.name.startswith(".")}
        return sorted(found)

    def digest(self, path: Path) -> str:
        """Return the SHA-256 of a file's content, in hex.

        Raises:
            NodeError: the file cannot be read.
        """
        try:
            consulted = _consulted.get()
            if consulted is not None:
                consulted.setdefault(path, identity_of(path))
            return self._digests.digest(path)
        except OSError as error:
            raise NodeError(f"{path} cannot be read: {error.strerror or error}", code="unreadable") from None

    @contextmanager
    def unchanged(self) -> Iterator[Mapping[Path, Identity]]:
        """Context manager that fails if a file changes while the block uses it, even if it is restored.

        The files are those whose digests the block requests in this thread. At its end their sizes, inodes
        and times are compared; digests would not show that another file was there for a moment.

        Yields:
            a dict of these files with their identities, which is complete after the block.

        Raises:
            NodeError: one of the files changed.
        """
        consulted: dict[Path, Identity] = {}
        token = _consulted.set(consulted)
        try:
            yield consulted
        finally:
            _consulted.reset(token)
        for path, identity in consulted.items():
            if not _is_still(path, identity):
                raise changed_file(path)

    @property
    def facts(self) -> FileFacts:
        """The database of cached facts about files."""
        return self._digests.facts

    def last_seen(self, digest: str) -> LastSeen | None:
        """Find the path at which a file with this digest was last read; see `digests.last_seen`."""
        return last_seen(self.facts, digest)


def overwritten(files: Mapping[Path, Identity]) -> Path | None:
    """Return the first of these files that was overwritten in place; None if there is none.

    Memory that is mapped from an overwritten file has changed with it. A file that was replaced by a new file
    of the same name does not count: the mapped memory still holds the content of the old file.
    """
    for path, known in files.items():
        try:
            now = identity_of(path)
        except OSError:
            continue
        if now.inode == known.inode and (now.size, now.modified) != (known.size, known.modified):
            return path
    return None


def changed_file(path: Path) -> NodeError:
    """Create the error for a file that changed while it was in use."""
    hint = "run again to use its current content"
    return NodeError(f"{path} changed while it was read", hint=hint, code="changed_file")


def _is_still(path: Path, identity: Identity) -> bool:
    try:
        return identity_of(path) == identity
    except OSError:
        return False


def _as_it_is(picture: bytes, step: str, index: int) -> bytes:
    return picture


def _digest_in(name: str) -> str | None:
    """Return the digest in the name of an uploaded file; None for any other name."""
    found = _UPLOADED.fullmatch(name)
    return found[1] if found else None


def inner_path(name: str) -> PurePosixPath | None:
    """Convert a name to a relative path inside a folder; None if it is empty or points outside the folder."""
    inner = PurePosixPath(name.replace("\\", "/"))
    bad = not name.strip() or "\0" in name or ":" in name or inner.is_absolute() or ".." in inner.parts
    return None if bad else inner
