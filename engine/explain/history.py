"""The history: for each graph a file in the home folder, with the state of its nodes in the last run."""

from __future__ import annotations

import os
from collections.abc import Callable, Mapping
from contextlib import suppress
from pathlib import Path
from typing import TYPE_CHECKING

from engine.errors import error_text
from engine.explain.history_format import (
    HEADER_BYTES,
    MAX_BYTES,
    is_nested,
    opened_steps,
    outer_steps,
    parsed,
    single_steps,
    state,
    state_of,
    written,
)
from engine.explain.past_node import PastNode, place
from engine.values import sha256

if TYPE_CHECKING:
    from engine.plan.plan import Plan

KEPT = 200
"""The maximum number of graphs in the history."""

_Identity = tuple[int, int]


class Record:
    """The state of one graph in its last run. It is read from its file once, when it is first needed."""

    def __init__(self, path: str) -> None:
        self.path = path
        self._data: bytes | None = None
        self._nodes: dict[str, PastNode] | None = None

    @property
    def nodes(self) -> dict[str, PastNode]:
        """The nodes of the graph by id; empty if the graph never ran, or if the file is damaged."""
        if self._nodes is None:
            self.read()
            self._nodes = parsed(self._data or b"")
            self._data = b""
        return self._nodes

    @property
    def nested(self) -> bool:
        """True if some of the nodes belong to graphs that other nodes returned."""
        self.read()
        return self._nodes is not None or is_nested(self._data or b"")

    def read(self) -> None:
        """Read the file now, before a run replaces it."""
        if self._data is None and self._nodes is None:
            self._data = _read(self.path, MAX_BYTES)


class History:
    """The records of all graphs in a home folder.

    No method raises: if a record cannot be written, there is a warning; if one cannot be read, it is treated
    as missing.

    Args:
        folder: the folder of the records; it is created with the first one.
        warn: receives the warning if a record cannot be written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self.folder = folder
        self._warn = warn
        self._known: dict[str, tuple[bytes, _Identity | None]] = {}  # path -> (state, file)

    def record(self, name: str) -> Record:
        """Return the record of the graph with this name, which is the path of its file or its title."""
        return Record(f"{self.folder}/{sha256(name.encode(errors='surrogatepass'))[:32]}.json")

    def remember(self, record: Record, plan: Plan, unfinished: Mapping[str, str]) -> None:
        """Write the record of a graph after a run, unless the stored record is up to date.

        Args:
            record: the record from before the run.
            plan: the plan of the run.
            unfinished: for each step without a result, its state, such as `failed`.
        """
        try:
            now = state(plan, unfinished)
            identity = _identity(record.path)
            if identity is not None and self._known.get(record.path) == (now, identity):
                return
            if state_of(_read(record.path, HEADER_BYTES)) != now:
                record.read()
                identity = self._write(record.path, written(now, plan, unfinished, _kept(record, plan)))
            self._known[record.path] = now, identity
        except Exception as error:  # a full disk, or an unusual literal of a node pack
            reason = error_text(error)
            self._warn(f"The history of this graph is not saved: {record.path} cannot be written: {reason}")

    def _write(self, path: str, data: bytes) -> _Identity | None:
        # Not flushed to disk: a flush may take longer than the run. A damaged record is ignored.
        draft = f"{self.folder}/.{os.urandom(8).hex()}.part"
        try:
            try:
                file = open(draft, "xb")
            except FileNotFoundError:
                self.folder.mkdir(parents=True, exist_ok=True)
                file = open(draft, "xb")
            with file:
                file.write(data)
            is_new, identity = not os.path.exists(path), _identity(draft)
            os.replace(draft, path)
        except BaseException:
            with suppress(OSError):
                os.unlink(draft)
            raise
        if is_new:
            self._prune()
        return identity

    def _prune(self) -> None:
        with os.scandir(self.folder) as entries:
            found = [(entry.stat().st_mtime, entry.path) for entry in entries]
        for _, path in sorted(found, reverse=True)[KEPT:]:
            with suppress(OSError):
                os.unlink(path)


def _kept(record: Record, plan: Plan) -> dict[str, PastNode]:
    """Return the nodes of a record that are still in the graph, although the run did not need them.

    These are nodes on which no target depends, and nodes of returned graphs that were not needed again.
    """
    steps = single_steps(plan)
    absent = plan.checked.graph.nodes.keys() - steps.keys()
    absent -= {place(node) for node in steps} if absent else set()
    if not absent and not record.nested:
        return {}
    opened = opened_steps(steps)
    kept = {}
    for node, past in record.nodes.items():
        closed = any(outer in steps and outer not in opened for outer in outer_steps(node))
        if place(node) in absent or closed:
            kept[node] = past
    return kept


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
