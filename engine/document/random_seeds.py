"""Replaces each seed that is "random" in a graph by a drawn number, before a run.

The text "random" may be the value or default of a graph input of type `seed`, one of its sweep values or list
elements, or the value of a node input that is a seed; also in subgraphs. `draw` replaces all of them, and
returns the drawn numbers, so that a run can be recorded and repeated.
"""

from __future__ import annotations

from collections.abc import Callable, Collection, Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import TypeVar

from engine.document.graph import Binding, Entry, Graph, Literal, ReadGraph
from engine.document.sweep import Sweep
from engine.errors import GraphError
from engine.values import Json

RANDOM = "random"
"""The value of a seed in place of which each run draws a number."""

SeedInputs = Callable[[Entry], Collection[str]]
"""A function from a node to the names of its inputs that are seeds, since this module knows no node types."""

V = TypeVar("V", Json, Json | Sweep)


@dataclass(frozen=True, slots=True)
class Drawn:
    """A graph and values for its inputs, with numbers in place of all random seeds."""

    graph: Graph
    values: dict[str, Json | Sweep]
    """The given values, and a value for each graph input whose default contains a random seed."""
    read: ReadGraph
    """Reads the graph files that the graph uses, with their random seeds drawn."""
    seeds: dict[str, list[int]]
    """The drawn numbers keyed by place: `seed` for a graph input, `denoise.seed` for a node input."""


def draw(
    graph: Graph,
    values: Mapping[str, Json | Sweep],
    seed_inputs: SeedInputs,
    read: ReadGraph,
    next_seed: Callable[[], int],
) -> Drawn:
    """Replace every random seed by a number.

    Args:
        graph: the document; it is not changed.
        values: values for the graph's inputs; an input without a value takes its default.
        seed_inputs: returns the names of a node's inputs that are seeds.
        read: reads the graph files that the graph uses.
        next_seed: returns a new seed, such as `lambda: secrets.randbelow(SEED_MAX + 1)`.
    """
    drawing = _Drawing(seed_inputs, read, next_seed)
    given = dict(values)
    for name, item in graph.inputs.items():
        value = given.get(name, item.default)
        if item.type == "seed" and _is_random(value):
            given[name] = drawing.number(name, value)
            if item.sweep and name not in values and isinstance(numbers := given[name], list):
                given[name] = Sweep(tuple(numbers))
    return Drawn(drawing.graph(graph, (), ""), given, drawing.read, drawing.seeds)


def is_random(
    graph: Graph, values: Mapping[str, Json | Sweep], seed_inputs: SeedInputs, read: ReadGraph
) -> bool:
    """Return True if the graph or the values contain a random seed."""
    return bool(draw(graph, values, seed_inputs, read, lambda: 0).seeds)


class _Drawing:
    def __init__(self, seed_inputs: SeedInputs, read: ReadGraph, next_seed: Callable[[], int]) -> None:
        self._seed_inputs, self._read, self._next_seed = seed_inputs, read, next_seed
        self._files: dict[tuple[str, Path | None], Graph] = {}
        self.seeds: dict[str, list[int]] = {}

    def number(self, place: str, value: V) -> V:
        """Replace each `"random"` in a seed's value, list or sweep by a drawn number."""
        if isinstance(value, Sweep):
            return Sweep(tuple(self.number(place, item) for item in value.values))
        if isinstance(value, list):
            return [self.number(place, item) for item in value]
        if value != RANDOM:
            return value
        number = self._next_seed()
        self.seeds.setdefault(place, []).append(number)
        return number

    def read(self, name: str, folder: Path | None) -> Graph:
        """Read a graph file and replace its random seeds; the seeds of each file are drawn only once."""
        if (name, folder) not in self._files:
            graph = self._read(name, folder)
            prefix = f"{name}/"
            self._files[name, folder] = self.graph(self._defaults(graph, prefix), (), prefix)
        return self._files[name, folder]

    def graph(self, graph: Graph, outer: tuple[Graph, ...], prefix: str) -> Graph:
        """Replace each random seed in a graph's nodes, and in its subgraphs, by a drawn number.

        Args:
            graph: the document.
            outer: the graphs in which it is defined, the innermost first.
            prefix: the prefix of its places in `seeds`.
        """
        scopes = (graph, *outer)
        nodes = dict(graph.nodes)
        for node, entry in graph.nodes.items():
            random = [
                name
                for name, binding in entry.inputs.items()
                if isinstance(binding, Literal) and _is_random(binding.value)
            ]
            if not random:
                continue
            seeds = self._seeds_of(entry, scopes)
            inputs: dict[str, Binding] = dict(entry.inputs)
            for name in random:
                binding = inputs[name]
                if name in seeds and isinstance(binding, Literal):
                    inputs[name] = Literal(self.number(f"{prefix}{node}.{name}", binding.value))
            nodes[node] = replace(entry, inputs=inputs)
        graphs = {
            name: self.graph(self._defaults(inner, f"{prefix}#{name}/"), scopes, f"{prefix}#{name}/")
            for name, inner in graph.graphs.items()
        }
        return replace(graph, nodes=nodes, graphs=graphs)

    def _defaults(self, graph: Graph, prefix: str) -> Graph:
        inputs = {
            name: replace(item, default=self.number(prefix + name, item.default))
            if item.type == "seed"
            else item
            for name, item in graph.inputs.items()
        }
        return replace(graph, inputs=inputs)

    def _seeds_of(self, entry: Entry, scopes: tuple[Graph, ...]) -> Collection[str]:
        if not entry.is_graph:
            return self._seed_inputs(entry)
        inner = self._subgraph(entry.type, scopes)
        return [name for name, item in (inner.inputs if inner else {}).items() if item.type == "seed"]

    def _subgraph(self, kind: str, scopes: tuple[Graph, ...]) -> Graph | None:
        if kind[0] == "#":
            return next((scope.graphs[kind[1:]] for scope in scopes if kind[1:] in scope.graphs), None)
        folder = next((scope.folder for scope in scopes if scope.folder is not None), None)
        try:
            return self._read(kind, folder)
        except GraphError:
            return None  # the check reports it


def _is_random(value: Json | Sweep) -> bool:
    if isinstance(value, Sweep):
        return any(map(_is_random, value.values))
    if isinstance(value, list):
        return any(map(_is_random, value))
    return value == RANDOM
