"""Embeds in each picture the graph that made it, and the texts that node packs add."""

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
from engine.errors import hook_problem
from engine.node import NodeType
from engine.outputs.swept_inputs import SweptInputs
from engine.packs.provenance import Annotate, Provenance
from engine.plan.plan import Plan
from engine.plan.step import Gather
from engine.sources.source import CHUNK
from engine.store.store import Store
from engine.values import Json

_METAS = 1000
"""The most outputs whose JSON part is kept during a run, so that it is read once and not for each picture."""


class Inscriber:
    """Writes the graph of a run into its pictures.

    The graph has the values of the run as the defaults of its inputs, the version of each node type, and the
    versions of the software. The embedded graph runs from any folder on this machine: its files were renamed
    for that by `check.portable.make_portable`.

    Args:
        plan: the plan of the run.
        store: holds the results of the run.
        annotators: the hooks of node packs; see `packs.provenance.Annotate`.
        keep: called before each picture, to keep the files that its graph reads.
        warn: receives a message for each hook that fails and each text that cannot be written.
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
        """A picture file with its texts; see `files.Inscribe`."""
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
        """The version of Safelight, and of each library that the node types of the graph use."""
        libraries = {library for node_type in self._types.values() for library in node_type.libraries}
        found = {library: _version(library) for library in sorted({"safelight", *libraries})}
        return {library: number for library, number in found.items() if number}

    def _document(self, step: str) -> str:
        """The graph of one picture: a swept input has the value that made this picture."""
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
        """The graph with its subgraphs and with the node type versions of this run."""
        checked = self._plan.checked
        graph = _with_versions(bundled(checked.graph, checked.read), self._types)
        return replace(graph, made_with=self.versions)

    def _ancestors(self, target: str) -> dict[str, Provenance]:
        """The steps that a step depends on, and the step itself."""
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
    """A copy of a graph in which each node records the version of its type in this run."""
    nodes = {
        node: replace(entry, type=types[entry.type].id) if entry.type in types else entry
        for node, entry in graph.nodes.items()
    }
    graphs = {name: _with_versions(inner, types) for name, inner in graph.graphs.items()}
    return replace(graph, nodes=nodes, graphs=graphs)


def _read_meta(store: Store, key: str, output: str) -> Json:
    """The JSON part of an output.

    Raises:
        KeyError: the store does not hold the output.
    """
    packed = store.packed(key, output)
    if packed is None:
        raise KeyError(output)
    return packed.meta


class _Meta(Mapping[str, Json]):
    """The JSON part of each output of a step; it is read when a hook first uses it.

    Args:
        read: reads it by the key of the step and the name of the output.
        key: the key; None if the step has none.
        outputs: the outputs of the step.
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
