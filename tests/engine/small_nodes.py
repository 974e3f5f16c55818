"""Small node types, and a session in miniature, that the engine's tests share."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field
from pathlib import Path
from typing import Annotated, Any, Literal, NamedTuple

from pydantic import Field

from engine.cancel import Cancel
from engine.check import check as checking
from engine.context import Context
from engine.devices.residency import Residency
from engine.document.graph import From, Graph, GraphInput
from engine.document.reader import from_json
from engine.errors import NodeError, Problem
from engine.events import Event
from engine.file_facts import FileFacts
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan import plan as planning
from engine.plan.plan import Plan
from engine.run.deliveries import Take
from engine.run.expected_seconds import ExpectedSeconds
from engine.run.report import Report
from engine.run.result_caching import ResultCaching
from engine.run.run import Run
from engine.run.write_guard import WriteGuard
from engine.store.memory import Memory
from engine.store.store import Store
from engine.values import Json, Value
from engine.widgets import Range

CALLS: Counter[str] = Counter()
"""How often each node id has run since somebody cleared it."""
_LOCK = threading.Lock()


def called(ctx: Context) -> None:
    """Count a call of this node."""
    with _LOCK:
        CALLS[ctx._node] += 1


class Mix(Node):
    """Mix three numbers so that each of them, and its place, matters."""

    a: int = 0
    b: int = 0
    salt: int = 0

    def run(self, ctx: Context) -> int:
        called(ctx)
        return (3 * self.a + 5 * self.b + self.salt) % 1_000_003


class Halves(NamedTuple):
    low: int
    high: int


class Split(Node):
    """Split a number into two."""

    a: int

    def run(self, ctx: Context) -> Halves:
        called(ctx)
        return Halves(self.a % 1000, self.a // 1000)


class Broken(Node):
    """Fail, always."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        called(ctx)
        raise NodeError("it is broken", hint="mend it")


class Act(Node, pure=False):
    """Act on the world."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        called(ctx)
        return self.a + 1


class Lane(Node, accelerator=True):
    """Compute on the device."""

    a: int = 0
    b: int = 0

    def run(self, ctx: Context) -> int:
        called(ctx)
        return self.a - self.b


class Settings(Node):
    """One input of each plain kind."""

    count: Annotated[int, Range(1, 150)] = 20
    scale: float = 1.0
    mode: Literal["fast", "fine"] = "fast"
    on: bool = False
    text: str = ""
    weights: list[float] = Field(default_factory=list)
    more: dict[str, float] = Field(default_factory=dict)

    def run(self, ctx: Context) -> int:
        called(ctx)
        return self.count


@dataclass(frozen=True)
class Thing(Value, wire="SmallThing"):
    """A value that only a wire brings."""

    name: str


class MakeThing(Node):
    """Make a thing."""

    name: str = "thing"

    def run(self, ctx: Context) -> Thing:
        called(ctx)
        return Thing(self.name)


class TakeThing(Node):
    """Take a thing."""

    thing: Thing
    other: Thing | None = None

    def run(self, ctx: Context) -> str:
        called(ctx)
        return self.thing.name


REGISTRY = Registry([Mix, Split, Broken, Act, Lane, Settings, MakeThing, TakeThing])


class PlainDigests:
    """Digests of files by reading them."""

    facts = FileFacts()

    def digest(self, path: Path) -> str:
        from engine.values import sha256

        return sha256(path.read_bytes())


def graph_of(
    nodes: Mapping[str, tuple[str, Mapping[str, Any]]],
    outputs: Mapping[str, str] = {},
    inputs: Mapping[str, GraphInput] = {},
) -> Graph:
    """A graph from `{id: (type, {input: as the document writes it})}`."""
    tree = {
        "safelight": 1,
        "nodes": {node: {"type": kind, "inputs": dict(inputs_)} for node, (kind, inputs_) in nodes.items()},
    }
    graph = from_json(tree)
    graph.inputs = dict(inputs)
    graph.outputs = {name: From(*link.split(".")) for name, link in outputs.items()}
    return graph


@dataclass
class Bench:
    """Check, plan and run over one store."""

    store: Store = field(default_factory=lambda: Memory(1 << 24))
    registry: Registry = REGISTRY
    folder: Path = Path("nowhere")
    workers: int = 4
    cancel: Cancel | None = None
    events: list[Event] = field(default_factory=list)
    take: Take | None = None
    expected: ExpectedSeconds = field(default_factory=ExpectedSeconds)

    @property
    def files(self) -> Files:
        return Files(lambda kind: [self.folder / kind], PlainDigests(), self.folder, local=True)

    def problems(self, graph: Graph) -> list[Problem]:
        return checking.check(graph, self.registry).problems

    def plan(
        self, graph: Graph, targets: Sequence[str] = (), values: Mapping[str, Json] = {}
    ) -> planning.Plan:
        return planning.plan(
            checking.check(graph, self.registry, values), self.store, self.files, targets=targets
        )

    def run(
        self,
        graph: Graph,
        targets: Sequence[str] = (),
        values: Mapping[str, Json] = {},
        emit: Callable[[Event], None] | None = None,
    ) -> Report:
        return self.run_plan(self.plan(graph, targets, values), emit)

    def run_plan(self, planned: Plan, emit: Callable[[Event], None] | None = None) -> Report:
        self.events.clear()
        return Run(
            planned,
            self.store,
            files=self.files,
            residency=Residency(1 << 20),
            emit=emit or self.events.append,
            cancel=self.cancel,
            lifecycles=[ResultCaching(self.store), WriteGuard(contents=True)],
            workers=self.workers,
            expected=self.expected,
            take=self.take,
        ).run()
