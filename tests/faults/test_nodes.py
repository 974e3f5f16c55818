"""Nodes that go wrong in every way: only what depends on them is lost, and the error says where and why."""

from __future__ import annotations

import math
import sys
import threading
import time
from collections.abc import Iterator
from pathlib import Path
from typing import Annotated, Any, NamedTuple

import pytest

from engine import failpoints, settings
from engine.context import Context
from engine.document.graph import Graph
from engine.events import Event, Progress
from engine.failpoints import Fault
from engine.node import Node
from engine.packs.registry import Registry
from engine.session import Session
from engine.widgets import Range
from tests.engine.small_nodes import Mix, graph_of
from tests.faults.home import illegal

HANGING = threading.Event()


class Two(NamedTuple):
    first: int
    second: int


class Ok(Node):
    """Do as it should."""

    a: int = 0

    def run(self, ctx: Context) -> float:
        return self.a + 1.0


class Hurt(Node):
    """Fail in the way that an input names."""

    what: str
    a: float = 0.0

    def run(self, ctx: Context) -> float:
        return float(getattr(self, "_" + self.what)())

    def _not_a_number(self) -> float:
        return math.nan

    def _exit(self) -> None:
        sys.exit(0)

    def _deep(self) -> float:
        return self._deep() + 1

    def _large(self) -> int:
        return len(bytearray(1 << 62))

    def _site(self) -> int:
        failpoints.failpoint("node.run")
        return 1


class Text(Node):
    """Return text where a number was promised."""

    a: float = 0.0

    def run(self, ctx: Context) -> float:
        return "text"  # type: ignore[return-value]


class Half(Node):
    """Return one output of two."""

    a: float = 0.0

    def run(self, ctx: Context) -> Two:
        return (1,)  # type: ignore[return-value]


class Picky(Node):
    """Take only small numbers."""

    a: Annotated[float, Range(0, 0.5)] = 0.0

    def run(self, ctx: Context) -> float:
        return self.a


class Hang(Node):
    """Never end by itself."""

    a: float = 0.0

    def run(self, ctx: Context) -> float:
        HANGING.set()
        while True:
            ctx.cancelled()
            time.sleep(0.001)


REGISTRY = Registry([Ok, Hurt, Text, Half, Picky, Hang, Mix])


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    with Session(settings.load(tmp_path, device="cpu"), registry=REGISTRY) as session:
        yield session
    failpoints.disarm()
    assert illegal(tmp_path) == []


def around(kind: str, **inputs: Any) -> Graph:
    """A graph in which this node stands between others, with a branch beside it."""
    made = "bad.first" if kind == "Half" else "bad.out"
    return graph_of(
        {
            "root": ("Ok", {}),
            "bad": (kind, {**inputs, "a": {"from": "root.out"}}),
            "after": ("Picky", {"a": {"from": made}}),
            "beside": ("Mix", {"a": 4}),
            "below": ("Mix", {"a": {"from": "beside.out"}}),
        },
        {"x": "after.out", "y": "below.out"},
    )


@pytest.mark.parametrize(
    ("kind", "what", "code", "words"),
    [
        ("Hurt", "exit", "node_failed", "SystemExit"),
        ("Hurt", "deep", "node_failed", "RecursionError"),
        ("Hurt", "large", "out_of_memory", "memory"),
        ("Hurt", "missing", "node_failed", "AttributeError"),
        ("Text", "", "node_failed", "is str, but it is declared as float"),
        ("Half", "", "node_failed", ""),
        ("Picky", "", "invalid_value", "at most 0.5"),
    ],
)
def test_a_failed_node_skips_only_its_dependents(
    kind: str, what: str, code: str, words: str, session: Session
) -> None:
    graph = around(kind, **({"what": what} if what else {}))
    for _ in range(2):  # the second time as well: nothing broken was kept
        report = session.run(graph)
        states = {node: entry.state for node, entry in report.nodes.items()}
        assert (states["bad"], states["after"]) == ("failed", "skipped")
        assert {states["root"], states["beside"], states["below"]} <= {"done", "cached"}
        assert report.state == "failed"
        assert report.outputs.keys() == {"y"}
        problem = report.nodes["bad"].problem
        assert problem is not None
        assert (problem.code, problem.node) == (code, "bad")
        assert problem.input == ("a" if kind == "Picky" else None)
        assert words in problem.message, problem
        assert report.nodes["after"].reason == "bad failed"


@pytest.mark.parametrize("kind", ["memory", "EIO", "ENOSPC"])
def test_memory_and_disk_may_fail_a_node_and_the_next_run_is_fine(kind: Any, session: Session) -> None:
    graph = graph_of({"bad": ("Hurt", {"what": "site"}), "beside": ("Mix", {"a": 4})}, {"x": "bad.out"})
    failpoints.arm(Fault("node.run", 1, kind))
    report = session.run(graph)
    assert report.nodes["bad"].state == "failed"
    assert (report.nodes["bad"].problem or pytest.fail("no problem")).node == "bad"
    report = session.run(graph)
    assert (report.state, report.nodes["bad"].state) == ("done", "done")


def test_a_result_that_is_no_json_fails_its_node_and_not_the_run(session: Session) -> None:
    graph = around("Hurt", what="not_a_number")
    report = session.run(graph)
    states = {node: node_report.state for node, node_report in report.nodes.items()}
    assert (states["root"], states["beside"], states["below"]) == ("done", "done", "done")
    assert (states["bad"], states["after"]) == ("failed", "skipped")
    problem = report.nodes["bad"].problem
    assert problem is not None
    assert (problem.node, problem.code) == ("bad", "node_failed")
    graph = graph_of({"bad": ("Hurt", {"what": "not_a_number"})}, {"x": "bad.out"})
    report = session.run(graph)
    assert report.nodes["bad"].state == "failed"
    assert report.outputs == {}


def test_a_hanging_node_is_cancelled_and_finished_steps_are_kept(session: Session) -> None:
    HANGING.clear()
    graph = around("Hang")
    events: list[Event] = []

    def stop() -> None:
        assert HANGING.wait(30)
        while not any(getattr(event, "node", "") == "below" for event in events):
            time.sleep(0.001)
        session.cancel()

    stopping = threading.Thread(target=stop)
    stopping.start()
    report = session.run(graph, emit=events.append)
    stopping.join()
    assert report.state == "cancelled"
    assert {report.nodes[node].state for node in ("bad", "after")} == {"cancelled"}
    assert not any(isinstance(event, Progress) for event in events)
    again = session.run(graph_of({"beside": ("Mix", {"a": 4})}))
    assert (again.state, again.nodes["beside"].state) == ("done", "cached")
