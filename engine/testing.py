"""A test kit for node authors: run one node as a graph would, run a graph, and see what was computed."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, overload

from engine import graph as documents
from engine import packs, settings, source
from engine.context import Cancel, Context
from engine.digests import FileDigests
from engine.events import Emit
from engine.graph import Graph
from engine.node import Node, outputs_of
from engine.registry import Registry
from engine.report import Report
from engine.session import Session
from engine.values import Json, unpack


@contextmanager
def open_session(
    home: Path | None = None, *, nodes: Path | None = None, types: Iterable[type[Node]] = ()
) -> Iterator[Session]:
    """A session on the CPU that watches for nodes that write into their inputs.

    Args:
        home: its home folder; without it, an empty one that is gone afterwards.
        nodes: a folder of packs to take in, besides the home's own `nodes/` and what is installed.
        types: node classes to take in besides.
    """
    with TemporaryDirectory() as empty:
        place = home or Path(empty)
        folders = [place / "nodes"] if nodes is None else [place / "nodes", nodes]
        packs.forget_elsewhere(folders)  # not at the end: a report's outputs may yet be unpacked
        registry = Registry.find(folders)
        for cls in types:
            registry.add(cls)
        with Session(settings.load(place, device="cpu", checked=True), registry=registry) as session:
            yield session


@overload
def run_node(session: Node, *, emit: Emit | None = None) -> Mapping[str, object]: ...
@overload
def run_node(session: Session, node: Node, *, emit: Emit | None = None) -> Mapping[str, object]: ...
def run_node(
    session: Session | Node, node: Node | None = None, *, emit: Emit | None = None
) -> Mapping[str, object]:
    """Run one node and return its outputs by name; whatever it raises comes through.

    Args:
        session: its home, device and loaded models; may be left out.
        node: a node with all its inputs.
        emit: is told the events, such as warnings and progress.
    """
    if isinstance(session, Node):
        with open_session() as own:
            return run_node(own, session, emit=emit)
    assert node is not None
    ctx = Context(
        type(node).__name__,
        emit or (lambda event: None),
        Cancel(),
        session.files,
        session.residency,
        session.device,
    )
    return outputs_of(node.node_type, node.run(ctx))


def run_graph(
    graph: Graph | Mapping[str, Any] | Path,
    *,
    home: Path | None = None,
    values: Mapping[str, Json] | None = None,
    targets: Iterable[str] = (),
    nodes: Path | None = None,
    types: Iterable[type[Node]] = (),
    emit: Emit | None = None,
) -> Report:
    """Run a graph to the end, as a new process would; run it twice over one home to see what is reused.

    Args:
        graph: a graph, the JSON of one, or its file.
        home: where results are kept; without it, nowhere.
        values: values for the graph's inputs.
        targets: ids of the nodes to go to; without any, what the graph declares as outputs.
        nodes: a folder of packs to take in, besides the home's own `nodes/`.
        types: node classes to take in besides.
        emit: is told every event.

    Raises:
        GraphError: the graph has errors; with all of them.
    """
    with open_session(home, nodes=nodes, types=types) as session:
        if isinstance(graph, Path):
            session.files.beside = graph.absolute().parent
            graph = source.load(graph)
        elif not isinstance(graph, Graph):
            graph = documents.from_json(dict(graph))
        return session.run(graph, values, targets=tuple(targets), emit=emit)


def output(report: Report, name: str | None = None) -> Any:
    """A declared output of a run, back from its bytes.

    Args:
        report: how the run ended.
        name: which output; may be left out where there is one.

    Raises:
        AssertionError: it was not made; with what failed, and its traceback.
    """
    failed = [
        fared.trace or f"{node}: {fared.reason}" for node, fared in report.nodes.items() if fared.problem
    ]
    assert not failed, "\n".join(failed)
    if name is None:
        assert len(report.outputs) == 1, f"say which of the outputs: {', '.join(report.outputs) or 'none'}"
        name = next(iter(report.outputs))
    assert name in report.outputs, f"there is no output {name}, but {', '.join(report.outputs) or 'none'}"
    packed = report.outputs[name]
    return unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})


def computed(report: Report) -> set[str]:
    """The ids of the nodes that were computed in a run."""
    return {node for node, fared in report.nodes.items() if fared.state == "done"}


def cached(report: Report) -> set[str]:
    """The ids of the nodes whose results were there already."""
    return {node for node, fared in report.nodes.items() if fared.state == "cached"}


def assert_cached(report: Report, *nodes: str) -> None:
    """Fail, with the reasons, unless a run computed nothing.

    Args:
        report: how the run ended.
        nodes: look at these only; others may have been computed.

    Raises:
        AssertionError: one was computed, or did not come to an end.
    """
    for node in nodes:
        assert node in report.nodes, f"there is no node {node} in this run, but {', '.join(report.nodes)}"
    fresh = {
        node: fared
        for node, fared in report.nodes.items()
        if fared.state != "cached" and (not nodes or node in nodes)
    }
    told = "; ".join(f"{node} is {fared.state}: {fared.reason}" for node, fared in fresh.items())
    assert not fresh, told


def load_pack(path: Path) -> ModuleType:
    """The module of a pack that lies in a nodes folder, as Safelight would load it.

    Raises:
        Exception: whatever keeps it from loading.
    """
    return packs.read(path, FileDigests()).load()
