"""The trace of a run, read back as a viewer does: slices that nest, waits that end, arrows between steps."""

from __future__ import annotations

import json
import threading
from collections import defaultdict
from collections.abc import Iterator
from itertools import pairwise
from pathlib import Path
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine import settings as settings_
from engine.context import Context
from engine.devices.compute import ComputeSettings
from engine.devices.recipe import Recipe
from engine.errors import Cancelled, NodeError
from engine.events import Warned
from engine.files import Files
from engine.node import Node
from engine.observe.step_memory import MemoryMeasurement
from engine.observe.trace import LANES, THREADS, WAITS, Trace
from engine.observe.watch import Watch
from engine.packs.registry import Registry
from engine.run.report import Report
from engine.session import Session
from tests.engine.small_nodes import Lane, Mix, graph_of


class Hold(Node):
    """Wait until somebody opens the gate, or for a moment."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        GATE.wait(0.05)
        return self.a


class Halfway(Node):
    """Be cancelled in the middle."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        for _ in ctx.track(3):
            ctx.warn("half")
            raise Cancelled
        return 0


class Weights(Recipe[str]):
    """A recipe that is loaded once."""

    identity = "weights"

    def load(self, compute: ComputeSettings, files: Files) -> tuple[str, int]:
        return "loaded", 1


class Use(Node, accelerator=True):
    """Use what is loaded."""

    a: int = 0
    b: int = 0

    def run(self, ctx: Context) -> int:
        return len(ctx.use(Weights())) + self.a


class Wrong(Node):
    """Fail, always."""

    a: int = 0
    b: int = 0

    def run(self, ctx: Context) -> int:
        raise NodeError("it is wrong")


class Count(Node):
    """Count up to a number."""

    a: int = 0

    def run(self, ctx: Context) -> list[int]:
        return list(range(self.a))


class Total(Node):
    """Add numbers up."""

    numbers: list[int]

    def run(self, ctx: Context) -> int:
        return sum(self.numbers)


class Instead(Node, returns_graph=True):
    """Return a graph to be run in its place."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        graph: Any = graph_of({"inner": ("Mix", {"a": self.a})}, {"out": "inner.out"})
        return graph  # type: ignore[no-any-return]


GATE = threading.Event()
REGISTRY = Registry([Mix, Lane, Hold, Halfway, Use, Wrong, Count, Total, Instead])
Nodes = dict[str, tuple[str, dict[str, Any]]]
Events = list[dict[str, Any]]


def traced(home: Path, nodes: Nodes, *, workers: int = 4) -> tuple[Events, Report]:
    """The events of one run, and its report."""
    found = settings_.load(home, workers=workers, disk_budget=0)
    with Session(found, registry=REGISTRY) as session:
        with Watch(measured := MemoryMeasurement("cpu")) as watch:
            watch.add(Trace(home / "trace.json", "cpu", measured, pytest.fail))
            report = session.run_plan(session.plan(graph_of(nodes)), watch, watch)
    return json.loads((home / "trace.json").read_text()), report


def slices(events: Events) -> Iterator[tuple[tuple[int, int], dict[str, Any], dict[str, Any]]]:
    """Each slice as (track, its beginning, its end); fails if they do not nest."""
    open_: dict[tuple[int, int], Events] = defaultdict(list)
    for event in events:
        track = event["pid"], event["tid"]
        if event["ph"] == "B":
            open_[track].append(event)
        elif event["ph"] == "E":
            begun = open_[track].pop()
            assert begun["name"] == event["name"]
            assert begun["ts"] <= event["ts"]
            yield track, begun, event
    assert not any(open_.values()), "every slice is ended"


def steps_of(events: Events) -> dict[str, Any]:
    """The slice of each step: its track, its beginning and its end."""
    steps: dict[str, Any] = {}
    for track, begun, ended in slices(events):
        if begun.get("cat") == "step" and track[0] == THREADS:
            assert begun["name"] not in steps, "a step has one slice"
            steps[begun["name"]] = track[1], begun, ended
    return steps


def check_shape(events: Events, report: Report, nodes: Nodes) -> None:
    ran = {node for node, item in report.nodes.items() if item.state in ("done", "failed")}
    by_track = defaultdict(list)
    for track, begun, ended in slices(events):
        by_track[track].append((begun["ts"], ended["ts"]))
    steps = steps_of(events)
    assert steps.keys() == ran
    lane = sorted(by_track[LANES, 1])
    assert len(lane) == sum(nodes[node][0] in ("Lane", "Use") for node in ran)
    assert all(first[1] <= second[0] for first, second in pairwise(lane))
    wires = {
        (link["from"].split(".")[0], node)
        for node in ran
        for link in nodes[node][1].values()
        if isinstance(link, dict)
    }
    assert drawn(events, steps) == wires


def drawn(events: Events, steps: dict[str, Any]) -> set[tuple[str, str]]:
    """From which step to which the arrows lead."""
    starts = {event["id"]: event for event in events if event["ph"] == "s"}
    ends = {event["id"]: event for event in events if event["ph"] == "f"}
    found = set()
    for number, start in starts.items():
        end = ends[number]
        (source,) = [node for node, (track, begun, ended) in steps.items() if at(start, track, begun, ended)]
        (goal,) = [node for node, (track, begun, _) in steps.items() if at(end, track, begun, begun)]
        found.add((source, goal))
    return found


def at(event: dict[str, Any], track: int, begun: dict[str, Any], ended: dict[str, Any]) -> bool:
    return bool(event["tid"] == track and begun["ts"] <= event["ts"] <= ended["ts"])


@st.composite
def dags(draw: st.DrawFn) -> Nodes:
    nodes: Nodes = {}
    for n in range(draw(st.integers(1, 7))):
        kind = draw(st.sampled_from(["Mix", "Lane", "Use", "Wrong"]))
        wired = draw(st.sampled_from([None, *nodes]))
        inputs = {} if wired is None else {"a": {"from": f"{wired}.out"}}
        nodes[f"n{n}"] = kind, {**inputs, "b": n}  # so that no two are equal and share a result
    return nodes


@given(nodes=dags(), workers=st.integers(1, 3))
@settings(max_examples=30, deadline=None)
def test_the_slices_of_any_graph_are_its_steps(
    tmp_path_factory: pytest.TempPathFactory, nodes: Nodes, workers: int
) -> None:
    events, report = traced(tmp_path_factory.mktemp("home"), nodes, workers=workers)
    check_shape(events, report, nodes)


def test_elements_of_lists_are_steps_of_their_own(tmp_path: Path) -> None:
    nodes: Nodes = {
        "count": ("Count", {"a": 3}),
        "mix": ("Mix", {"a": {"from": "count.out"}}),
        "total": ("Total", {"numbers": {"from": "mix.out"}}),
    }
    events, _ = traced(tmp_path, nodes)
    steps = steps_of(events)
    elements = {f"mix[{n}]" for n in range(3)}
    assert steps.keys() == {"count", "total"} | elements
    assert drawn(events, steps) == {("count", one) for one in elements} | {(one, "total") for one in elements}


def test_a_node_that_returns_a_graph_has_one_slice_and_announces_its_steps(tmp_path: Path) -> None:
    events, report = traced(tmp_path, {"instead": ("Instead", {"a": 3})})
    assert report.state == "done"
    states = [e["args"]["state"] for t, b, e in slices(events) if b["name"] == "instead" and t[0] == THREADS]
    assert states == ["done"]
    assert any(event["name"] == "instead adds 1 steps" for event in events)


def test_a_slice_says_what_the_step_is_and_what_it_took(tmp_path: Path) -> None:
    events, _ = traced(tmp_path, {"one": ("Mix", {"a": 1}), "two": ("Mix", {"a": {"from": "one.out"}})})
    args = {}
    for _, begun, ended in slices(events):
        if begun.get("cat") == "step":
            args[begun["name"]] = {**begun["args"], **ended["args"]}
    assert args["two"]["type"] == "Mix@1"
    assert args["two"]["reason"]
    assert len(args["two"]["key"]) == 64
    assert args["two"]["wires"] == {"a": "one.out"}
    assert (args["two"]["state"], args["two"]["cache"]) == ("done", "none")
    assert args["two"]["memory"].keys() == {"host", "rise", "device"}


def test_the_store_and_the_loading_of_models_are_inside_the_step(tmp_path: Path) -> None:
    events, _ = traced(tmp_path, {"use": ("Use", {}), "again": ("Use", {"a": {"from": "use.out"}})})
    found = list(slices(events))
    (step,) = [(b["ts"], e["ts"]) for t, b, e in found if b["name"] == "use" and t[0] == THREADS]
    (load,) = [(b["ts"], e["ts"]) for _, b, e in found if b["name"] == "load Weights"]
    saves = [(b["ts"], e["ts"]) for _, b, e in found if b["name"] == "write to the store"]
    assert step[0] <= load[0] <= load[1] <= step[1]
    assert step[0] <= saves[0][0] <= saves[0][1] <= step[1]
    assert len(saves) == 2


def test_a_step_that_is_ready_waits_for_a_worker_or_for_the_accelerator(tmp_path: Path) -> None:
    GATE.clear()
    events, _ = traced(tmp_path, {"one": ("Hold", {"a": 1}), "two": ("Hold", {"a": 2})}, workers=1)
    waits = [event["name"] for event in events if event["pid"] == WAITS and event["ph"] == "b"]
    assert sum("waits for a worker" in name for name in waits) >= 1
    (begun,) = [event for event in events if event["name"] == "two" and event["ph"] == "B"]
    ends = [event["ts"] for event in events if event["ph"] == "e" and event["name"].startswith("two ")]
    starts = [event["ts"] for event in events if event["ph"] == "B" and event["name"] in ("one", "two")]
    assert ends == [begun["ts"]] or begun["ts"] == min(starts)


def test_a_cancelled_step_is_ended_and_the_file_is_whole(tmp_path: Path) -> None:
    events, report = traced(
        tmp_path, {"half": ("Halfway", {}), "after": ("Mix", {"a": {"from": "half.out"}})}
    )
    assert report.state == "cancelled"
    (ended,) = [e for _, b, e in slices(events) if b["name"] == "half"]
    assert ended["args"]["state"] == "no result"
    assert "half: half" in {event["name"] for event in events if event["ph"] == "i"}


def test_the_file_is_whole_after_each_event(tmp_path: Path) -> None:
    path = tmp_path / "trace.json"
    with_odd = '"\n\\ \u2028 \ud800'
    trace = Trace(path, "cpu", MemoryMeasurement("cpu"), pytest.fail)
    for count in range(5):
        before = len(json.loads(path.read_text()))
        trace(Warned(with_odd, f"node {count}"))
        assert len(json.loads(path.read_text())) == before + 1 + (count == 0)
    with pytest.raises(ZeroDivisionError), trace.span("broken", odd=with_odd, thing=object()):
        raise ZeroDivisionError
    assert json.loads(path.read_text())[-1]["ph"] == "E"
    trace.close()
    trace(Warned("too late"))
    assert json.loads(path.read_text())[-1]["ph"] == "E"


def test_a_file_that_takes_no_more_is_said_once(tmp_path: Path) -> None:
    said: list[str] = []
    trace = Trace(tmp_path / "trace.json", "cpu", MemoryMeasurement("cpu"), said.append)
    trace._file.close()
    trace._file = (tmp_path / "trace.json").open("rb", buffering=0)
    trace(Warned("one"))
    trace(Warned("two"))
    assert len(said) == 1
    assert "can no longer be written" in said[0]
