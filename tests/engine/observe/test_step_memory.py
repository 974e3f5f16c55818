"""The memory of steps, against what they are known to take."""

from __future__ import annotations

import sys
import threading
import time
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.context import Context
from engine.node import Node
from engine.observe import step_memory
from engine.observe.step_memory import MemoryMeasurement, StepMemory
from engine.observe.watch import Watch
from engine.packs.registry import Registry
from engine.session import Session
from tests.engine.small_nodes import graph_of

MIB = 1 << 20


class Fill(Node):
    """Fill memory, and let it go again."""

    a: int = 0
    size: int = 0

    def run(self, ctx: Context) -> int:
        held = bytearray(self.size)
        held[::4096] = b"x" * len(range(0, self.size, 4096))
        time.sleep(0.2)  # for whoever can only look
        return len(held)


@pytest.mark.skipif(not Path("/proc/self/statm").exists(), reason="needs /proc")
@pytest.mark.parametrize("kept", [True, False], ids=["by the kernel", "by looking"])
def test_the_peak_of_a_step_is_what_it_held_and_not_what_is_left(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, kept: bool
) -> None:
    if not kept:
        monkeypatch.setattr(step_memory, "_forget_peak", lambda: False)
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "small": ("Fill", {"size": 0}),
        "large": ("Fill", {"size": 256 * MIB, "a": {"from": "small.out"}}),
        "after": ("Fill", {"size": 1, "a": {"from": "large.out"}}),
    }
    with Session(settings.load(tmp_path), registry=Registry([Fill])) as session:
        with Watch(MemoryMeasurement("cpu")) as watch:
            session.run_plan(session.plan(graph_of(nodes)), watch=watch)
            memory = watch.memory
    assert memory.keys() == {"small", "large", "after"}
    rises = {node: item.rise for node, item in memory.items() if item.rise is not None}
    assert 240 * MIB <= rises["large"] <= 330 * MIB
    assert rises["small"] < 100 * MIB
    assert rises["after"] < 100 * MIB
    assert memory["large"].host is not None
    assert memory["large"].host >= rises["large"]
    assert memory["large"].device is None
    assert "safelight-memory" not in {thread.name for thread in threading.enumerate()}


def test_parallel_steps_measure_memory_from_their_own_start(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    now, peak = [10], [10]
    monkeypatch.setattr(step_memory, "_forget_peak", lambda: bool(peak.__setitem__(0, now[0]) or True))
    monkeypatch.setattr(step_memory, "_peak", lambda: peak[0])
    monkeypatch.setattr(step_memory, "_resident", lambda: lambda: now[0])

    def hold(held: int) -> None:
        now[0], peak[0] = held, max(peak[0], held)

    graph = graph_of({"a": ("Fill", {"a": 1}), "b": ("Fill", {"a": 2})})
    with Session(settings.load(tmp_path), registry=Registry([Fill])) as session:
        steps = session.plan(graph).steps
    counted = MemoryMeasurement("cpu")
    hold(90)
    hold(10)
    counted.setup(steps["a"], {})
    hold(60)
    hold(20)
    counted.setup(steps["b"], {})
    hold(30)
    hold(20)
    counted.teardown(steps["a"], {}, None)
    hold(45)
    counted.teardown(steps["b"], {}, None)
    counted.close()
    assert counted.memory == {"a": StepMemory(60, 50), "b": StepMemory(45, 25)}


class Cuda:
    """What torch.cuda answers, in miniature."""

    def __init__(self) -> None:
        self.peak = 7
        self.calls: list[str] = []

    def is_initialized(self) -> bool:
        return True

    def reset_peak_memory_stats(self, device: str) -> None:
        self.calls.append(f"reset {device}")
        self.peak = 0

    def max_memory_allocated(self, device: str) -> int:
        self.calls.append(f"ask {device}")
        return self.peak


class Compute(Node, accelerator=True):
    """Compute on the device."""

    a: int = 0

    def run(self, ctx: Context) -> int:
        sys.modules["torch"].cuda.peak = 5 * MIB
        return self.a


def test_torch_is_asked_for_the_peak_of_steps_on_its_device(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    torch = type(sys)("torch")
    torch.cuda = cuda = Cuda()  # type: ignore[attr-defined]
    monkeypatch.setitem(sys.modules, "torch", torch)
    nodes = {"compute": ("Compute", {}), "fill": ("Fill", {"a": {"from": "compute.out"}})}
    registry = Registry([Fill, Compute])
    with Session(settings.load(tmp_path, device="cuda:1", checked=False), registry=registry) as session:
        with Watch(MemoryMeasurement("cuda:1")) as watch:
            session.run_plan(session.plan(graph_of(nodes)), watch=watch)
            memory = watch.memory
    assert cuda.calls == ["reset cuda:1", "ask cuda:1"]
    assert (memory["compute"].device, memory["fill"].device) == (5 * MIB, None)


class Draw(Node, accelerator=True):
    """Hold memory while it runs on the device."""

    def run(self, ctx: Context) -> int:
        return len(bytearray(b"x" * (64 * MIB)))


def test_only_steps_on_the_device_are_measured_if_so_asked(tmp_path: Path) -> None:
    nodes = {"draw": ("Draw", {}), "fill": ("Fill", {"a": {"from": "draw.out"}})}
    with Session(settings.load(tmp_path, device="cpu"), registry=Registry([Fill, Draw])) as session:
        with Watch(MemoryMeasurement("cpu", all_steps=False)) as watch:
            session.run_plan(session.plan(graph_of(nodes)), watch=watch)
    assert watch.memory.keys() == {"draw"}
    rise = watch.memory["draw"].rise
    assert rise is None or rise > 50 * MIB
    assert watch.memory_of("draw") == watch.memory["draw"].as_json()
    assert watch.memory_of("fill") is None


def test_a_step_that_runs_twice_reports_its_larger_peak() -> None:
    assert StepMemory(5, 1, None).most(StepMemory(3, 2, 4)) == StepMemory(5, 2, 4)
    assert StepMemory(None, None).most(StepMemory(None, 0)) == StepMemory(None, 0)


def test_unmeasured_memory_is_null() -> None:
    assert StepMemory(None, None).as_json() == {"host": None, "rise": None, "device": None}
