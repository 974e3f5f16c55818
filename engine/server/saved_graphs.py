"""The graphs that a server lists, saves and restores: files in the home's `graphs/`, with their versions."""

from __future__ import annotations

import re
import time
from collections.abc import Callable, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from threading import RLock

from engine import whole_file
from engine.document import reader, writer
from engine.document.graph import Graph
from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.packs import named_graphs
from engine.paths import slug
from engine.server.refusal import refused
from engine.values import sha256

NEW_ID = r"[A-Za-z0-9_](?:[A-Za-z0-9_. -]{0,98}[A-Za-z0-9_-])?"
"""The id of a new graph, or one part of it between colons: a colon separates a sub-folder from a name."""
KEPT_VERSIONS = 200
"""The most versions of a graph that are kept."""
MAX_BYTES = 32 << 20


@dataclass(frozen=True, slots=True)
class GraphRow:
    """An entry in the list of graphs."""

    id: str
    title: str
    doc: str
    example: bool
    """True for an example of a pack. Saving it creates a copy in the home folder under the same id."""
    revision: str
    """A text that changes with the content of the graph."""
    saved: float
    """Seconds since the epoch."""
    problem: Mapping[str, str | None] | None = None
    """The reason why the file cannot be read; None if it can."""


@dataclass(frozen=True, slots=True)
class SavedGraph:
    """A graph with its revision."""

    id: str
    graph: Graph
    text: str
    """The graph as canonical JSON."""
    revision: str
    example: bool


@dataclass(frozen=True, slots=True)
class GraphVersion:
    """A saved version of a graph."""

    version: int
    revision: str
    saved: float
    """Seconds since the epoch."""
    title: str
    nodes: int


class SavedGraphs:
    """The graphs of a home folder and the examples; thread-safe.

    Each save writes a version. A save that is based on an outdated revision is refused.

    Args:
        folder: the home's `graphs/`.
        records: the folder that keeps versions and deleted graphs.
        examples: returns the example graphs of the installed packs.
        opened: a graph file outside `folder` that is saved in place; None for none.
    """

    def __init__(
        self,
        folder: Path,
        records: Path,
        examples: Callable[[], Mapping[str, Path]] = dict,
        opened: Path | None = None,
    ) -> None:
        self._folder, self._records, self._examples = folder, records, examples
        self._opened = opened
        self._lock = RLock()
        self._rows: dict[Path, tuple[tuple[int, int], GraphRow]] = {}

    @property
    def opened(self) -> str | None:
        """The id of the graph file outside the home folder that is saved in place; None if there is none."""
        return None if self._opened is None else _id(self._opened.stem)

    def rows(self) -> list[GraphRow]:
        """List all graphs: the file that is saved in place, the user's own, then the examples.

        An example is left out if one of the others has its id.
        """
        with self._lock:
            own = self._own()
            rows = [self._row(id, path, example=False) for id, path in own.items()]
            rows += [
                self._row(_id(name), path, example=True)
                for name, path in self._examples().items()
                if _id(name) not in own
            ]
            return [row for row in rows if row is not None]

    def read(self, id: str) -> SavedGraph:
        """Read a graph.

        Raises:
            Refused: there is no such graph (404).
            GraphError: the file cannot be read or is not a graph.
        """
        path, example = self._path(id)
        return self._read(id, path, example)

    def save(self, id: str, graph: Graph, expected: str | None, *, only_new: bool = False) -> SavedGraph:
        """Save a graph.

        Args:
            id: the id; it may be new.
            graph: the graph.
            expected: the revision that the changes are based on; None for a new graph.
            only_new: True to refuse an id that is already used.

        Raises:
            Refused: the id is not valid (422), the graph has another revision by now (412), or it exists and
                `expected` is None (428).
            OSError: the file cannot be written.
        """
        with self._lock:
            own = self._own().get(id)
            current = self.revision(id)
            if only_new and own is not None:
                message = f"there is a graph {id!r} already"
                raise refused(412, "graph_exists", message, "choose another name", headers=_tag(current))
            if own is not None and expected is None:
                hint = "send the revision that you changed in the header If-Match"
                raise refused(428, "no_revision", f"there is a graph {id!r} already", hint)
            if expected is not None and expected not in ("*", current):
                hint = "load it again, or save yours under another name"
                message = f"the graph {id!r} was saved by another tab or program"
                raise refused(412, "other_revision", message, hint, headers=_tag(current))
            path = own or self._new_path(id)
            if own is not None:
                self._keep(id, own.read_bytes())  # it may have been changed by hand
            text = writer.dump(replace(graph, folder=None))
            path.parent.mkdir(parents=True, exist_ok=True)
            whole_file.replace(path, text.encode())
            self._keep(id, text.encode())
            return self._read(id, path, example=False)

    def versions(self, id: str) -> list[GraphVersion]:
        """List the versions of a graph, the newest first; a deleted graph keeps its versions.

        Raises:
            Refused: there is no such graph (404).
        """
        rows = []
        for number, path in sorted(self._versions(id).items(), reverse=True):
            data = path.read_bytes()
            graph = _parsed(data)
            rows.append(
                GraphVersion(number, _revision(data), path.stat().st_mtime, graph.title, len(graph.nodes))
            )
        if not rows:
            self._path(id)  # raises if the graph does not exist
        return rows

    def version(self, id: str, number: int) -> SavedGraph:
        """Read one version of a graph.

        Raises:
            Refused: there is no such version (404).
        """
        path = self._versions(id).get(number)
        if path is None:
            raise refused(404, "unknown_version", f"the graph {id!r} has no version {number}")
        return self._read(id, path, example=False)

    def restore(self, id: str, number: int, expected: str | None) -> SavedGraph:
        """Save an old version as the newest one; see `save`."""
        with self._lock:
            return self.save(id, self.version(id, number).graph, expected)

    def delete(self, id: str, expected: str | None) -> None:
        """Move a graph to the folder of deleted graphs. Its versions stay, so it can be restored.

        Raises:
            Refused: there is no such graph (404), it is an example or a file that is saved in place (403), or
                it has another revision (412).
            OSError: the file cannot be moved.
        """
        with self._lock:
            path, example = self._path(id)
            if example or path == self._opened:
                message = f"the graph {id!r} is an example or belongs to another folder"
                raise refused(403, "read_only", message, "only your own graphs can be deleted")
            data = path.read_bytes()
            if expected not in (None, "*", _revision(data)):
                message = f"the graph {id!r} was saved by another tab or program"
                raise refused(412, "other_revision", message, headers=_tag(_revision(data)))
            self._keep(id, data)
            trash = self._records / "trash"
            trash.mkdir(parents=True, exist_ok=True)
            path.replace(trash / f"{_record_name(id)}-{time.time_ns()}.json")

    def folder_of(self, id: str) -> Path | None:
        """Return the folder where a graph finds the files that it names; None if there is no such graph."""
        with self._lock:
            path = self._own().get(id) or self._known_examples().get(id)
        return None if path is None else path.parent

    def revision(self, id: str) -> str | None:
        """Return the revision of a graph; None if the graph does not exist."""
        path = self._own().get(id) or self._known_examples().get(id)
        return None if path is None else _revision(path.read_bytes())

    def _own(self) -> dict[str, Path]:
        own = {_id(graph.name): graph.path for graph in named_graphs.in_folder(self._folder)}
        return own if self._opened is None else {_id(self._opened.stem): self._opened, **own}

    def _known_examples(self) -> dict[str, Path]:
        return {_id(name): path for name, path in self._examples().items()}

    def _path(self, id: str) -> tuple[Path, bool]:
        """Return the path of a graph's file, and whether it is an example; refuses an unknown id (404)."""
        own = self._own()
        if id in own:
            return own[id], False
        examples = self._known_examples()
        if id in examples:
            return examples[id], True
        hint = near(id, [*own, *examples]) or "GET /api/v1/graphs lists the graphs"
        raise refused(404, "unknown_graph", f"there is no graph {id!r}", hint)

    def _new_path(self, id: str) -> Path:
        """Return the path for a new graph. The id is checked, so that no path leads out of the folder."""
        parts = id.split(":")
        if len(parts) > 4 or not all(re.fullmatch(NEW_ID, part) for part in parts):
            hint = "use letters, digits, spaces, -, _ and . ; a colon separates a sub-folder from the name"
            raise refused(422, "bad_id", f"{id!r} is not a name for a new graph", hint)
        return self._folder.joinpath(*parts[:-1], parts[-1] + named_graphs.SUFFIX)

    def _row(self, id: str, path: Path, *, example: bool) -> GraphRow | None:
        try:
            stat = path.stat()
            mark = stat.st_mtime_ns, stat.st_size
            if path in self._rows and self._rows[path][0] == mark and self._rows[path][1].id == id:
                return self._rows[path][1]
            data = path.read_bytes()
        except OSError:
            return None  # it was deleted meanwhile
        row = GraphRow(id, "", "", example, _revision(data), stat.st_mtime)
        try:
            graph = _parsed(data)
            row = replace(row, title=graph.title, doc=graph.doc)
        except GraphError as error:
            row = replace(row, problem=error.problems[0].as_json())
        self._rows[path] = mark, row
        return row

    def _read(self, id: str, path: Path, example: bool) -> SavedGraph:
        try:
            data = path.read_bytes()
        except OSError as error:
            message = f"the graph {id!r} cannot be read: {error.strerror}"
            raise GraphError([Problem("unreadable", message)]) from None
        graph = _parsed(data)
        return SavedGraph(
            id, replace(graph, folder=path.parent), writer.dump(graph), _revision(data), example
        )

    def _keep(self, id: str, data: bytes) -> None:
        """Save a version, unless it equals the newest one; deletes the oldest version beyond the limit."""
        versions = self._versions(id)
        newest = max(versions, default=0)
        if newest and whole_file.holds(versions[newest], data):
            return
        folder = self._version_folder(id)
        folder.mkdir(parents=True, exist_ok=True)
        whole_file.replace(folder / f"{newest + 1:06}.json", data)
        for number in sorted(versions)[: len(versions) + 1 - KEPT_VERSIONS]:
            versions[number].unlink(missing_ok=True)

    def _versions(self, id: str) -> dict[int, Path]:
        folder = self._version_folder(id)
        return {int(path.stem): path for path in folder.glob("*.json") if path.stem.isdigit()}

    def _version_folder(self, id: str) -> Path:
        return self._records / "versions" / _record_name(id)


def _parsed(data: bytes) -> Graph:
    if len(data) > MAX_BYTES:
        raise GraphError([Problem("too_large", f"the graph is larger than {MAX_BYTES:,} bytes")])
    return reader.parse(data)


def _id(name: str) -> str:
    """Return the id of a graph: its path inside the graphs folder, with colons for slashes."""
    return name.replace("/", ":")


def _record_name(id: str) -> str:
    """Return a name for the folders that belong to a graph, safe on every file system."""
    return f"{slug(id)[:60]}-{sha256(id.encode())[:12]}"


def _revision(data: bytes) -> str:
    return sha256(data)[:24]


def _tag(revision: str | None) -> dict[str, str]:
    return {} if revision is None else {"ETag": f'"{revision}"'}
