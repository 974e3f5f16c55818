"""A graph from wherever it lies: its own file, a picture that carries it, or what another program wrote."""

from __future__ import annotations

import dataclasses
import re
from collections.abc import Callable, Iterable
from pathlib import Path

from engine import exif, foreign, png
from engine import graph as documents
from engine.errors import GraphError, Problem
from engine.files import Files
from engine.foreign import Foreign, Imported, ImportGraph
from engine.graph import Graph

CHUNK = "safelight"
"""The PNG text that carries a graph."""

MAX_BYTES = 256 << 20
OWN = "its own document"
"""The origin of a graph that nothing had to be made of."""
_OURS = re.compile(rb'"safelight"\s{0,9}:')


def load(path: Path) -> Graph:
    """The Safelight graph in a file; what the file is, its content says and not its name.

    Raises:
        GraphError: it cannot be read, or holds no graph; with every problem found.
    """
    return read(path, list).graph


def installed() -> Iterable[ImportGraph]:
    """What the installed packs make graphs of; see `foreign.ImportGraph`."""
    from engine.registry import Registry

    return Registry.find().importers


def nowhere() -> Files:
    """Files where nothing is found."""
    from engine.digests import FileDigests

    return Files(lambda kind: (), FileDigests(), Path())


def read(
    path: Path,
    importers: Callable[[], Iterable[ImportGraph]] = installed,
    files: Callable[[], Files] = nowhere,
) -> Imported:
    """The graph in a file: a Safelight graph, or what the importers make of the file of another program.

    Args:
        path: the file; what it is, its content says and not its name.
        importers: names those who are asked; called only if the file holds no Safelight graph.
        files: where names of models and pictures are looked up; called likewise.

    Raises:
        GraphError: it cannot be read, or holds nothing that a graph can be made of; with every problem found.
    """
    data = _bytes(path)
    document, found = _opened(data, path)
    refusal: GraphError | None = None
    if document is not None:
        try:
            return Imported(_parsed(document, path), OWN)
        except GraphError as error:
            if found is None or _OURS.search(data):
                raise
            refusal = error
    assert found is not None
    asked = list(importers())
    folders = files()
    for importer in asked:
        imported = _imported(importer, found, folders, path)
        if imported is not None:
            return imported
    if refusal is not None:
        raise refusal
    if program := foreign.carried(found.chunks):
        message = f"the picture {path} carries no Safelight graph; how it was made, it says as {program} does"
        hint = "it says too little to make a graph of" if asked else foreign.HINT
        raise _refused("other_program", message, hint)
    hint = "take the file as Safelight wrote it: many programs drop the text of a picture"
    raise _refused("no_graph", f"the picture {path} carries no Safelight graph", hint)


def _bytes(path: Path) -> bytes:
    try:
        with path.open("rb") as file:
            data = file.read(MAX_BYTES + 1)
    except OSError as error:
        hint = "check the path" if isinstance(error, FileNotFoundError) else None
        raise _refused("unreadable", f"{path} cannot be read: {error.strerror}", hint) from None
    if len(data) > MAX_BYTES:
        raise _refused("too_large", f"{path} is larger than {MAX_BYTES:,} bytes", None)
    if not data:
        raise _refused("empty_file", f"{path} is empty", None)
    return data


def _opened(data: bytes, path: Path) -> tuple[bytes | str | None, Foreign | None]:
    """What may be a document of ours, and what may be another program's; one of them is there."""
    if data.startswith(png.SIGNATURE):
        try:
            texts = png.read_text(data)
        except ValueError as error:
            raise _refused("bad_picture", f"{path} cannot be read: {error}", None) from None
        own = texts.get(CHUNK)
        return own, None if own is not None else Foreign(path.stem, None, texts)
    if data.startswith(exif.JPEG) or (data[:4] == b"RIFF" and data[8:12] == b"WEBP"):
        return None, Foreign(path.stem, None, exif.read_text(data))
    try:
        return data, Foreign(path.stem, data.decode("utf-8-sig"))
    except UnicodeDecodeError:
        return data, None


def _imported(importer: ImportGraph, found: Foreign, files: Files, path: Path) -> Imported | None:
    """What an importer makes of a file, held to the rules of a document."""
    try:
        imported = importer(found, files)
        if imported is None:
            return None
        graph = documents.parse(documents.dump(imported.graph))
    except GraphError as error:
        placed = [dataclasses.replace(item, message=f"{path}: {item.message}") for item in error.problems]
        raise GraphError(placed) from None
    return dataclasses.replace(imported, graph=dataclasses.replace(graph, folder=path.resolve().parent))


def _parsed(data: bytes | str, path: Path) -> Graph:
    """A document, whose problems as a whole name its file."""
    try:
        return dataclasses.replace(documents.parse(data), folder=path.resolve().parent)
    except GraphError as error:
        if (what := foreign.recognised(data)) is not None:
            message = f"{path} is {what}, not a Safelight graph"
            raise _refused("other_program", message, foreign.HINT) from None
        placed = [
            item if item.node else dataclasses.replace(item, message=f"{path}: {item.message}")
            for item in error.problems
        ]
        raise GraphError(placed) from None


def _refused(code: str, message: str, hint: str | None) -> GraphError:
    return GraphError([Problem(code, message, hint=hint)])
