"""How a run meets what goes wrong: failures of every kind, cancels, faulty listeners, lost results."""

from __future__ import annotations

import _thread
import gc
import itertools
import sys
import threading
import time
import weakref
from collections import Counter
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from types import FrameType
from typing import Any

import numpy as np
import pytest

from engine.cancel import Cancel
from engine.context import Context
from engine.devices.residency import Residency
from engine.document.graph import Graph
from engine.errors import Cancelled, GraphError, NodeError
from engine.events import Done, Event, Failed, Finished, Planned, Progress, Skipped, Started
from engine.explain.reasons import Reasons
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.run import run as running
from engine.run.result_caching import ResultCaching
from engine.store.memory import Memory
from engine.values import Json, Packed, Value
from tests.engine.small_nodes import CALLS, REGISTRY, Bench, called, graph_of


class Array(Value, wire="SmallArray"):
    """A value that holds something like an array."""

    def __init__(self, held: Any) -> None:
        self.held = held

    def pack(self) -> Packed:
        return Packed(self.wire, list(map(float, np.asarray(self.held).ravel())))


class Silent(Exception):
    """Cannot even say what it is."""

    def __str__(self) -> str:
        raise RuntimeError("no words")


RAISES: dict[str, Callable[[], BaseException]] = {
    "exit": lambda: SystemExit(3),
    "generator": GeneratorExit,
    "stop": lambda: StopIteration("stop"),
    "memory": MemoryError,
    "recursion": lambda: RecursionError("deep"),
    "group": lambda: ExceptionGroup("several", [ValueError("one")]),
    "silent": Silent,
    "plain": lambda: ValueError("plain"),
    "assertion": AssertionError,
    "base": lambda: BaseException("base"),
}


class Raise(Node):
    """Raise what it is told."""

    what: str

    def run(self, ctx: Context) -> int:
        called(ctx)
        raise RAISES[self.what]()


class Count(Node):
    """Count, slowly enough to be stopped."""

    to: int
    a: int = 0

    def run(self, ctx: Context) -> int:
        done = 0
        for _ in ctx.track(self.to):
            done += 1
            called(ctx)
            time.sleep(0.001)
        return done


class Wrong(Node):
    """Return something else than it says."""

    def run(self, ctx: Context) -> int:
        return "text"  # type: ignore[return-value]


class Unpackable(Node):
    """Make what cannot become bytes."""

    def run(self, ctx: Context) -> Array:
        return Array("no numbers")


class MakeArray(Node):
    """Make an array."""

    def run(self, ctx: Context) -> Array:
        return Array(np.arange(4.0))


class Scribble(Node):
    """Write into the input."""

    a: Array

    def run(self, ctx: Context) -> int:
        self.a.held[0] += 1
        return 1


class Read(Node):
    """Only read the input."""

    a: Array

    def run(self, ctx: Context) -> int:
        return int(self.a.held.sum())


MEETING = threading.Barrier(2)


class Meet(Node):
    """Wait until another node of this kind runs too."""

    name: str

    def run(self, ctx: Context) -> str:
        MEETING.wait(timeout=30)
        return self.name


class Hurry(Node):
    """Name the thread that runs the node."""

    n: int

    def run(self, ctx: Context) -> int:
        return threading.get_ident()


class Name(Node):
    """Name a file."""

    name: str

    def run(self, ctx: Context) -> str:
        called(ctx)
        return self.name


class Length(Node):
    """Tell how long a file is."""

    name: str

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("texts", self.name))

    def run(self, ctx: Context) -> int:
        called(ctx)
        return ctx.files.find("texts", self.name).stat().st_size


EXTRA: list[type[Node]] = [
    Raise,
    Count,
    Wrong,
    Unpackable,
    MakeArray,
    Scribble,
    Read,
    Meet,
    Hurry,
    Name,
    Length,
]


@pytest.fixture
def bench() -> Bench:
    CALLS.clear()
    return Bench(registry=Registry([*(kind.cls for kind in REGISTRY.types.values()), *EXTRA]))


def fork() -> dict[str, tuple[str, dict[str, Json]]]:
    """One branch that breaks, one that does not, and one that needs both."""
    return {
        "root": ("Mix", {"a": 1}),
        "bad": ("Broken", {"a": {"from": "root.out"}}),
        "after": ("Mix", {"a": {"from": "bad.out"}}),
        "later": ("Mix", {"a": {"from": "after.out"}}),
        "good": ("Mix", {"a": {"from": "root.out"}, "salt": 1}),
        "both": ("Mix", {"a": {"from": "good.out"}, "b": {"from": "bad.out"}}),
    }


def test_a_failure_keeps_finished_work_and_skips_its_dependants_only(bench: Bench) -> None:
    graph = graph_of(fork(), {"good": "good.out", "later": "later.out", "both": "both.out"})
    report = bench.run(graph)
    states = {node: told.state for node, told in report.nodes.items()}
    assert states == {
        "root": "done",
        "bad": "failed",
        "after": "skipped",
        "later": "skipped",
        "good": "done",
        "both": "skipped",
    }
    assert report.state == "failed"
    assert report.outputs.keys() == {"good"}
    problem = report.nodes["bad"].problem
    assert problem is not None
    assert (problem.code, problem.node, problem.hint) == ("node_failed", "bad", "mend it")
    assert {report.nodes[node].reason for node in ("after", "later", "both")} == {"bad failed"}
    again = bench.run(graph)
    assert {node: told.cache for node, told in again.nodes.items() if told.state == "cached"} == {
        "root": "memory",
        "good": "memory",
    }
    assert CALLS["root"] == CALLS["good"] == 1
    assert CALLS["bad"] == 2


@pytest.mark.parametrize("what", RAISES)
def test_any_exception_of_a_node_fails_only_that_node(bench: Bench, what: str) -> None:
    graph = graph_of(
        {"bad": ("Raise", {"what": what}), "good": ("Mix", {"a": 1})}, {"x": "good.out", "y": "bad.out"}
    )
    report = bench.run(graph)
    assert (report.nodes["bad"].state, report.nodes["good"].state) == ("failed", "done")
    failed = [event for event in bench.events if isinstance(event, Failed)]
    assert [event.node for event in failed] == ["bad"]
    problem = failed[0].problem
    if what == "memory":
        assert problem.code == "out_of_memory"
    else:
        assert type(RAISES[what]()).__name__ in problem.message
        assert problem.hint is not None
        assert __file__ in problem.hint, "the hint names the line that raised"


def test_a_wrong_output_is_the_fault_of_its_node(bench: Bench) -> None:
    report = bench.run(graph_of({"wrong": ("Wrong", {})}))
    assert "is str, but it is declared as int" in report.nodes["wrong"].reason


def test_an_output_that_cannot_become_bytes_is_a_failure_not_a_crash(bench: Bench) -> None:
    report = bench.run(
        graph_of({"odd": ("Unpackable", {}), "good": ("Mix", {})}, {"x": "odd.out", "y": "good.out"})
    )
    assert (report.state, report.nodes["odd"].state) == ("failed", "failed")
    assert report.outputs.keys() == {"y"}


def test_events_come_in_order_and_one_at_a_time(bench: Bench) -> None:
    inside = 0

    def emit(event: Event) -> None:
        nonlocal inside
        inside += 1
        assert inside == 1
        time.sleep(0)
        bench.events.append(event)
        inside -= 1

    nodes = {f"n{n}": ("Mix", {"a": {"from": f"n{n // 2}.out"} if n else 1, "salt": n}) for n in range(40)}
    bench.run(graph_of(nodes), emit=emit)
    kinds = [type(event) for event in bench.events]
    assert (kinds[0], kinds[-1]) == (Planned, Finished)
    at = {(type(event), getattr(event, "node", "")): n for n, event in enumerate(bench.events)}
    for n in range(1, 40):
        assert at[Done, f"n{n // 2}"] < at[Started, f"n{n}"] < at[Done, f"n{n}"]


@pytest.mark.parametrize("kind", [Planned, Started, Done, Failed, Skipped, Finished])
@pytest.mark.parametrize("fault", [RuntimeError("the listener broke"), KeyboardInterrupt()])
def test_a_listener_that_breaks_harms_no_work_and_is_not_hidden(
    bench: Bench, kind: type[Event], fault: BaseException
) -> None:
    told = []

    def emit(event: Event) -> None:
        told.append(event)
        if isinstance(event, kind):
            raise fault

    with pytest.raises(type(fault)):
        bench.run(graph_of(fork()), emit=emit)
    assert isinstance(told[-1], kind), "it is told nothing more"
    if isinstance(fault, RuntimeError):
        assert CALLS["good"] == 1
        assert bench.run(graph_of(fork())).nodes["good"].cache == "memory"


def test_an_interrupt_stops_the_run_and_comes_out_of_it(bench: Bench) -> None:
    def emit(event: Event) -> None:
        if isinstance(event, Progress) and event.node == "count" and not CALLS["interrupted"]:
            CALLS["interrupted"] += 1
            threading.Thread(target=_thread.interrupt_main).start()

    graph = graph_of(
        {"first": ("Mix", {"a": 1}), "count": ("Count", {"to": 5000, "a": {"from": "first.out"}})}
    )
    with pytest.raises(KeyboardInterrupt):
        bench.run(graph, emit=emit)
    assert CALLS["count"] < 5000
    assert bench.plan(graph).steps["first"].action == "reuse", "what is finished is kept"


def test_an_interrupt_may_come_wherever_a_function_begins(bench: Bench) -> None:
    """It comes out of the run, which waits for nobody, and is never taken for a failure of a node."""
    nodes: dict[str, Any] = {"mix": ("Mix", {"a": 1}), "next": ("Mix", {"a": {"from": "mix.out"}})}
    graph = graph_of(nodes, {"next": "next.out"})
    engine = str(Path(running.__file__).parents[1])
    before = sys.getprofile()
    for at in itertools.count(1):
        calls = itertools.count(1)

        def interrupt(frame: FrameType, event: str, arg: Any, at: int = at, calls: Any = calls) -> None:
            if event == "call" and frame.f_code.co_filename.startswith(engine) and next(calls) == at:
                raise KeyboardInterrupt

        fresh = replace(bench, store=Memory(1 << 20), workers=1)
        planned = fresh.plan(graph)
        run = running.Run(
            planned,
            fresh.store,
            files=fresh.files,
            residency=Residency(1 << 20),
            lifecycles=[ResultCaching(fresh.store)],
        )
        sys.setprofile(interrupt)
        try:
            report = run.run()
        except KeyboardInterrupt:
            continue
        finally:
            sys.setprofile(before)
        break
    assert at > 50
    assert report.outputs["next"].meta == 9


def test_the_memory_of_an_ended_run_is_free_without_the_garbage_collector(bench: Bench) -> None:
    graph = graph_of(
        {"mix": ("Mix", {"a": 1}), "next": ("Mix", {"a": {"from": "mix.out"}})}, {"out": "next.out"}
    )
    run = running.Run(bench.plan(graph), bench.store, files=bench.files, residency=Residency(1 << 20))
    gc.disable()
    try:
        report = run.run()
        ended = weakref.ref(run)
        del run
        assert ended() is None
    finally:
        gc.enable()
    assert report.state == "done"


def test_the_collector_does_not_search_a_large_plan_until_its_run_has_ended(bench: Bench) -> None:
    def searched() -> bool:
        return any(found is step for found in gc.get_objects())

    nodes = {f"n{number}": ("Mix", {"a": number}) for number in range(500)}
    plan = bench.plan(graph_of(nodes, {"out": "n0.out"}), targets=list(nodes))
    step = plan.steps["n7"]
    try:
        assert not searched()
        assert bench.run_plan(plan).state == "done"
        assert searched()
    finally:
        gc.unfreeze()


def test_an_interrupt_waits_for_the_steps_of_other_threads(bench: Bench) -> None:
    both = {"one": ("Count", {"to": 400}), "other": ("Count", {"to": 401})}
    main, seen = threading.get_ident(), set[int]()

    def emit(event: Event) -> None:
        seen.add(threading.get_ident())
        if len(seen) > 1 and threading.get_ident() == main and isinstance(event, Progress):
            raise KeyboardInterrupt

    with pytest.raises(KeyboardInterrupt):
        bench.run(graph_of(both), emit=emit)
    reached = CALLS["count"]
    time.sleep(0.05)
    assert CALLS["count"] == reached, "nobody is at work any more"


def test_a_cancel_is_honoured_inside_a_step_and_keeps_what_is_finished(bench: Bench) -> None:
    graph = graph_of(
        {
            "first": ("Mix", {"a": 1}),
            "count": ("Count", {"to": 5000, "a": {"from": "first.out"}}),
            "after": ("Mix", {"a": {"from": "count.out"}}),
        },
        {"x": "after.out"},
    )
    bench.cancel = cancel = Cancel()

    def emit(event: Event) -> None:
        if isinstance(event, Progress):
            cancel.ask()

    report = bench.run(graph, emit=emit)
    assert {node: told.state for node, told in report.nodes.items()} == {
        "first": "done",
        "count": "cancelled",
        "after": "cancelled",
    }
    assert report.state == "cancelled"
    assert 0 < CALLS["count"] < 5000
    bench.cancel = None
    assert bench.plan(graph).steps["first"].action == "reuse"


def test_a_cancelled_step_that_was_about_to_finish_is_kept(bench: Bench) -> None:
    graph = graph_of({"count": ("Count", {"to": 30}), "after": ("Mix", {"a": {"from": "count.out"}})})
    bench.cancel = cancel = Cancel()

    def emit(event: Event) -> None:
        if isinstance(event, Progress) and event.value == event.total:
            cancel.ask()

    report = bench.run(graph, emit=emit)
    assert {node: told.state for node, told in report.nodes.items()} == {
        "count": "done",
        "after": "cancelled",
    }


def test_a_node_cannot_swallow_a_cancel() -> None:
    assert not issubclass(Cancelled, Exception)


def test_independent_steps_run_side_by_side(bench: Bench) -> None:
    report = bench.run(graph_of({"one": ("Meet", {"name": "one"}), "two": ("Meet", {"name": "two"})}))
    assert report.state == "done"


def test_quick_steps_run_in_one_thread(bench: Bench) -> None:
    """Python runs one thread at a time, so quick steps are done sooner if no other thread joins in."""

    def threads(first: int) -> Counter[Json]:
        names = [f"n{n}" for n in range(300)]
        nodes: dict[str, tuple[str, dict[str, Json]]] = {
            name: ("Hurry", {"n": first + n}) for n, name in enumerate(names)
        }
        report = bench.run(graph_of(nodes, {name: f"{name}.out" for name in names}))
        return Counter(packed.meta for packed in report.outputs.values())

    threads(0)  # at first nobody knows that they are quick
    steps = threads(1000)
    assert steps.total() == 300
    assert steps[threading.get_ident()] > 270  # a pause of the machine makes some of them look slow


def test_equal_steps_share_one_result(bench: Bench) -> None:
    nodes: dict[str, tuple[str, dict[str, Json]]] = {
        "one": ("Mix", {"a": 1}),
        "two": ("Mix", {"a": 1, "b": 0}),
        "end": ("Mix", {"a": {"from": "one.out"}, "b": {"from": "two.out"}}),
    }
    report = bench.run(graph_of(nodes, {"x": "end.out", "y": "two.out"}))
    assert CALLS["one"] == 1
    assert CALLS["two"] == 0
    assert (report.nodes["two"].state, report.nodes["two"].cache) == ("cached", "memory")
    assert report.nodes["two"].reason == "shared with `one`: same inputs"
    assert report.outputs["y"].meta == 3


def test_a_step_whose_file_is_named_by_another_step_is_keyed_by_its_content(
    bench: Bench, tmp_path: Path
) -> None:
    bench.folder = tmp_path
    (tmp_path / "texts").mkdir()
    file = tmp_path / "texts" / "a.txt"
    graph = graph_of(
        {
            "name": ("Name", {"name": "a.txt"}),
            "length": ("Length", {"name": {"from": "name.out"}}),
            "end": ("Mix", {"a": {"from": "length.out"}}),
        },
        {"x": "end.out"},
    )
    for content, runs in (("1", 1), ("1", 1), ("22", 2), ("1", 2), ("33", 3)):
        file.write_text(content)
        report = bench.run(graph)
        assert report.outputs["x"].meta == 3 * len(content)
        assert CALLS["length"] == runs
    assert CALLS["name"] == 1


def test_a_missing_file_is_a_problem_of_the_plan_and_whatever_a_fingerprint_raises(bench: Bench) -> None:
    class Odd(Node):
        """Raise while being fingerprinted."""

        def fingerprint(self, files: Files) -> Json:
            raise OSError("the disk is gone")

        def run(self, ctx: Context) -> int:
            return 1

    bench.registry.add(Odd)
    graph = graph_of({"odd": ("Odd", {}), "length": ("Length", {"name": "nowhere.txt"})})
    with pytest.raises(GraphError) as caught:
        bench.plan(graph)
    assert {(problem.node, problem.code) for problem in caught.value.problems} == {
        ("odd", "node_failed"),
        ("length", "missing_file"),
    }


def test_a_result_let_go_and_lost_is_made_again_not_waited_for(bench: Bench) -> None:
    """`big` is too large to keep; `kept` was, and vanishes between plan and run, so `big` must come again."""

    class Big(Node):
        """Too large for the store."""

        def run(self, ctx: Context) -> str:
            called(ctx)
            return "x" * 100_000

    class Size(Node):
        """How long a text is."""

        text: str
        salt: int = 0

        def run(self, ctx: Context) -> int:
            called(ctx)
            return len(self.text) + self.salt

    bench.store = store = Memory(20_000)
    bench.registry.add(Big)
    bench.registry.add(Size)
    big: dict[str, Json] = {"from": "big.out"}
    graph = graph_of(
        {"big": ("Big", {}), "kept": ("Size", {"text": big}), "new": ("Size", {"text": big, "salt": 1})},
        {"kept": "kept.out", "new": "new.out"},
    )
    bench.run(graph, targets=["kept"])
    planned = bench.plan(graph)
    assert planned.steps["kept"].action == "reuse"
    store.clear()
    report = bench.run_plan(planned)
    assert {name: packed.meta for name, packed in report.outputs.items()} == {"kept": 100_000, "new": 100_001}


def test_a_deep_chain_and_its_failure_need_no_deep_stack(bench: Bench) -> None:
    nodes: dict[str, tuple[str, dict[str, Json]]] = {"n0": ("Broken", {})}
    nodes |= {f"n{n}": ("Mix", {"a": {"from": f"n{n - 1}.out"}}) for n in range(1, 3000)}
    report = bench.run(graph_of(nodes))
    assert sum(told.state == "skipped" for told in report.nodes.values()) == 2999


def test_an_empty_graph_is_done_at_once(bench: Bench) -> None:
    report = bench.run(Graph())
    assert (report.state, report.nodes, report.outputs) == ("done", {}, {})


def test_the_reason_of_each_step_is_said_in_words(bench: Bench) -> None:
    graph = graph_of(
        {
            "one": ("Mix", {"a": 1}),
            "two": ("Mix", {"a": {"from": "one.out"}}),
            "three": ("Mix", {"a": {"from": "two.out"}, "salt": 1}),
            "act": ("Act", {"a": 1}),
        },
        {"x": "three.out"},
    )
    bench.run(graph, targets=["two"])
    planned = bench.plan(graph)
    why = Reasons(planned, None).why
    assert {node: (step.action, why(step)) for node, step in planned.steps.items()} == {
        "one": ("reuse", "memory"),
        "two": ("reuse", "memory"),
        "three": ("run", "no result for these inputs yet"),
        "act": ("run", "Act has side effects, so it always runs"),
    }


def test_a_node_error_keeps_its_message_and_hint() -> None:
    error = NodeError("the sea is too wide", hint="take a boat", input="sea", code="too_wide")
    assert error.problem("swim").as_json() == {
        "code": "too_wide",
        "severity": "error",
        "node": "swim",
        "input": "sea",
        "message": "the sea is too wide",
        "hint": "take a boat",
        "fix": None,
    }
