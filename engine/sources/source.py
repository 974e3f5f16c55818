"""Reads a graph from a file: a document, a picture with an embedded graph, or another program's file."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from engine import picture_text
from engine.digests import FileDigests
from engine.document import reader, writer
from engine.document.graph import Graph, ReadGraph
from engine.errors import AuthorError, GraphError, Problem, short
from engine.files import Files
from engine.near_names import near
from engine.pack_errors import hook_problem
from engine.sources import foreign
from engine.sources.foreign import Foreign, Imported, ImportGraph

CHUNK = "safelight"
"""The keyword of the text metadata that contains a picture's graph."""

MAX_BYTES = 256 << 20
"""The largest file in bytes."""
MAX_LISTED = 2000
"""The most files of a folder that are compared with a mistyped name."""
OWN = "its own document"
"""The `Imported.origin` of a graph that Safelight saved, so that it needed no conversion."""
_PICTURES = (".png", ".jpg", ".jpeg", ".webp")
_OURS = re.compile(rb'"safelight"\s{0,9}:')


def load(path: Path) -> Graph:
    """Read the Safelight graph in a file. The file's content decides its format, not its suffix.

    Raises:
        GraphError: the file cannot be read, or contains no valid graph. The error lists every problem.
    """
    return read(path).graph


def subgraph_reader(root: Path, local: bool) -> ReadGraph:
    """Return a function that reads the graph files that other graphs name, such as `./upscale.json`.

    Args:
        root: the base folder for a graph without a folder, such as one sent over the network.
        local: True if a graph may name any file on this machine; False for files below `root` only.
    """

    def read_named(name: str, folder: Path | None) -> Graph:
        base = (folder if folder is not None and local else root).resolve()
        path = (base / name).resolve()
        if not local and not path.is_relative_to(root.resolve()):
            raise _refused(
                "forbidden", f"{name} is outside the graphs folder", f"use a file in {root} or below"
            )
        if not path.is_file():
            beside = name.rpartition("/")[0]
            known = [f"{beside}/{other.name}" for other in sorted(path.parent.glob("*.json"))[:MAX_LISTED]]
            hint = near(name, known) or f"put it into {path.parent}"
            raise _refused("missing_graph", f"the file {name} does not exist", hint)
        return load(path)

    return read_named


def no_folders() -> Files:
    """Return a `Files` that has no folders and finds no files."""
    return Files(lambda kind: (), FileDigests(), Path())


def read(
    path: Path,
    importers: Callable[[], Iterable[ImportGraph]] = tuple,
    files: Callable[[], Files] = no_folders,
    data: bytes | None = None,
) -> Imported:
    """Read the graph in a file: a Safelight graph, or another program's file that an importer converts.

    Args:
        path: the file. Its content decides its format, not its suffix.
        importers: returns the importers to try, such as `registry.importers`. It is called only if the file
            contains no Safelight graph.
        files: returns the folders in which importers look up the names of models and pictures. It is called
            only together with `importers`.
        data: the content, if it has been read already, for example from standard input. Messages then name
            it by `path`, and the graph's relative file names start at the folder of `path`.

    Raises:
        GraphError: the file cannot be read, or contains no valid graph. The error lists every problem.
    """
    data = _checked(_bytes(path) if data is None else data, path)
    document, other = _opened(data, path)
    refusal: GraphError | None = None
    if document is not None:
        try:
            return Imported(_parsed(document, path), OWN)
        except GraphError as error:
            if other is None or _OURS.search(data):
                raise
            refusal = error
    assert other is not None
    tried = list(importers())
    folders = files()
    for importer in tried:
        imported = _imported(importer, other, folders, path)
        if imported is not None:
            return imported
    if refusal is not None:
        raise refusal
    if program := foreign.carried(other.chunks):
        message = f"the picture {path} contains no Safelight graph, only metadata of {program}"
        hint = "the metadata does not contain enough to make a graph" if tried else foreign.HINT
        raise _refused("other_program", message, hint)
    hint = "use the file as Safelight wrote it: many programs remove the metadata of a picture"
    raise _refused("no_graph", f"the picture {path} contains no Safelight graph", hint)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            return file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "check the path" if isinstance(error, FileNotFoundError) else None
        if isinstance(error, IsADirectoryError):
            hint = "name a graph, or the file of a graph"
        raise _refused("unreadable", f"{path} cannot be read: {error.strerror}", hint) from None


def _checked(data: bytes, path: Path) -> bytes:
    if len(data) > MAX_BYTES:
        raise _refused("too_large", f"{path} is larger than {MAX_BYTES:,} bytes", None)
    if not data:
        raise _refused("empty_file", f"{path} is empty", None)
    return data


def _opened(data: bytes, path: Path) -> tuple[bytes | str | None, Foreign | None]:
    """Return the content to parse as a Safelight graph, and the content to import as another program's file.

    Either is None if it is ruled out.
    """
    try:
        texts = picture_text.read_text(data)
    except ValueError as error:
        raise _refused("bad_picture", f"{path} cannot be read: {error}", None) from None
    if texts is not None:
        own = texts.get(CHUNK)
        return own, None if own is not None else Foreign(path.stem, None, texts)
    try:
        return data, Foreign(path.stem, data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return data, None


def _imported(importer: ImportGraph, other: Foreign, files: Files, path: Path) -> Imported | None:
    """Run an importer, and check its graph by the same rules as a saved document."""
    try:
        imported = importer(other, files)
        if imported is None:
            return None
        if not isinstance(imported, Imported) or not isinstance(imported.graph, Graph):
            hint = "return Imported(Graph(...), origin), or None for a file of another format"
            raise AuthorError(f"import_graph() returned {short(imported)}", importer, hint)
        graph = reader.parse(writer.dump(imported.graph))
    except GraphError as error:
        placed = [dataclasses.replace(item, message=f"{path}: {item.message}") for item in error.problems]
        raise GraphError(placed) from None
    except Exception as error:  # the code of a node pack may raise anything
        problem = hook_problem("import_graph", importer, error)
        raise GraphError([dataclasses.replace(problem, message=f"{path}: {problem.message}")]) from error
    return dataclasses.replace(imported, graph=dataclasses.replace(graph, folder=path.resolve().parent))


def _parsed(data: bytes | str, path: Path) -> Graph:
    """Parse a document. The messages of problems that belong to no node begin with the path of the file."""
    try:
        return dataclasses.replace(reader.parse(data), folder=path.resolve().parent)
    except GraphError as error:
        if (format_name := foreign.recognised(data)) is not None:
            message = f"{path} is {format_name}, not a Safelight graph"
            raise _refused("other_program", message, foreign.HINT) from None
        if path.suffix.lower() in _PICTURES and data[:1] not in ("{", b"{"):
            message = f"{path} is not a picture, although its name ends with {path.suffix}"
            hint = "use a PNG, JPEG or WebP file that carries a graph"
            raise _refused("bad_picture", message, hint) from None
        placed = [
            item if item.node else dataclasses.replace(item, message=f"{path}: {item.message}")
            for item in error.problems
        ]
        raise GraphError(placed) from None


def _refused(code: str, message: str, hint: str | None) -> GraphError:
    return GraphError([Problem(code, message, hint=hint)])
