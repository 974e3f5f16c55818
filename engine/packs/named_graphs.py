"""Finds graphs by name: the user's own in the home's `graphs/`, and the examples of packs."""

from __future__ import annotations

from collections.abc import Iterator
from dataclasses import dataclass
from importlib.metadata import entry_points
from itertools import islice
from pathlib import Path

from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.packs.registry import GROUP

SUFFIX = ".json"

MOST = 10_000
"""At most this many files of the home's `graphs/` are listed and suggested."""


@dataclass(frozen=True, slots=True)
class NamedGraph:
    """A graph file that can be run by its name."""

    name: str
    """Its path inside its folder, with `/` and without `.json`."""
    path: Path
    example: bool
    """True for an example of a pack, False for a graph in the home."""


def listed(own: Path) -> list[NamedGraph]:
    """List every named graph, the user's first. A user's graph hides an example of the same name.

    Args:
        own: the folder of the user's own graphs, which need not exist.
    """
    graphs = {graph.name: graph for graph in in_folder(own)}
    for example in examples():
        graphs.setdefault(example.name, example)
    return list(graphs.values())


def in_folder(own: Path) -> list[NamedGraph]:
    """List the user's own graphs, without loading packs.

    Args:
        own: the folder of the graphs, which need not exist.
    """
    files = islice((path for path in own.rglob(f"*{SUFFIX}") if path.is_file()), MOST)
    return [
        NamedGraph(path.relative_to(own).with_suffix("").as_posix(), path, example=False)
        for path in sorted(files)
    ]


def examples() -> list[NamedGraph]:
    """List the example graphs of the installed packs, which this loads.

    If several examples have the same name, only the first is listed.
    """
    found: dict[str, NamedGraph] = {}
    for folder in _examples():
        for path in sorted(folder.glob(f"*{SUFFIX}")):
            if not path.name.endswith(f".schema{SUFFIX}"):
                found.setdefault(path.stem, NamedGraph(path.stem, path, example=True))
    return list(found.values())


def find(graph: Path, own: Path) -> Path:
    """Find the file of a graph by its path or by its name.

    The order of search is: the current folder, with or without `.json`; the user's own graphs; the examples.

    Args:
        graph: a path, or a name from `listed`.
        own: the folder of the user's own graphs, which need not exist.

    Returns:
        the path of the graph's file; or `graph` itself if it is a path rather than a name, even if no such
        file exists.

    Raises:
        GraphError: there is no file or graph of this name, or the name is empty.
    """
    if graph == Path():
        raise GraphError(
            [Problem("bad_use", "no graph is named", hint="give the name or the file of a graph")]
        )
    try:
        if graph.is_file() or graph.is_absolute() or ".." in graph.parts:
            return graph
        name = graph.as_posix().removesuffix(SUFFIX)
        beside = Path(f"{name}{SUFFIX}")
        if beside.is_file():
            return beside
    except OSError:  # for example, the name is too long; reading the file will report it
        return graph
    named = {known.name: known.path for known in listed(own)}
    if name in named:
        return named[name]
    if graph.exists() or (len(graph.parts) > 1 and graph.suffix):
        return graph
    hint = near(name, named) or "safelight graphs lists the names"
    message = f"there is no file and no graph named {str(graph)!r}"
    raise GraphError([Problem("unknown_graph", message, hint=hint)])


def _examples() -> Iterator[Path]:
    """Yield the folders of example graphs: the `examples` attributes of the installed packs."""
    for point in sorted(entry_points(group=GROUP), key=lambda point: point.name):
        try:
            folder = getattr(point.load(), "examples", None)
        except (Exception, SystemExit):  # the registry reports a pack that cannot be loaded
            continue
        if isinstance(folder, Path):
            yield folder
