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
    """An input with a literal value."""

    value: Json


@dataclass(frozen=True, slots=True)
class From:
    """An input that is wired to an output of another node."""

    node: str
    output: str

    def __str__(self) -> str:
        return f"{self.node}.{self.output}"


@dataclass(frozen=True, slots=True)
class Param:
    """An input that takes the value of the graph input of this name."""

    name: str


Binding = Literal | From | Param


@dataclass(frozen=True, slots=True)
class GraphInput:
    """A named input of the graph: an option of `safelight run`, a field of the run form."""

    type: str
    default: Json = None
    required: bool = True
    doc: str = ""
    choices: tuple[Json, ...] = ()
    sweep: int = 0
    """If not 0, the default is a list of values to sweep over; the input with number 1 is the outermost."""


@dataclass(slots=True)
class Entry:
    """One node of the graph: its type as written (`Denoise@1`) and the bindings of its inputs."""

    type: str
    inputs: dict[str, Binding] = field(default_factory=dict)
    title: str = ""
    off: bool = False
    """True for a bypassed node: each output passes through the input that its type names in `passes`."""
    lift: str = "zip"
    """How the node goes through several lists: `zip` or `cross`."""

    @property
    def is_graph(self) -> bool:
        """True if the node's type is another graph."""
        return self.type[:1] in ("#", ".")

    @property
    def name(self) -> str:
        """The type's name without its version."""
        return self.type.partition("@")[0]

    @property
    def version(self) -> int | None:
        """The version of the type that saved this node; None if the type has no `@version`."""
        number = self.type.partition("@")[2]
        return int(number) if number else None


@dataclass(slots=True)
class Graph:
    """A whole document."""

    nodes: dict[str, Entry] = field(default_factory=dict)
    inputs: dict[str, GraphInput] = field(default_factory=dict)
    outputs: dict[str, From] = field(default_factory=dict)
    title: str = ""
    doc: str = ""
    layout: dict[str, list[int]] = field(default_factory=dict)
    """The position of each node on a canvas; not part of any key."""
    passes: dict[str, str] = field(default_factory=dict)
    """When the graph is a node that is off: for each output, the input that it passes through."""
    graphs: dict[str, Graph] = field(default_factory=dict)
    """Graphs defined in this one, used as the node types `#name`."""
    view: View = field(default_factory=View)
    """Further items on the canvas; not part of any key."""
    made_with: dict[str, str] = field(default_factory=dict)
    """Versions of the software that ran this graph, such as `{"torch": "2.13.0"}`; not part of any key."""
    folder: Path | None = field(default=None, compare=False)
    """The folder of the document, to resolve `./other.json`; not part of the document."""

    def with_defaults(self, values: Mapping[str, Json], sweeps: Sequence[str] = ()) -> Graph:
        """A copy with other defaults for its inputs, such as the values of a run.

        Args:
            values: the new defaults; for an input that is swept, the list of its values.
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
    """A `ReadGraph` that refuses every file."""
    raise GraphError(
        [
            Problem(
                "no_graph", f"the graph file {name} cannot be used: graph files are not allowed in this place"
            )
        ]
    )
