"""Test helpers for node authors: run a node or a graph, and check which results were reused."""

from __future__ import annotations

from collections.abc import Iterable, Iterator, Mapping
from contextlib import contextmanager
from functools import cache, partial
from pathlib import Path
from tempfile import TemporaryDirectory
from types import ModuleType
from typing import Any, overload

from engine import settings
from engine.cancel import Cancel
from engine.context import Context
from engine.devices.compute import HOST
from engine.digests import FileDigests
from engine.document import reader
from engine.document.graph import Graph
from engine.errors import short
from engine.events import Emit
from engine.node import Node, outputs_of
from engine.packing import unpack
from engine.packs import pack_files, pack_modules
from engine.packs.registry import Registry
from engine.run.report import Report
from engine.session import Session
from engine.sources import source
from engine.values import Json, Value


@contextmanager
def open_session(
    home: Path | None = None, *, nodes: Path | None = None, types: Iterable[type[Node]] = ()
) -> Iterator[Session]:
    """Open a session on the CPU for tests. A node that changes its inputs fails in it.

    Args:
        home: the home folder; by default an empty temporary folder.
        nodes: a folder of node packs, in addition to the home's `nodes/` and the installed packs.
        types: node classes to add.
    """
    with TemporaryDirectory() as empty:
        place = home or Path(empty)
        folders = [place / "nodes"] if nodes is None else [place / "nodes", nodes]
        pack_modules.forget_elsewhere(folders)  # not at the end, since an earlier report may still be read
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
    """Run one node and return its outputs by name. An exception of the node reaches the caller.

    Args:
        session: the session whose files, device and loaded models the node uses; by default a temporary one.
        node: a node with all its inputs, such as `Blur(image=image)`.
        emit: called with each event, such as warnings and progress.

    Raises:
        TypeError: `node` is a class, or is missing.
        AssertionError: the class of an output is declared lossless but is not; see `check_lossless`.
    """
    if isinstance(session, Node):
        with open_session() as own:
            return run_node(own, session, emit=emit)
    for given in (session, node):
        if isinstance(given, type) and issubclass(given, Node):
            name = given.__name__
            raise TypeError(f"run_node() takes a node, not its class: write run_node({name}(...))")
    if not isinstance(session, Session) or not isinstance(node, Node):
        raise TypeError("run_node() takes a node, or a session and a node")
    ctx = Context(
        type(node).__name__,
        emit or (lambda event: None),
        Cancel(),
        session.files,
        session.residency,
        session.compute if node.node_type.accelerator else HOST,
        folder=cache(partial(session.step_folders.open, None)),
        pure=node.node_type.pure,
    )
    try:
        outputs = outputs_of(node.node_type, node.run(ctx))
    finally:
        ctx.close()
    for name, value in outputs.items():
        check_lossless(value, name)
    return outputs


def check_lossless(value: object, name: str = "value") -> None:
    """Assert that `unpack` restores a value exactly, if its class is declared with `lossless=True`.

    Args:
        value: the value; a value of any other class passes.
        name: the name of the value in the message.

    Raises:
        AssertionError: the restored value differs; the message names the first field that differs.
    """
    if isinstance(value, Value) and value.lossless:
        packed = value.pack()
        restored = unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
        place = _difference(value, restored, name)
        assert place is None, (
            f"{type(value).__name__} is declared lossless, but {place} differs after pack() and unpack()"
        )


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
    """Run a graph in a new session. To see which results are reused, run it twice with the same `home`.

    Args:
        graph: a graph, its JSON, or the path of its file.
        home: the home folder, where results are stored; by default results are not stored.
        values: values for the graph's inputs.
        targets: ids of the nodes to compute; by default the declared outputs of the graph.
        nodes: a folder of node packs, in addition to the home's `nodes/`.
        types: more node classes.
        emit: called with each event.

    Raises:
        GraphError: the graph has errors.
        TypeError: `graph` is none of these, for example a path as a `str`.
    """
    if isinstance(graph, str) or not isinstance(graph, Graph | Mapping | Path):
        raise TypeError(f"run_graph() takes a Graph, a dict or a Path, not {short(graph)}")
    with open_session(home, nodes=nodes, types=types) as session:
        if isinstance(graph, Path):
            session.files.beside = graph.absolute().parent
            graph = source.load(graph)
        elif not isinstance(graph, Graph):
            graph = reader.from_json(dict(graph))
        return session.run(graph, values, targets=tuple(targets), emit=emit)


def output(report: Report, name: str | None = None) -> Any:
    """Return the value of a declared output of a run, unpacked from its bytes.

    Args:
        report: the result of the run.
        name: the name of the output; not needed if there is only one.

    Raises:
        AssertionError: a node failed (the message has its traceback), or there is no such output.
    """
    failed = [
        fared.trace or f"{node}: {fared.reason}" for node, fared in report.nodes.items() if fared.problem
    ]
    assert not failed, "\n".join(failed)
    if name is None:
        assert len(report.outputs) == 1, f"name one of the outputs: {', '.join(report.outputs) or 'none'}"
        name = next(iter(report.outputs))
    names = ", ".join(report.outputs) or "none"
    assert name in report.outputs, f"there is no output {name}; the outputs are {names}"
    packed = report.outputs[name]
    return unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})


def computed(report: Report) -> set[str]:
    """Return the ids of the nodes that were computed in a run."""
    return {node for node, fared in report.nodes.items() if fared.state == "done"}


def cached(report: Report) -> set[str]:
    """Return the ids of the nodes whose cached results were reused in a run."""
    return {node for node, fared in report.nodes.items() if fared.state == "cached"}


def assert_cached(report: Report, *nodes: str) -> None:
    """Assert that a run reused the cached results of its nodes.

    Args:
        report: the result of the run.
        nodes: ids of the nodes to check; by default all nodes.

    Raises:
        AssertionError: a node was computed or failed; the message has the reasons.
    """
    for node in nodes:
        assert node in report.nodes, (
            f"there is no node {node} in this run; the nodes are {', '.join(report.nodes)}"
        )
    fresh = {
        node: fared
        for node, fared in report.nodes.items()
        if fared.state != "cached" and (not nodes or node in nodes)
    }
    reasons = "; ".join(f"{node} is {fared.state}: {fared.reason}" for node, fared in fresh.items())
    assert not fresh, reasons


def load_pack(path: Path) -> ModuleType:
    """Load a node pack from a file or folder as Safelight does, and return its module.

    Raises:
        Exception: the code of the pack raised it.
    """
    return pack_files.read(path, FileDigests()).load()


def _difference(value: object, other: object, place: str) -> str | None:
    """Find the first place at which two values differ, such as `image.pixels`; None if they are bit-equal.

    Args:
        value, other: values, lists, dicts, arrays, tensors, dataclasses or plain values.
        place: the name of the values, with which the returned place begins.
    """
    if type(value) is not type(other):
        return place
    if isinstance(value, list | tuple) and isinstance(other, list | tuple):
        items: dict[str, tuple[object, object]] = {
            f"[{n}]": pair for n, pair in enumerate(zip(value, other, strict=False))
        }
        if len(value) != len(other):
            return place
    elif isinstance(value, dict) and isinstance(other, dict):
        if list(value) != list(other):
            return place
        items = {f"[{key!r}]": (item, other[key]) for key, item in value.items()}
    elif isinstance(value, Value) or hasattr(value, "__dataclass_fields__"):
        names = getattr(value, "__dataclass_fields__", None) or vars(value)
        items = {f".{name}": (getattr(value, name), getattr(other, name, None)) for name in names}
    elif hasattr(value, "nbytes"):
        return None if _content(value) == _content(other) else place
    else:
        return None if value == other or repr(value) == repr(other) == "nan" else place
    found = (_difference(item, other_item, place + key) for key, (item, other_item) in items.items())
    return next((where for where in found if where is not None), None)


def _content(array: Any) -> tuple[str, tuple[int, ...], bytes]:
    """Return the dtype, shape and bytes of an array or tensor."""
    kind, shape = str(array.dtype), tuple(array.shape)
    if hasattr(array, "detach"):  # numpy does not support all number formats of torch
        import torch

        array = array.detach().cpu().contiguous().flatten().view(torch.uint8).numpy()
    return kind, shape, array.tobytes()
