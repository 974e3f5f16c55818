"""Copies the files that a graph uses from its own folder when the graph is saved in another folder."""

from __future__ import annotations

import filecmp
import os
import re
import shutil
from collections.abc import Iterable, Iterator, Mapping
from dataclasses import dataclass
from pathlib import Path, PurePosixPath
from typing import Any

from engine.document.graph import Binding, Entry, Graph, Literal, Param
from engine.files import inner_path
from engine.values import Json

MOST_BYTES = 256 << 20
"""A file or folder with more bytes is not copied."""
MOST_FILES = 10_000
"""A folder with more files is not copied."""


@dataclass(frozen=True, slots=True)
class CopiedFiles:
    """Which files beside a graph were copied, and which were not."""

    copied: tuple[str, ...] = ()
    """The names of the files and folders that were copied, sorted."""
    left: tuple[str, ...] = ()
    """One sentence for each file or folder that was not copied, with the reason."""


FileInputs = Mapping[str, frozenset[str]]
"""For each node type, by its name without a version, the inputs that name files."""


def file_inputs(types: Iterable[Mapping[str, Any]]) -> FileInputs:
    """Return the inputs that name files, by node type without version, from the JSON of the node types."""
    found = {}
    for kind in types:
        names = [
            name for name, item in kind["inputs"].items() if item.get("x-widget", {}).get("choices_from")
        ]
        found[kind["type"].partition("@")[0]] = frozenset(names)
    return found


def copy_files_beside(graph: Graph, inputs: FileInputs, source: Path, target: Path) -> CopiedFiles:
    """Copy the files and folders that a graph names from the graph's folder into another folder.

    Symbolic links are not copied, nor anything that is already there with the same content.

    Args:
        graph: the graph.
        inputs: the inputs that name files, from `file_inputs`.
        source: the folder of the graph.
        target: the folder in which the graph is saved.

    Raises:
        OSError: a file cannot be read or written.
    """
    if source.resolve() == target.resolve():
        return CopiedFiles()
    copied, left = [], []
    for name in sorted({str(path) for path in _paths(graph, inputs) if os.path.exists(source / path)}):
        there, here = source / name, target / name
        files = list(_files(there))
        if here.exists() or here.is_symlink():
            if not _same(there, here, files):
                left.append(f"{name} was not copied: there is another {name} beside the saved graph")
        elif len(files) > MOST_FILES or sum(path.stat().st_size for path in files) > MOST_BYTES:
            left.append(f"{name} was not copied, because it is large: copy it from {there} to {here}")
        else:
            for path in files:
                place = target / path.relative_to(source)
                place.parent.mkdir(parents=True, exist_ok=True)
                shutil.copyfile(path, place)
            if files:
                copied.append(name)
    return CopiedFiles(tuple(copied), tuple(left))


def _paths(graph: Graph, inputs: FileInputs) -> Iterator[PurePosixPath]:
    """Yield each text in a graph that may name a file, as a path relative to the graph's folder."""
    for name in _names(graph, inputs):
        for text in {name, *re.split(r"[,\n]", name)}:
            path = inner_path(text.strip())
            if path is not None and path.parts:
                yield path


def _names(graph: Graph, inputs: FileInputs) -> Iterator[str]:
    params = {name for name, item in graph.inputs.items() if item.type == "file"}
    for entry in graph.nodes.values():
        if entry.type.startswith("."):
            yield entry.type
        for binding in _bindings(entry, inputs):
            if isinstance(binding, Param):
                params.add(binding.name)
            elif isinstance(binding, Literal):
                yield from _texts(binding.value)
    for name in params & graph.inputs.keys():
        yield from _texts(graph.inputs[name].default)
    for defined in graph.graphs.values():
        yield from _names(defined, inputs)


def _bindings(entry: Entry, inputs: FileInputs) -> Iterator[Binding]:
    """Yield the bindings of a node's inputs that name files; for a subgraph node, those of all inputs."""
    for name, binding in entry.inputs.items():
        if entry.is_graph or name in inputs.get(entry.name, ()):
            yield binding


def _texts(value: Json) -> Iterator[str]:
    if isinstance(value, str):
        yield value
    elif isinstance(value, Mapping):
        for item in value.values():
            yield from _texts(item)
    elif isinstance(value, list | tuple):
        for item in value:
            yield from _texts(item)


def _files(path: Path) -> Iterator[Path]:
    """Yield the file itself, or every file in the folder; symbolic links are left out."""
    if path.is_symlink():
        return
    if path.is_file():
        yield path
        return
    for folder, _, names in os.walk(path):
        for name in sorted(names):
            file = Path(folder, name)
            if file.is_file() and not file.is_symlink():
                yield file


def _same(there: Path, here: Path, files: list[Path]) -> bool:
    """Return whether `here` has the same content as `there` for each of the files in `there`."""
    places = ((path, here if path == there else here / path.relative_to(there)) for path in files)
    return all(place.is_file() and filecmp.cmp(path, place, shallow=False) for path, place in places)
