"""The order in which the elements of lists run, and how many results that keeps alive."""

from __future__ import annotations

import weakref
from collections.abc import Mapping
from typing import Self

import pytest

from engine.context import Context
from engine.node import Node
from engine.packs.registry import Registry
from engine.run.schedule import GROUP
from engine.store.memory import Memory
from engine.values import Json, Packed, Value
from tests.engine.small_nodes import Bench, graph_of

LIVE: weakref.WeakSet[Held] = weakref.WeakSet()
MOST: list[int] = []
ORDER: list[str] = []


class Held(Value, wire="ListOrderHeld", lossless=True):
    """A value that counts itself while it is alive."""

    def __init__(self, number: int) -> None:
        self.number = number
        LIVE.add(self)
        MOST.append(len(LIVE))

    def pack(self) -> Packed:
        return Packed(self.wire, self.number)

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Self:
        assert isinstance(meta, int)
        return cls(meta)


class Make(Node):
    """Make a value."""

    number: int

    def run(self, ctx: Context) -> Held:
        return Held(self.number)


class Pass(Node):
    """Make a value of another."""

    held: Held
    salt: int

    def run(self, ctx: Context) -> Held:
        ORDER.append(f"{self.salt}.{self.held.number % 1000}")
        return Held(self.held.number + 1000)


class PassOnDevice(Pass, accelerator=True):
    """The same on the device."""

    def run(self, ctx: Context) -> Held:
        return super().run(ctx)


class Weigh(Node):
    """Make a number of a value."""

    held: Held

    def run(self, ctx: Context) -> int:
        return self.held.number


@pytest.fixture
def bench() -> Bench:
    for seen in (MOST, ORDER):
        seen.clear()
    return Bench(store=Memory(1), registry=Registry([Make, Pass, PassOnDevice, Weigh]), workers=1)


def run(bench: Bench, type: str, elements: int, length: int) -> None:
    nodes: dict[str, tuple[str, dict[str, object]]] = {"n0": ("Make", {"number": list(range(elements))})}
    for n in range(1, length):
        nodes[f"n{n}"] = (type, {"held": {"from": f"n{n - 1}.out"}, "salt": n})
    nodes["end"] = ("Weigh", {"held": {"from": f"n{length - 1}.out"}})
    report = bench.run(graph_of(nodes, {"out": "end.out"}))
    assert report.outputs["out"].meta == [1000 * (length - 1) + n for n in range(elements)]


@pytest.mark.parametrize(("elements", "length"), [(50, 4), (4, 50), (1, 50)])
def test_a_chain_over_a_list_keeps_two_results_alive(bench: Bench, elements: int, length: int) -> None:
    run(bench, "Pass", elements, length)
    assert max(MOST) == 2, "the one that a node reads, and the one that it makes"
    assert len(LIVE) == 0


def test_each_worker_keeps_two_results_alive(bench: Bench) -> None:
    bench.workers = 3
    run(bench, "Pass", 50, 4)
    assert max(MOST) <= 2 * 3 + 3, "and one that a worker has finished and not yet handed over"


def test_accelerator_nodes_run_a_group_of_elements_at_a_time(bench: Bench) -> None:
    """So a model is loaded once for a group, and not once for each element."""
    run(bench, "PassOnDevice", 2 * GROUP, 3)
    groups = [range(GROUP), range(GROUP, 2 * GROUP)]
    assert ORDER == [f"{salt}.{n}" for group in groups for salt in (1, 2) for n in group]
    assert max(MOST) <= GROUP + 2
