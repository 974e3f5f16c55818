"""A request to run a graph, as plain data: the graph, values for its inputs, and the output folder."""

from __future__ import annotations

import json
from collections.abc import Mapping
from dataclasses import dataclass, field
from pathlib import Path
from typing import Any

from engine.document import reader, writer
from engine.document.graph import Graph
from engine.document.sweep import Sweep
from engine.errors import GraphError, Problem, short
from engine.problem_list import Problems
from engine.values import Json, canonical

_FIELDS = ("graph", "folder", "values", "sweeps", "targets", "name", "title", "out", "write")


@dataclass(frozen=True, slots=True)
class RunRequest:
    """A request to run a graph: everything that a session needs for the run.

    A request is plain data, so it can be sent to another process or kept in a queue.
    """

    graph: Graph
    """The graph with its subgraphs. `./other.json` and relative file names in it refer to its `folder`."""
    values: Mapping[str, Json | Sweep] = field(default_factory=dict)
    """Values for the inputs of the graph; an input without a value takes its default."""
    targets: tuple[str, ...] = ()
    """The ids of the nodes to compute; if empty, the graph's declared outputs and nodes with side effects."""
    name: str = ""
    """The name of the graph in the history, such as the path of its file; if empty, the graph's title."""
    title: str = ""
    """The beginning of the names of output files; if empty, the graph's title."""
    out: Path | None = None
    """The folder for the files of the declared outputs; by default `outputs` in the home folder."""
    write: bool = True
    """False to write no files for the declared outputs."""

    @property
    def swept(self) -> list[str]:
        """The names of the swept inputs, the outermost sweep first."""
        given = [name for name, value in self.values.items() if isinstance(value, Sweep)]
        rest = [name for name, item in self.graph.inputs.items() if item.sweep and name not in self.values]
        return [*given, *sorted(rest, key=lambda name: self.graph.inputs[name].sweep)]

    def to_json(self) -> dict[str, Json]:
        """Convert this request to JSON."""
        values = {name: value for name, value in self.values.items() if not isinstance(value, Sweep)}
        sweeps = {name: list(value.values) for name, value in self.values.items() if isinstance(value, Sweep)}
        return {
            "graph": json.loads(writer.dump(self.graph)),
            "folder": None if self.graph.folder is None else str(self.graph.folder),
            "values": values,
            "sweeps": sweeps,
            "targets": list(self.targets),
            "name": self.name,
            "title": self.title,
            "out": None if self.out is None else str(self.out),
            "write": self.write,
        }

    @classmethod
    def from_json(cls, tree: Any) -> RunRequest:
        """Restore a request from the JSON of `to_json`. Every field except `graph` may be missing.

        Raises:
            GraphError: the JSON is not a run request.
        """
        reader = _Reader(tree)
        graph = reader.graph()
        folder = reader.path("folder")
        values: dict[str, Json | Sweep] = {**reader.values()}
        values |= {name: Sweep(tuple(listed)) for name, listed in reader.sweeps(values).items()}
        request = cls(
            graph,
            values,
            reader.targets(),
            reader.text("name"),
            reader.text("title"),
            reader.path("out"),
            reader.write(),
        )
        if reader.problems:
            raise GraphError(reader.problems)
        graph.folder = folder
        return request


class _Reader:
    """Reads the fields of a request and collects problems."""

    def __init__(self, tree: Any) -> None:
        self.problems = Problems()
        self._tree: Mapping[str, Any] = {}
        if not isinstance(tree, dict):
            self._bad(f"a run request is {short(tree)}, not an object")
            return
        self._tree = tree
        for key in tree.keys() - set(_FIELDS):
            self._bad(f"a run request has the unknown key {short(key)}", f"use {', '.join(_FIELDS)}")

    def graph(self) -> Graph:
        try:
            return reader.from_json(self._tree.get("graph"))
        except GraphError as error:
            self.problems.extend(error.problems)
            return Graph()

    def values(self) -> dict[str, Json]:
        return {name: value for name, value in self._object("values").items() if self._is_json(name, value)}

    def sweeps(self, values: Mapping[str, object]) -> dict[str, list[Json]]:
        found: dict[str, list[Json]] = {}
        for name, listed in self._object("sweeps").items():
            if not isinstance(listed, list):
                self._bad(f"the sweep of {short(name)} is {short(listed)}", "write a list of values")
            elif name in values:
                self._bad(f"{short(name)} has both a value and a sweep", "remove one of them")
            elif self._is_json(name, listed):
                found[name] = listed
        return found

    def targets(self) -> tuple[str, ...]:
        targets = self._tree.get("targets", [])
        if isinstance(targets, list) and all(isinstance(target, str) for target in targets):
            return tuple(targets)
        self._bad(f"`targets` is {short(targets)}", "write a list of node ids")
        return ()

    def text(self, key: str) -> str:
        text = self._tree.get(key, "")
        if isinstance(text, str):
            return text
        self._bad(f"`{key}` is {short(text)}, not text")
        return ""

    def path(self, key: str) -> Path | None:
        text = self._tree.get(key)
        if isinstance(text, str) and text and "\0" not in text:
            return Path(text)
        if text is not None:
            self._bad(f"`{key}` is {short(text)}", "write the path of a folder, or null")
        return None

    def write(self) -> bool:
        write = self._tree.get("write", True)
        if not isinstance(write, bool):
            self._bad(f"`write` is {short(write)}", "write true or false")
        return write is True

    def _object(self, key: str) -> dict[str, Any]:
        found = self._tree.get(key, {})
        if isinstance(found, dict):
            return found
        self._bad(f"`{key}` is {short(found)}, not an object")
        return {}

    def _is_json(self, name: str, value: Any) -> bool:
        try:
            canonical(value)
        except (TypeError, ValueError, RecursionError):
            self._bad(f"the value of {short(name)} is {short(value)}, which is not finite JSON")
            return False
        return True

    def _bad(self, message: str, hint: str | None = None) -> None:
        self.problems.append(Problem("bad_request", message, hint=hint))
