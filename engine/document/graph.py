"""The saved graph as data: nodes, their inputs, and the graph's own named inputs and outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field, replace
from pathlib import Path

from engine.document.view import View
from engine.errors import GraphError, Problem
from engine.values import Json


@dataclass(frozen=True, slots=True)
class Literal:
    """The content of a node's input: a literal value."""

    value: Json


@dataclass(frozen=True, slots=True)
class From:
    """The content of a node's input: a wire from an output of another node."""

    node: str
    output: str

    def __str__(self) -> str:
        return f"{self.node}.{self.output}"


@dataclass(frozen=True, slots=True)
class Param:
    """The content of a node's input: the value of the graph input of this name."""

    name: str


Binding = Literal | From | Param


@dataclass(frozen=True, slots=True)
class GraphInput:
    """An input of the graph: an option of `safelight run`, and a field of the canvas's run form."""

    type: str
    default: Json = None
    required: bool = True
    doc: str = ""
    choices: tuple[Json, ...] = ()
    sweep: int = 0
    """If not 0, the default is a list of values to sweep over. The number gives the order of nesting: the
    sweep with number 1 is the outermost."""


@dataclass(slots=True)
class Entry:
    """One node of the graph: its type as the document writes it (`Denoise@1`), and its inputs."""

    type: str
    inputs: dict[str, Binding] = field(default_factory=dict)
    title: str = ""
    off: bool = False
    """True for a node that is switched off: each output is the input that the type names in `passes`."""
    lift: str = "zip"
    """How the node goes through several lists: `zip` (side by side) or `cross` (every combination)."""

    @property
    def is_graph(self) -> bool:
        """True if the node's type is another graph."""
        return self.type[:1] in ("#", ".")

    @property
    def name(self) -> str:
        """The name of the type without its version."""
        return self.type.partition("@")[0]

    @property
    def version(self) -> int | None:
        """The version of the type that saved this node; None if the type is written without `@version`."""
        number = self.type.partition("@")[2]
        return int(number) if number else None


@dataclass(slots=True)
class Graph:
    """A graph document: the nodes, and the inputs, outputs and layout of the graph."""

    nodes: dict[str, Entry] = field(default_factory=dict)
    inputs: dict[str, GraphInput] = field(default_factory=dict)
    outputs: dict[str, From] = field(default_factory=dict)
    title: str = ""
    doc: str = ""
    layout: dict[str, list[int]] = field(default_factory=dict)
    """The position of each node on a canvas; not part of cache keys."""
    passes: dict[str, str] = field(default_factory=dict)
    """For a node that uses this graph as its type and is off: for each output, the input passed through."""
    graphs: dict[str, Graph] = field(default_factory=dict)
    """Subgraphs that are defined in this graph, by name; nodes use them as the type `#name`."""
    view: View = field(default_factory=View)
    """Other items on the canvas, such as frames and notes; not part of cache keys."""
    made_with: dict[str, str] = field(default_factory=dict)
    """The versions of the software that ran this graph, such as `{"torch": "2.13.0"}`; not part of cache
    keys."""
    folder: Path | None = field(default=None, compare=False)
    """The folder of the document, to resolve `./other.json`; not part of the document."""

    def with_defaults(self, values: Mapping[str, Json], sweeps: Sequence[str] = ()) -> Graph:
        """Return a copy with other defaults for its inputs, such as the values of a run.

        Args:
            values: the new defaults by input; for a swept input, the list of its values.
            sweeps: the inputs that are swept, the outermost first.
        """
        inputs = {
            name: replace(
                item,
                default=values[name],
                required=False,
                sweep=sweeps.index(name) + 1 if name in sweeps else 0,
            )
            if name in values
            else item
            for name, item in self.inputs.items()
        }
        return replace(self, inputs=inputs)


ReadGraph = Callable[[str, Path | None], Graph]
"""Reads a graph that a node type names by file: `(name, folder)`, such as `./upscale.json` and the folder of
the graph that names it. Raises GraphError if it cannot."""


def no_files(name: str, folder: Path | None) -> Graph:
    """Refuse to read a graph file; a `ReadGraph` for places where graph files are not allowed."""
    raise GraphError(
        [
            Problem(
                "no_graph", f"the graph file {name} cannot be used: graph files are not allowed in this place"
            )
        ]
    )
