"""Tests of deliveries: outputs are handed over as they are made, in order, and let go of then."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
import weakref
from collections.abc import Mapping
from dataclasses import dataclass, replace
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.cancel import Cancel
from engine.context import Context
from engine.document.graph import GraphInput
from engine.document.run_request import RunRequest
from engine.document.sweep import Sweep
from engine.errors import NodeError
from engine.events import Done, Event, OutputWritten, ResultLost
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan.step import Step
from engine.run.schedule import GROUP
from engine.session import Session
from engine.store.memory import Memory
from engine.store.store import Result
from engine.values import Json, Packed, Part, Value
from tests.engine.run.test_run_random import Liar
from tests.engine.run.wide_nodes import WIDE
from tests.engine.small_nodes import Bench, graph_of

ALIVE: weakref.WeakSet[Drop] = weakref.WeakSet()


@dataclass(frozen=True, eq=False)
class Drop(Value, wire="DeliveredDrop"):
    """A value that is counted while it is alive."""

    n: int

    def __post_init__(self) -> None:
        ALIVE.add(self)

    def pack(self) -> Packed:
        if self.n == 13:
            raise TypeError("this one does not become bytes")
        return Packed(self.wire, self.n, (Part("0", "text/plain", b"%d" % self.n),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Drop:
        assert isinstance(meta, int)
        return cls(meta)


class Make(Node):
    """Make a drop, unless its number ends in 7."""

    n: int
    wait: float = 0.0

    def run(self, ctx: Context) -> Drop:
        time.sleep(self.wait)
        if self.n % 10 == 7:
            raise NodeError("no sevens")
        return Drop(self.n)


class More(Node):
    """Make a drop of the next number."""

    drop: Drop

    def run(self, ctx: Context) -> Drop:
        MOST.append(len(ALIVE))
        return Drop(self.drop.n + 100)


class Total(Node):
    """Add all drops."""

    drops: list[Drop]

    def run(self, ctx: Context) -> int:
        return sum(drop.n for drop in self.drops)


class Upto(Node):
    """Count."""

    n: int

    def run(self, ctx: Context) -> list[int]:
        return list(range(self.n))


MOST: list[int] = []
REGISTRY = Registry([Make, More, Total, Upto])


@pytest.fixture(autouse=True)
def none_alive() -> None:
    ALIVE.clear()
    MOST.clear()


def sweep_of(numbers: list[int], **request: Any) -> RunRequest:
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "make": ("Make", {"n": {"param": "n"}}),
        "more": ("More", {"drop": {"from": "make.out"}}),
    }
    graph = graph_of(nodes, {"drop": "more.out"}, {"n": GraphInput("int")})
    return RunRequest(graph, {"n": Sweep(tuple(numbers))}, **request)


def session_at(home: Path, **given: Any) -> Session:
    return Session(settings.load(home, device="cpu", **given), registry=REGISTRY)


def test_a_long_sweep_needs_the_memory_of_a_short_one(tmp_path: Path) -> None:
    with session_at(tmp_path, memory_budget=0, workers=2) as session:
        report = session.run(sweep_of([10 * n for n in range(300)], out=tmp_path / "out"))
    assert report.state == "done"
    assert len(report.files["drop"]) == 300
    assert max(MOST) <= 3 * GROUP


def test_elements_are_written_in_order_when_their_steps_are_done(tmp_path: Path) -> None:
    events: list[Event] = []
    with session_at(tmp_path) as session:
        report = session.run(sweep_of(list(range(0, 200, 10)), out=tmp_path / "out"), emit=events.append)
    written = [event for event in events if isinstance(event, OutputWritten)]
    assert [event.index for event in written] == [(n,) for n in range(20)]
    last_step = max(n for n, event in enumerate(events) if isinstance(event, Done))
    assert events.index(written[0]) < last_step
    names = [f"graph-drop-n-{n}-0001.txt" for n in range(0, 200, 10)]
    assert [path.name for path in report.files["drop"]] == names


def test_a_killed_sweep_leaves_the_files_that_it_had_made(tmp_path: Path) -> None:
    work = f"""
import tests.engine.run.test_deliveries as here
from engine.document.graph import Literal
from pathlib import Path
request = here.sweep_of(list(range(0, 400, 10)), out=Path({str(tmp_path)!r}) / "out")
request.graph.nodes["make"].inputs["wait"] = Literal(0.1)
here.session_at(Path({str(tmp_path)!r})).run(request)
"""
    process = subprocess.Popen([sys.executable, "-c", work], env={**os.environ})
    try:
        ends = time.monotonic() + 60
        while not (out := tmp_path / "out").is_dir() or len(list(out.glob("*.txt"))) < 2:
            assert time.monotonic() < ends
            assert process.poll() is None, "two are there before the last is made"
            time.sleep(0.02)
    finally:
        process.send_signal(signal.SIGKILL)
        process.wait()
    left = sorted(path.read_bytes() for path in out.glob("*.txt"))
    assert left[:2] == [b"100", b"110"]
    assert len(left) < 40


def test_a_cancelled_sweep_is_cut_short_and_has_what_it_made(tmp_path: Path) -> None:
    cancel = Cancel()

    def emit(event: Event) -> None:
        if isinstance(event, OutputWritten):
            cancel.ask()

    numbers = [10 * n for n in range(40)]
    with session_at(tmp_path, workers=1) as session:
        report = session.run(sweep_of(numbers, out=tmp_path / "out"), emit=emit, cancel=cancel)
        assert report.state == "cancelled"
        assert 1 <= len(report.files["drop"]) < 40
        assert report.written["drop"].partial
        assert session.run(sweep_of(numbers, out=tmp_path / "out")).state == "done"
        cancel = Cancel()
        again = session.run(sweep_of(numbers, out=tmp_path / "out"), emit=emit, cancel=cancel)
    assert (again.state, len(again.files["drop"])) == ("cancelled", 1), "also where all is there already"


def test_elements_that_fail_leave_holes(tmp_path: Path) -> None:
    with session_at(tmp_path) as session:
        report = session.run(sweep_of([1, 7, 3], out=tmp_path / "out"))
        assert report.state == "failed"
        elements = report.written["drop"].elements or ()
        assert [(element.index, element.values) for element in elements] == [
            ((0,), {"n": 1}),
            ((2,), {"n": 3}),
        ]
        assert "drop" not in report.outputs
        packed = report.partial["drop"]
        assert report.written["drop"].digest == packed.digest
        with pytest.raises(KeyError):
            report["drop"]


def test_json_elements_of_a_sweep_that_fails_are_kept_too(tmp_path: Path) -> None:
    registry = Registry([Odd])
    nodes: dict[str, tuple[str, dict[str, Any]]] = {"odd": ("Odd", {"n": {"param": "n"}})}
    graph = graph_of(nodes, {"odd": "odd.out"}, {"n": GraphInput("int")})
    with Session(settings.load(tmp_path, device="cpu"), registry=registry) as session:
        report = session.run(RunRequest(graph, {"n": Sweep((1, 2, 3))}))
    written = report.written["odd"]
    assert (report.state, written.partial, written.value) == ("failed", True, [1, None, 3])
    assert [element.value for element in written.elements or ()] == [1, 3]


class Odd(Node):
    """Refuse even numbers."""

    n: int

    def run(self, ctx: Context) -> int:
        if self.n % 2 == 0:
            raise NodeError("it is even")
        return self.n


def test_a_list_that_is_an_output_and_an_input_is_computed_once(tmp_path: Path) -> None:
    events: list[Event] = []
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "upto": ("Upto", {"n": 5}),
        "make": ("Make", {"n": {"from": "upto.out"}}),
        "total": ("Total", {"drops": {"from": "make.out"}}),
    }
    for outputs in ({"drops": "make.out", "total": "total.out"}, {"total": "total.out", "drops": "make.out"}):
        bench = Bench(registry=REGISTRY, store=Memory(0))
        report = bench.run(graph_of(nodes, outputs), emit=events.append)
        assert report.outputs["total"].meta == 10
        assert [part.data for part in report.outputs["drops"].parts] == [b"0", b"1", b"2", b"3", b"4"]
        assert not any(isinstance(event, ResultLost) for event in events)


def test_a_value_that_cannot_be_packed_fails_its_node_alone() -> None:
    nodes: dict[str, tuple[str, dict[str, Any]]] = {"make": ("Make", {"n": [12, 13, 14]})}
    report = Bench(registry=REGISTRY).run(graph_of(nodes, {"drops": "make.out"}))
    assert (report.state, report.nodes["make[1]"].state) == ("failed", "failed")
    assert [part.data for part in report.partial["drops"].parts] == [b"12", b"14"]


class Forgetful(Memory):
    """A store that has lost a result when it is asked for its bytes, once."""

    def __init__(self) -> None:
        super().__init__(1 << 20)
        self.lost: set[str] = set()

    def packed(self, key: str, output: str) -> Packed | None:
        if key not in self.lost:
            self.lost.add(key)
            return None
        return super().packed(key, output)

    def load(self, key: str) -> Result | None:
        return super().load(key) if key in self.lost else None


def test_a_lost_result_is_computed_again_and_delivered() -> None:
    graph = graph_of({"make": ("Make", {"n": [1, 2, 3]})}, {"drops": "make.out"})
    bench = Bench(registry=REGISTRY, store=Forgetful())
    bench.run(graph)
    bench.store.lost.clear()  # type: ignore[attr-defined]
    report = bench.run(graph)
    assert sum(isinstance(event, ResultLost) for event in bench.events) == 3
    assert [part.data for part in report.outputs["drops"].parts] == [b"1", b"2", b"3"]


def test_a_shared_result_that_is_lost_twice_is_delivered_all_the_same() -> None:
    """`b` shares the result of `a`, which the store loses again while it is delivered for `b`."""
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "first": ("Upto", {"n": 0}),
        "each": ("Each", {"xs": [0, 0]}),
        "a": ("Sum", {"xs": {"from": "each.out"}}),
        "count": ("Upto", {"n": {"from": "a.out"}}),
        "b": ("Sum", {"xs": {"from": "each.out"}}),
    }
    graph = graph_of(nodes, {"first": "first.out", "count": "count.out", "b": "b.out"})
    bench = Bench(registry=WIDE, workers=1)
    bench.run(graph)
    lost = set(bench.store._results)  # type: ignore[attr-defined]
    report = replace(bench, store=Liar(bench.store, lost, forgets=True)).run(graph)
    assert report.state == "done"
    assert {name: packed.meta for name, packed in report.outputs.items()} == {
        "first": [],
        "count": [],
        "b": 0,
    }


def test_deliveries_come_one_at_a_time_and_each_once() -> None:
    taken: list[tuple[str, str]] = []

    def take(output: str, step: Step, packed: Packed) -> None:
        taken.append((output, step.id))

    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "make": ("Make", {"n": list(range(0, 60, 2)), "wait": 0.001}),
        "same": ("Make", {"n": [0, 2], "wait": 0.001}),
    }
    bench = Bench(registry=REGISTRY)
    bench.take = take
    report = bench.run(graph_of(nodes, {"a": "make.out", "b": "same.out"}))
    assert report.outputs == {}
    assert [step for output, step in taken if output == "a"] == [
        f"make[{n}]" for n in range(30) if 2 * n % 10 != 7
    ]
    assert [step for output, step in taken if output == "b"] == ["same[0]", "same[1]"]
