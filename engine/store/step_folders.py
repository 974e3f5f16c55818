"""The folders of long steps, for unfinished work that a later run continues, and for published files."""

from __future__ import annotations

import os
import shutil
import stat
import tempfile
import time
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path, PurePosixPath
from threading import Lock
from typing import NamedTuple

from engine import whole_file
from engine.errors import NodeError, error_text

try:
    import fcntl
except ImportError:  # Windows: folders are locked between the steps of one process only
    fcntl = None  # type: ignore[assignment]

_UNNAMED = "unnamed-"
_SHARE = 2
"""All step folders together may take 1/_SHARE of the disk budget."""


class PublishedFile(NamedTuple):
    """A file that a step published while it ran, such as a checkpoint."""

    name: str
    """Its name in the folder of the step, with `/` for sub-folders."""
    path: Path
    size: int


class StepFolder:
    """The folder of one running step, which no other step uses until `close`.

    Args:
        folders: the collection that this folder belongs to.
        path: the path of the folder.
        lock: the descriptor of the open lock file.
        lineage: the lineage of the step (see `Keys.lineage`), if it has one.
    """

    def __init__(self, folders: StepFolders, path: Path, lock: int, lineage: str | None) -> None:
        self.path = path
        self._folders, self._lock, self._lineage = folders, lock, lineage

    @property
    def scratch(self) -> Path:
        """The sub-folder for unfinished work. It remains if the step is cancelled, fails or is killed, and
        the next run of the step finds it."""
        scratch = self.path / "scratch"
        scratch.mkdir(exist_ok=True)
        return scratch

    def publish(self, name: str, data: bytes | Path) -> PublishedFile:
        """Store a file beside the result of the step; it replaces an earlier file of the same name.

        Args:
            name: a file name, which may have sub-folders.
            data: the content, or the path of a file to copy.

        Raises:
            NodeError: the name is not a relative path inside the folder.
            OSError: the file cannot be written.
        """
        inner = PurePosixPath(name.replace("\\", "/"))
        if not inner.name or inner.is_absolute() or ".." in inner.parts or ":" in name or "\0" in name:
            hint = "use a file name, or a sub-folder and a file name"
            raise NodeError(f"{name!r} is not a valid name for a published file", hint=hint, code="bad_name")
        path = self.path.joinpath("published", *inner.parts)
        path.parent.mkdir(parents=True, exist_ok=True)
        if isinstance(data, bytes):
            whole_file.replace(path, data)
        else:
            whole_file.copy(data, path)
        return PublishedFile(str(inner), path, path.stat().st_size)

    def related(self) -> list[PublishedFile]:
        """List the files that steps of the same lineage have published, newest first."""
        return [] if self._lineage is None else self._folders.of_lineage(self._lineage)

    def published(self) -> list[PublishedFile]:
        """List the files that this step has published, sorted by name."""
        return published_in(self.path)

    def keep_within_budget(self) -> None:
        """Remove the least recently used folders of other steps if all folders exceed the budget."""
        self._folders.trim()

    def close(self, stored: bool) -> None:
        """Unlock the folder.

        Args:
            stored: True if the result of the step is in the store; its unfinished work is then removed.
        """
        if stored or self.path.name.startswith(_UNNAMED):
            shutil.rmtree(self.path / "scratch", ignore_errors=True)
        self._folders.close_folder(self.path, self._lock)


class StepFolders:
    """The folders of long steps, one for each key, beside the results on disk.

    They count towards the disk budget. If they exceed half of it, the least recently used folders are
    removed, except those of running steps.

    Args:
        root: the folder that contains them. If it is None or cannot be written, a temporary folder is used,
            which `close` removes. Published files are kept there if `root` cannot be written.
        budget: the disk budget in bytes.
        warn: receives a warning if `root` cannot be used.
    """

    def __init__(self, root: Path | None, budget: int, warn: Callable[[str], None]) -> None:
        self._root, self._warn = root, warn
        self._limit = budget // _SHARE
        self._temporary: Path | None = None
        self._open: set[Path] = set()
        self._mutex = Lock()

    def open(self, key: str | None, lineage: str | None = None) -> StepFolder:
        """Open the folder of a step.

        Args:
            key: the key of the step. If it is None, or another process uses the folder of that key, the step
                gets a folder that later runs do not find.
            lineage: the lineage of the step (see `Keys.lineage`); None if it has none.

        Raises:
            OSError: the folder cannot be created.
        """
        if self._root is not None and self._temporary is None:
            try:
                return self._open_in(self._root, key, lineage)
            except OSError as error:
                self._warn(
                    f"Unfinished work of long steps cannot be kept in {self._root}: {error_text(error)}."
                    f" It is lost when Safelight ends; published files stay in {self._temporary_root()}."
                )
        return self._open_in(self._temporary_root(), key, lineage)

    def folders(self) -> dict[str, Path]:
        """Return the folders of all steps, by the key of the step."""
        return {path.name: path for path in self._all()}

    def of_lineage(self, lineage: str) -> list[PublishedFile]:
        """List the files that steps of a lineage have published, newest first."""
        files: list[tuple[float, PublishedFile]] = []
        for path in self._all():
            with suppress(OSError):
                if (path / "lineage").read_text("utf-8") == lineage:
                    files += [(file.path.stat().st_mtime, file) for file in published_in(path)]
        return [file for _, file in sorted(files, key=lambda item: item[0], reverse=True)]

    def usage(self) -> tuple[int, int]:
        """Return the number of folders on disk, and their bytes."""
        folders = _inside(self._root)
        return len(folders), sum(map(_size, folders))

    def clear(self, older_than: float | None = None) -> tuple[int, int]:
        """Remove the folders that no running step uses; return the numbers of removed folders and bytes.

        Args:
            older_than: remove only folders that no step has used for this many seconds; None for all.
        """
        count, freed = 0, 0
        for path in _inside(self._root):
            with suppress(OSError):
                if older_than is None or (path / "lock").stat().st_mtime < time.time() - older_than:
                    size = _size(path)
                    if self._remove(path):
                        count, freed = count + 1, freed + size
        return count, freed

    def trim(self) -> None:
        """Remove the least recently used folders until the rest fits into the budget."""
        folders = []
        for path in _inside(self._root):
            with suppress(OSError):
                folders.append(((path / "lock").stat().st_mtime, path, _size(path)))
        excess = sum(size for _, _, size in folders) - self._limit
        for _, path, size in sorted(folders):
            if excess <= 0:
                return
            if self._remove(path):
                excess -= size

    def close(self) -> None:
        """Remove the temporary folder, if there is one; keep files that `root` could not take."""
        if self._temporary is None:
            return
        for folder in _inside(self._temporary):
            if self._root is None or not published_in(folder):
                shutil.rmtree(folder, ignore_errors=True)
            else:
                shutil.rmtree(folder / "scratch", ignore_errors=True)
        with suppress(OSError):  # it holds published files
            self._temporary.rmdir()

    def close_folder(self, path: Path, lock: int) -> None:
        """Unlock a folder, and remove it if it is empty."""
        with suppress(OSError):
            os.utime(path / "lock")
        if not (path / "scratch").is_dir() and not (path / "published").is_dir():
            shutil.rmtree(path, ignore_errors=True)
        self._unlock(path, lock)
        self.trim()

    def _open_in(self, root: Path, key: str | None, lineage: str | None) -> StepFolder:
        path = root / (key or f"{_UNNAMED}{os.urandom(8).hex()}")
        lock = self._lock(path)
        if lock is None:  # a step with the same key runs in a process that does not share our step locks
            return self._open_in(root, None, lineage)
        if lineage is not None:
            whole_file.replace(path / "lineage", lineage.encode())
        return StepFolder(self, path, lock, lineage)

    def _remove(self, path: Path) -> bool:
        """Remove a folder; return False if a step is using it."""
        lock = self._lock(path)
        if lock is None:
            return False
        shutil.rmtree(path, ignore_errors=True)
        self._unlock(path, lock)
        return True

    def _lock(self, path: Path) -> int | None:
        """Create a folder if necessary, and lock it; return the descriptor of the lock file.

        None if the folder is in use.
        """
        with self._mutex:
            if path in self._open:
                return None
            while True:
                path.mkdir(parents=True, exist_ok=True)
                try:
                    file = os.open(path / "lock", os.O_RDWR | os.O_CREAT | getattr(os, "O_CLOEXEC", 0), 0o644)
                except FileNotFoundError:
                    continue  # another process removed the folder just now
                if fcntl is not None:
                    try:
                        fcntl.flock(file, fcntl.LOCK_EX | fcntl.LOCK_NB)
                    except OSError:
                        os.close(file)
                        return None
                try:
                    if os.path.samestat(os.fstat(file), os.stat(path / "lock")):
                        self._open.add(path)
                        return file
                except FileNotFoundError:
                    pass  # the folder was removed between `open` and `flock`
                os.close(file)

    def _unlock(self, path: Path, lock: int) -> None:
        with self._mutex:
            self._open.discard(path)
            os.close(lock)

    def _all(self) -> list[Path]:
        return [*_inside(self._root), *_inside(self._temporary)]

    def _temporary_root(self) -> Path:
        with self._mutex:
            if self._temporary is None:
                self._temporary = Path(tempfile.mkdtemp(prefix="safelight-steps-"))
            return self._temporary


def _inside(root: Path | None) -> list[Path]:
    """List the sub-folders of a folder; empty if it does not exist or is None."""
    if root is None:
        return []
    try:
        with os.scandir(root) as entries:
            return [Path(entry.path) for entry in entries if entry.is_dir(follow_symlinks=False)]
    except OSError:
        return []


def published_in(folder: Path) -> list[PublishedFile]:
    """List the published files in the folder of a step, sorted by name."""
    root = folder / "published"
    files = []
    for path in sorted(root.rglob("*")):
        with suppress(OSError):
            if path.is_file() and not path.name.startswith("."):
                files.append(PublishedFile(path.relative_to(root).as_posix(), path, path.stat().st_size))
    return files


def _size(folder: Path) -> int:
    """Return the bytes of all files in a folder."""
    size = 0
    for path in folder.rglob("*"):
        with suppress(OSError):
            entry = path.lstat()
            size += 0 if stat.S_ISDIR(entry.st_mode) else entry.st_size
    return size
