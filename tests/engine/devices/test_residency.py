"""Residency: the budget, pins, the order of eviction, memory that runs out, and several threads."""

from __future__ import annotations

import gc
import math
import threading
import weakref
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass, field, replace
from functools import partial
from pathlib import Path
from typing import Any

import pytest

from engine.context import Context
from engine.devices.compute import ComputeSettings
from engine.devices.memory import DeviceMemory
from engine.devices.recipe import Recipe
from engine.devices.residency import Residency
from engine.document.graph import Graph
from engine.document.reader import from_json
from engine.errors import NodeError
from engine.files import Files
from engine.node import Node
from engine.testing import open_session, run_graph
from tests.engine.small_nodes import PlainDigests

CPU = ComputeSettings()
CUDA = ComputeSettings("cuda", "float16")


class Thing:
    """What a fake recipe loads."""

    def __init__(self, name: str) -> None:
        self.name = name


@dataclass(frozen=True)
class Plain(Recipe[Thing]):
    """A recipe of some size, which calls `at_load` while it loads."""

    name: str
    bytes: int = 10
    known: bool = field(default=True, compare=False)
    at_load: Callable[[], None] = field(default=lambda: None, compare=False)

    @property
    def identity(self) -> str:
        return self.name

    def size(self, compute: ComputeSettings, files: Files) -> int:
        return self.bytes if self.known else 0

    def load(self, compute: ComputeSettings, files: Files) -> tuple[Thing, int]:
        self.at_load()
        return Thing(self.name), self.bytes


@dataclass(frozen=True)
class OnHost(Plain):
    """A recipe that is loaded on the host."""

    on_host = True


@dataclass(frozen=True)
class Over(Recipe[Thing]):
    """A recipe composed of a base and layers on the host."""

    name: str
    below: Recipe[Thing]
    above: tuple[Recipe[Thing], ...] = ()
    bytes: int = 5
    at_compose: Callable[[], None] = field(default=lambda: None, compare=False)

    @property
    def identity(self) -> str:
        return self.name

    @property
    def base(self) -> Recipe[Thing]:
        return self.below

    @property
    def layers(self) -> tuple[Recipe[Thing], ...]:
        return self.above

    def composed_size(self, base: Any, layers: Any, compute: ComputeSettings) -> int:
        return self.bytes

    def compose(self, base: Thing, layers: Any, compute: ComputeSettings) -> tuple[Thing, int]:
        self.at_compose()
        return Thing("+".join([base.name, *(layer.name for layer in layers)])), self.bytes


@dataclass(frozen=True)
class Staged(Plain):
    """A recipe that is loaded on the host, and then copied to the device or offloaded by block."""

    def staging(self, compute: ComputeSettings) -> ComputeSettings | None:
        return None if compute.offload == "none" else replace(compute.whole, device="cpu")

    def resides_on(self, compute: ComputeSettings) -> str:
        return "cpu" if compute.offload == "blocks" else compute.device

    def place(self, master: Thing, compute: ComputeSettings) -> tuple[Thing, int]:
        return Thing(f"copy of {master.name}"), 0 if compute.offload == "blocks" else self.bytes


@pytest.fixture
def files(tmp_path: Path) -> Files:
    return Files(lambda kind: [], PlainDigests(), tmp_path)


def loaded(residency: Residency, device: str = "cpu") -> list[object]:
    return [row.identity for row in residency.ledger() if row.device == device]


def total(residency: Residency, device: str = "cpu") -> int:
    return sum(row.size for row in residency.ledger() if row.device == device)


def test_a_model_is_loaded_once_for_each_device_and_precision(files: Files) -> None:
    residency, loads = Residency(100), list[str]()
    recipe = Plain("a", at_load=lambda: loads.append("a"))
    first = residency.use(recipe, CPU, files)
    assert residency.use(Plain("a"), CPU, files) is first
    assert residency.use(recipe, ComputeSettings(dtype="bfloat16"), files) is not first
    assert residency.use(recipe, CUDA, files) is not first
    assert residency.use(recipe, ComputeSettings("cuda:1", "float16"), files) is not first
    assert len(loads) == 4
    assert [row.device for row in residency.ledger()] == ["cpu", "cpu", "cuda", "cuda:1"]


def test_a_released_thing_leaves_the_device_unless_something_else_uses_it(files: Files) -> None:
    residency = Residency(100)
    pins, others = residency.pins(), residency.pins()
    base, over = Plain("a"), Over("b", Plain("a"))
    first = residency.use(base, CPU, files, pins)
    assert residency.use(base, CPU, files, others) is first
    residency.release(base, CPU, pins)
    assert loaded(residency) == ["a"]
    residency.release(base, CPU, pins)  # it has no pin of this step any more
    others.release()
    residency.use(over, CPU, files)
    assert residency.use(base, CPU, files, pins) is first
    residency.release(base, CPU, pins)
    assert sorted(map(str, loaded(residency))) == ["a", "b"]  # b shares its memory
    residency.use(over, CPU, files, pins)
    residency.release(over, CPU, pins)
    assert loaded(residency) == ["a"]
    residency.use(base, CPU, files, pins)
    residency.release(base, CPU, pins)
    assert (loaded(residency), total(residency)) == ([], 0)
    assert residency.use(base, CPU, files, pins) is not first


def test_room_is_made_before_a_thing_is_loaded(files: Files) -> None:
    residency, during = Residency(25), list[int]()
    for name in "abc":
        residency.use(Plain(name, at_load=lambda: during.append(total(residency))), CPU, files)
    assert during == [0, 10, 10]
    assert loaded(residency) == ["b", "c"]


def test_room_is_made_afterwards_for_a_thing_of_unknown_size(files: Files) -> None:
    residency, during = Residency(25), list[int]()
    for name in "abc":
        residency.use(Plain(name, 10, False, lambda: during.append(total(residency))), CPU, files)
    assert during == [0, 10, 20]
    assert loaded(residency) == ["b", "c"]


def test_a_model_larger_than_the_budget_is_used_then_evicted(files: Files) -> None:
    residency = Residency(25)
    with step(residency) as use:
        assert use(Plain("huge", 1000)).name == "huge"
        assert total(residency) == 1000
    residency.use(Plain("small"), CPU, files)
    assert loaded(residency) == ["small"]


def test_each_run_sees_its_own_load_spans(files: Files) -> None:
    residency = Residency(100)
    spans: dict[str, list[str]] = {"one": [], "two": []}

    @contextmanager
    def span(run: str, name: str, **facts: object) -> Iterator[None]:
        spans[run].append(str(facts["bytes"]))
        yield

    one, two = (residency.watched(partial(span, run)) for run in spans)
    one.use(Plain("a", 1), ComputeSettings(), files)
    two.use(Plain("b", 2), ComputeSettings(), files)
    one.use(Plain("b", 2), ComputeSettings(), files)
    residency.use(Plain("c", 3), ComputeSettings(), files)
    assert spans == {"one": ["1"], "two": ["2"]}
    assert loaded(residency) == ["a", "b", "c"], "they share what is loaded"


def test_the_least_recently_used_thing_goes_first(files: Files) -> None:
    residency = Residency(30)
    for name in "abcab":
        residency.use(Plain(name), CPU, files)
    residency.use(Plain("d"), CPU, files)
    assert loaded(residency) == ["a", "b", "d"]


def test_the_thing_that_plans_use_last_goes_first(files: Files) -> None:
    residency = Residency(40)
    for name in "abcd":
        residency.use(Plain(name), CPU, files)
    one = {"a": 7, "b": 2, "c": 1}
    two = {"b": 9, "d": 8}
    with (
        residency.expecting(lambda identity: one.get(str(identity), math.inf)),
        residency.expecting(lambda identity: two.get(str(identity), math.inf)),
    ):
        assert [row.next_use for row in residency.ledger()] == [7, 2, 1, 8]
        residency.use(Plain("e"), CPU, files)
        assert loaded(residency) == ["a", "b", "c", "e"], "d is used last of those in a plan"
        residency.use(Plain("f"), CPU, files)
        assert loaded(residency) == ["a", "b", "c", "f"], "no plan needs e again"
    assert {row.next_use for row in residency.ledger()} == {math.inf}
    residency.use(Plain("g"), CPU, files)
    assert loaded(residency) == ["b", "c", "f", "g"], "without plans the least recently used goes"


@contextmanager
def step(residency: Residency, compute: ComputeSettings = CPU) -> Iterator[Callable[[Recipe[Any]], Any]]:
    """A step: gives its `ctx.use`."""
    from engine.cancel import Cancel

    files = Files(lambda kind: [], PlainDigests(), Path())
    ctx = Context("node", lambda event: None, Cancel(), files, residency, compute)
    try:
        yield ctx.use
    finally:
        ctx.close()


def test_models_of_a_step_are_pinned_until_it_ends(files: Files) -> None:
    residency = Residency(20)
    with step(residency) as use:
        use(Plain("a"))
        use(Plain("a"))
        for name in "bcd":
            residency.use(Plain(name), CPU, files)
        assert loaded(residency) == ["a", "d"]
        assert [row.pinned for row in residency.ledger()] == [True, False]
        with step(residency) as other:
            other(Plain("a"))
        assert {row.identity: row.pinned for row in residency.ledger()}["a"], "the first step still uses it"
    assert [row.pinned for row in residency.ledger()] == [False, False]
    for name in "ef":
        residency.use(Plain(name), CPU, files)
    assert loaded(residency) == ["e", "f"]


def test_pinned_things_may_exceed_the_budget(files: Files) -> None:
    residency = Residency(15)
    with step(residency) as use:
        for name in "abc":
            use(Plain(name))
        assert total(residency) == 30
    residency.use(Plain("d"), CPU, files)
    assert loaded(residency) == ["d"]


def test_offloaded_components_leave_the_device_and_their_masters_stay_on_the_host(files: Files) -> None:
    residency, compute = Residency(100), replace(CUDA, offload="components")
    with step(residency, compute) as use:
        assert [use(Staged(name)).name for name in "ab"] == ["copy of a", "copy of b"]
        assert loaded(residency, "cuda") == ["a", "b"], "both are in use"
    residency.use(Staged("c"), compute, files)
    assert loaded(residency, "cuda") == ["c"]
    assert loaded(residency) == ["a", "b", "c"]
    assert (total(residency, "cuda"), total(residency)) == (10, 30)


def test_blocks_are_offloaded_from_a_master_that_stays_with_them(files: Files) -> None:
    residency, compute = Residency(25), replace(CUDA, offload="blocks")
    residency.use(Staged("a"), compute, files)
    assert (total(residency, "cuda"), total(residency)) == (0, 10)
    for name in "bc":
        residency.use(Staged(name), compute, files)
    assert loaded(residency) == ["b", "b", "c", "c"], "a went with its master"
    residency.free("cpu")
    assert loaded(residency) == []


def test_the_budget_is_a_share_of_the_memory_unless_it_is_given() -> None:
    sizes = {"cuda:1": DeviceMemory(1000, 5), "cpu": DeviceMemory(1000, 5), "mps": DeviceMemory(1000, 5)}
    residency = Residency(None, sizes.get)
    assert [residency.budget(name) for name in ("cuda:1", "cpu", "mps")] == [900, 500, 500]
    assert residency.budget("cuda") > 0, "also without knowing the memory"
    assert Residency(7, sizes.get).budget("cpu") == 7


def test_a_base_stays_while_patched_copies_share_its_memory(files: Files) -> None:
    residency = Residency(16)
    for turn in range(3):
        residency.use(Over(f"over{turn}", Plain("base")), CPU, files)
        assert loaded(residency) == ["base", f"over{turn}"]
    with residency.expecting(lambda identity: 99 if identity == "base" else 1):
        residency.use(Plain("other", 1), CPU, files)
        assert loaded(residency) == ["base", "over2", "other"]
        residency.use(Plain("larger", 6), CPU, files)
        assert loaded(residency) == ["other", "larger"], "the copy went, and then the base"


def test_layers_are_loaded_on_the_host_and_composed_on_the_device(files: Files) -> None:
    residency = Residency(100)
    made = residency.use(Over("over", Plain("base"), (OnHost("lora", 3),)), CUDA, files)
    assert made.name == "base+lora"
    rows = {row.identity: (row.device, row.size) for row in residency.ledger()}
    assert rows == {"base": ("cuda", 10), "over": ("cuda", 5), "lora": ("cpu", 3)}


def test_the_base_and_layers_are_pinned_while_a_patched_copy_is_made(files: Files) -> None:
    residency, during = Residency(1), list[dict[object, bool]]()

    def look() -> None:
        during.append({row.identity: row.pinned for row in residency.ledger()})

    residency.use(Over("over", Plain("base"), (OnHost("lora"),), at_compose=look), CPU, files)
    assert during == [{"lora": True, "base": True}]
    assert {row.identity: row.pinned for row in residency.ledger()} == {"base": False, "over": False}


def test_room_for_a_computation_costs_idle_models_only_as_far_as_needed(files: Files) -> None:
    residency = Residency(1000, lambda device: DeviceMemory(total=100, free=60))
    for name in "abcd":
        residency.use(Plain(name), CPU, files)
    with step(residency) as use:
        use(Plain("b"))
        residency.reserve("cpu", 60, "a small step")
        assert loaded(residency) == ["a", "c", "d", "b"]
        residency.reserve("cpu", 75, "a large step")
        assert loaded(residency) == ["d", "b"], "15 bytes were missing; a model has 10"
        residency.reserve("cpu", 100, "a step that takes all")
        assert loaded(residency) == ["b"], "b is in use, so the step may still run out of memory"


def test_a_computation_that_the_device_cannot_hold_is_refused_and_costs_nothing(files: Files) -> None:
    residency = Residency(1000, lambda device: DeviceMemory(total=100, free=5))
    residency.use(Plain("idle"), CPU, files)
    with pytest.raises(NodeError) as caught:
        residency.reserve("cpu", 101, "a huge step")
    assert caught.value.code == "too_large"
    assert loaded(residency) == ["idle"]
    Residency(1000, lambda device: None).reserve("cpu", 10**15, "a step on a device of unknown memory")


class OutOfMemoryError(RuntimeError):
    """What torch raises for a device, by name."""


OUT_OF_MEMORY = [
    MemoryError(),
    OutOfMemoryError("CUDA out of memory"),
    RuntimeError("[enforce fail at alloc_cpu.cpp:127] err == 0. DefaultCPUAllocator: can't allocate memory"),
]


@pytest.mark.parametrize("error", OUT_OF_MEMORY, ids=["host", "cuda", "torch on the host"])
def test_memory_that_runs_out_costs_all_idle_things_and_no_pinned_one(files: Files, error: Exception) -> None:
    residency, tries = Residency(1000), list[list[object]]()

    def fail_once() -> None:
        tries.append(loaded(residency))
        if len(tries) == 1:
            raise error

    residency.use(Plain("idle"), CPU, files)
    idle = weakref.ref(residency.use(Plain("also idle"), CPU, files))
    with step(residency) as use:
        use(Plain("in use"))
        made = residency.use(Over("over", Plain("base"), at_compose=fail_once), CPU, files)
    assert made.name == "base"
    assert tries == [["idle", "also idle", "in use", "base"], ["in use", "base"]]
    assert idle() is None


def test_the_tensors_of_a_failed_attempt_are_gone_before_the_next(files: Files) -> None:
    residency, halves = Residency(1000), list[Any]()

    def load() -> None:
        if halves:
            assert halves[0]() is None, "the first half-loaded model still takes memory"
            return
        half = Thing("half")
        halves.append(weakref.ref(half))
        raise MemoryError

    residency.use(Plain("a", at_load=load), CPU, files)
    assert loaded(residency) == ["a"]


def test_memory_that_runs_out_twice_is_a_problem_with_a_hint(files: Files) -> None:
    def fail() -> None:
        raise MemoryError

    residency = Residency(1000)
    residency.use(Plain("idle"), CPU, files)
    with pytest.raises(NodeError) as caught:
        residency.use(Plain("a", at_load=fail), CPU, files)
    assert (caught.value.code, bool(caught.value.hint)) == ("out_of_memory", True)
    assert loaded(residency) == []


def test_another_failure_costs_nothing(files: Files) -> None:
    def fail() -> None:
        raise ValueError("damaged")

    residency = Residency(1000)
    residency.use(Plain("idle"), CPU, files)
    with pytest.raises(ValueError, match="damaged"):
        residency.use(Over("over", Plain("base", at_load=fail)), CPU, files)
    assert loaded(residency) == ["idle"]
    assert not any(row.pinned for row in residency.ledger())


def graph(kind: str) -> Graph:
    return from_json({"safelight": 1, "nodes": {"a": {"type": kind}}, "outputs": {"out": {"from": "a.out"}}})


class Greedy(Node, accelerator=True):
    """Run out of memory for as long as an idle model is loaded."""

    def run(self, ctx: Context) -> str:
        ctx.use(Plain("mine"))
        if "idle" in loaded(ctx._residency):
            raise MemoryError
        return "done"


def test_a_step_that_runs_out_of_memory_is_done_again_without_the_idle_models() -> None:
    with open_session(types=[Greedy]) as session:
        session.residency.use(Plain("idle"), session.compute, session.files)
        report = session.run(graph("Greedy"))
        assert report.outputs["out"].meta == "done"
        assert loaded(session.residency) == ["mine"]
        assert not any(row.pinned for row in session.residency.ledger())


class Always(Node, accelerator=True):
    """Run out of memory, always."""

    def run(self, ctx: Context) -> str:
        raise MemoryError


def test_a_step_that_runs_out_of_memory_with_nothing_idle_fails_with_a_hint() -> None:
    problem = run_graph(graph("Always"), types=[Always]).nodes["a"].problem
    assert problem is not None
    assert (problem.code, bool(problem.hint)) == ("out_of_memory", True)


def test_two_threads_load_a_thing_once_and_never_wait_for_one_that_is_there(files: Files) -> None:
    residency, started, go, loads = Residency(1000), threading.Event(), threading.Event(), list[str]()

    def slow() -> None:
        loads.append("slow")
        started.set()
        assert go.wait(30)

    residency.use(Plain("there"), CPU, files)
    made: list[Thing] = []
    threads = [
        threading.Thread(target=lambda: made.append(residency.use(Plain("slow", at_load=slow), CPU, files)))
        for _ in range(2)
    ]
    threads[0].start()
    assert started.wait(30)
    threads[1].start()
    assert residency.use(Plain("there"), CPU, files).name == "there", "while another thread loads"
    assert loaded(residency) == ["there"], "and the ledger can be read"
    go.set()
    for thread in threads:
        thread.join(30)
    assert loads == ["slow"]
    assert made[0] is made[1]


def test_many_threads_keep_the_ledger_exact(files: Files) -> None:
    residency, failures = Residency(60), list[BaseException]()

    def work(number: int) -> None:
        try:
            for turn in range(60):
                with step(residency) as use:
                    name = str((number * 7 + turn * 3) % 11)
                    made = use(Over(f"over {name}", Plain(name), (OnHost(f"lora {name}", 2),)))
                    assert made.name == f"{name}+lora {name}"
                    rows = {row.identity: row for row in residency.ledger()}
                    assert rows[f"over {name}"].pinned
                    assert name in rows, "its base"
        except BaseException as error:
            failures.append(error)

    threads = [threading.Thread(target=work, args=(number,)) for number in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join(60)
    assert not failures
    rows = residency.ledger()
    assert not any(row.pinned for row in rows)
    residency.use(Plain("last"), CPU, files)
    assert total(residency) <= 60
    residency.free("cpu")
    assert residency.ledger() == []
    gc.collect()
