"""How each graph was when it last ran: one small file a graph in the home folder, for explaining a plan."""

from __future__ import annotations

import os
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import said
from engine.history_format import HEADER_BYTES, MAX_BYTES, is_nested, parsed, state, state_of, written
from engine.values import sha256
from engine.was import Was

if TYPE_CHECKING:
    from engine.plan import Plan
    from engine.report import Report

KEPT = 200
"""How many graphs are remembered."""

_Identity = tuple[int, int]


class Record:
    """How one graph was; read when somebody asks, and from then on the same whatever is written later."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._data: bytes | None = None
        self._nodes: dict[str, Was] | None = None

    @property
    def nodes(self) -> dict[str, Was]:
        """Its nodes by id; none if it never ran, or its record is damaged."""
        if self._nodes is None:
            self.hold()
            self._nodes = parsed(self._data or b"")
            self._data = b""
        return self._nodes

    @property
    def nested(self) -> bool:
        """Whether some of its nodes are of graphs that other nodes returned."""
        self.hold()
        return self._nodes is not None or is_nested(self._data or b"")

    def hold(self) -> None:
        """Take in what is written now, since it is about to be replaced."""
        if self._data is None and self._nodes is None:
            self._data = _read(self.path, MAX_BYTES)


class History:
    """The records of all graphs of a home.

    Nothing here raises: a record that cannot be written is told, one that cannot be read is as if it was not.

    Args:
        folder: made when the first record is written.
        warn: is told when one cannot be.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self._warn = warn
        self._known: dict[str, tuple[bytes, _Identity | None]] = {}  # of what each record is, and which file

    def record(self, name: str) -> Record:
        """The record of the graph that goes by this name: the path of its file, or its title."""
        return Record(f"{self.folder}/{sha256(name.encode(errors='surrogatepass'))[:32]}.json")

    def remember(self, record: Record, plan: Plan, report: Report) -> None:
        """Write how a graph was in the run that has just ended, unless its record says so already."""
        try:
            now = state(plan, report)
            identity = _identity(record.path)
            if identity is not None and self._known.get(record.path) == (now, identity):
                return
            if state_of(_read(record.path, HEADER_BYTES)) != now:
                record.hold()
                identity = self._write(record.path, written(record, now, plan, report))
            self._known[record.path] = now, identity
        except Exception as error:  # a full disk, or what a node pack put into a literal
            self._warn(
                f"how this graph was is not remembered: {record.path} cannot be written: {said(error)}"
            )

    def _write(self, path: str, data: bytes) -> _Identity | None:
        # Not flushed to the disk: what a power cut leaves is ignored, and a flush may cost more than the run.
        draft = f"{self.folder}/.{os.urandom(8).hex()}.part"
        try:
            try:
                file = open(draft, "xb")
            except FileNotFoundError:
                self.folder.mkdir(parents=True, exist_ok=True)
                file = open(draft, "xb")
            with file:
                file.write(data)
            fresh, identity = not os.path.exists(path), _identity(draft)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
        if fresh:
            self._prune()
        return identity

    def _prune(self) -> None:
        with os.scandir(self.folder) as entries:
            found = [(entry.stat().st_mtime, entry.path) for entry in entries]
        for _, path in sorted(found, reverse=True)[KEPT:]:
            with suppress(OSError):
                os.unlink(path)


def _identity(path: str) -> _Identity | None:
    try:
        stat = os.stat(path)
    except OSError:
        return None
    return stat.st_ino, stat.st_mtime_ns


def _read(path: str, most: int) -> bytes:
    try:
        with open(path, "rb", buffering=0) as file:
            return file.read(most)
    except OSError:
        return b""
