"""Writes into each picture the graph that made it, and the texts that node packs add."""

from __future__ import annotations

from collections.abc import Callable, Iterator, Mapping, Sequence
from dataclasses import replace
from functools import cache, lru_cache, partial
from importlib.metadata import PackageNotFoundError, version
from threading import Lock

from engine import picture_text
from engine.check.bundle import bundled
from engine.document import writer
from engine.document.graph import Graph
from engine.node import NodeType
from engine.outputs.swept_inputs import SweptInputs
from engine.pack_errors import hook_problem
from engine.packs.provenance import Annotate, Provenance
from engine.plan.plan import Plan
from engine.plan.step import Gather
from engine.sources.source import CHUNK
from engine.store.store import Store
from engine.values import Json

_METAS = 1000
"""The most outputs whose JSON part is kept during a run, so that it is read once and not for each picture."""


class Inscriber:
    """Writes the graph of a run into the pictures that it made.

    The written graph has the values of the run as the defaults of its inputs, the version of each node type,
    and the versions of the software. It can run from any folder on this machine, because
    `check.portable.make_portable` has renamed its files.

    Args:
        plan: the plan of the run.
        store: the store with the results of the run.
        annotators: the hooks of node packs that add texts; see `packs.provenance.Annotate`.
        keep: called before each picture, to copy the files that its graph reads into the home folder.
        warn: receives a message for each hook that fails, and each text that cannot be written.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        annotators: Sequence[Annotate],
        keep: Callable[[], None],
        warn: Callable[[str], None],
    ) -> None:
        self._plan, self._annotators = plan, annotators
        self._keep, self._warn = keep, warn
        self._swept = SweptInputs(plan)
        self._meta = lru_cache(_METAS)(partial(_read_meta, store))
        self._lock = Lock()
        self._graph: Graph | None = None
        self._newest: tuple[object, str] = (None, "")
        self._types = {bound.type.name: bound.type for bound in plan.checked.steps.values()}

    def __call__(self, data: bytes, step: str, index: int) -> bytes:
        """Return a picture file with the graph and the texts added; see `files.Inscribe`."""
        self._keep()
        texts = {CHUNK: self._document(step)}
        for annotate in self._annotators:
            try:
                more = annotate(self._ancestors(step), step, index)
                texts = {**{str(key): str(text) for key, text in more.items()}, **texts}
            except Exception as error:  # the code of a node pack may raise anything
                self._warn(f"{step}: {hook_problem('annotate', annotate, error)}")
        for keyword, text in texts.items():
            try:
                data = picture_text.write_text(data, {keyword: text})
            except ValueError as error:
                self._warn(f"{step}: the text {keyword!r} is not written: {error}")
        return data

    @property
    def versions(self) -> dict[str, str]:
        """The version of Safelight and of each library that the graph's node types declare, keyed by name."""
        libraries = {library for node_type in self._types.values() for library in node_type.libraries}
        found = {library: _version(library) for library in sorted({"safelight", *libraries})}
        return {library: number for library, number in found.items() if number}

    def _document(self, step: str) -> str:
        """Return the graph of one picture as JSON text; its swept inputs have the values of this picture."""
        own, gathered = self._swept.values(step), self._swept.gathered(step)
        checked = self._plan.checked
        with self._lock:
            if self._newest[0] == (own, gathered):
                return self._newest[1]
            values = dict(checked.values)
            for name in self._swept.names:
                del values[name]
                if name in own or checked.graph.inputs[name].required:
                    values[name] = own.get(name, self._swept.all_values(name)[0])
            values |= {name: checked.values[name] for name in gathered}
            if self._graph is None:
                self._graph = self._recorded()
            document = writer.dump(self._graph.with_defaults(values, gathered))
            self._newest = (own, gathered), document
        return document

    def _recorded(self) -> Graph:
        """Return the graph with all subgraphs defined in it, and with the node type versions of this run."""
        checked = self._plan.checked
        graph = _with_versions(bundled(checked.graph, checked.read), self._types)
        return replace(graph, made_with=self.versions)

    def _ancestors(self, target: str) -> dict[str, Provenance]:
        """Return the step and all steps on which it depends, keyed by id, as hooks receive them."""
        found: dict[str, Provenance] = {}
        ahead = [target]
        while ahead:
            step = self._plan.steps[ahead.pop()]
            if step.id in found or isinstance(step, Gather):
                continue
            links = {
                source.input: next((element.id for element in source.step.elements()), source.step.id)
                for source in step.sources
            }
            key = (step.same_as or step).key
            meta = _Meta(self._meta, key, tuple(step.bound.type.outputs))
            found[step.id] = Provenance(step.bound.type.name, step.bound.literals, links, meta)
            ahead += links.values()
        return found


@cache
def _version(library: str) -> str:
    try:
        return version(library)
    except PackageNotFoundError:
        return ""


def _with_versions(graph: Graph, types: Mapping[str, NodeType]) -> Graph:
    """Return a copy of a graph in which each node has the version of its type in this run."""
    nodes = {
        node: replace(entry, type=types[entry.type].id) if entry.type in types else entry
        for node, entry in graph.nodes.items()
    }
    graphs = {name: _with_versions(inner, types) for name, inner in graph.graphs.items()}
    return replace(graph, nodes=nodes, graphs=graphs)


def _read_meta(store: Store, key: str, output: str) -> Json:
    """Read the JSON part of an output from the store.

    Raises:
        KeyError: the store does not have the output.
    """
    packed = store.packed(key, output)
    if packed is None:
        raise KeyError(output)
    return packed.meta


class _Meta(Mapping[str, Json]):
    """A mapping of a step's outputs to their JSON parts, which are read when a hook first uses them.

    Args:
        read: reads the JSON part, given the key of the step and the name of the output.
        key: the key of the step; None if it has none.
        outputs: the names of the step's outputs.
    """

    def __init__(self, read: Callable[[str, str], Json], key: str | None, outputs: tuple[str, ...]) -> None:
        self._read, self._key, self._outputs = read, key, outputs

    def __getitem__(self, output: str) -> Json:
        if self._key is None or output not in self._outputs:
            raise KeyError(output)
        return self._read(self._key, output)

    def __iter__(self) -> Iterator[str]:
        return iter([output for output in self._outputs if self.get(output) is not None])

    def __len__(self) -> int:
        return len(list(iter(self)))
