"""The time that a library takes to import is not counted as the time of a node."""

from __future__ import annotations

import gc
import importlib
import sys
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.context import Context
from engine.node import Node
from engine.packs.registry import Registry
from engine.run.import_time import IMPORT_TIME
from tests.engine.small_nodes import Bench, graph_of

HOURS = 3600.0
SLOW = """
import gc
import time
assert not gc.isenabled()
{more}
time.perf_counter.ahead += 3600.0  # as if the import took an hour
"""


class Clock:
    """A clock that a test can set ahead."""

    def __init__(self) -> None:
        self.ahead = 0.0
        self._real = time.perf_counter

    def __call__(self) -> float:
        return self._real() + self.ahead


class Import(Node):
    """Import a module that nothing else imports."""

    name: str

    def run(self, ctx: Context) -> int:
        for _ in range(2):  # the second time it is there
            importlib.import_module(self.name)
        return 1


class Work(Node):
    """Work for an hour."""

    def run(self, ctx: Context) -> int:
        time.perf_counter.ahead += HOURS  # type: ignore[attr-defined]
        return 1


class Named(Node, libraries=("slow_library", "torn_library")):
    """Use a library that the class names."""

    def run(self, ctx: Context) -> bool:
        return "slow_library" in sys.modules


class AlsoNamed(Named, libraries=("slow_library", "torn_library")):
    """The same as another node type."""


@pytest.fixture
def clock(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Iterator[Clock]:
    (tmp_path / "slow_library.py").write_text(SLOW.format(more="import slow_inner"))
    (tmp_path / "slow_inner.py").write_text(SLOW.format(more=""))
    (tmp_path / "torn_library.py").write_text("1 / 0")
    monkeypatch.syspath_prepend(str(tmp_path))
    clock = Clock()
    monkeypatch.setattr(time, "perf_counter", clock)
    yield clock
    for name in ("slow_library", "slow_inner", "torn_library"):
        sys.modules.pop(name, None)


@pytest.fixture
def bench() -> Bench:
    return Bench(registry=Registry([Import, Work, Named, AlsoNamed]), workers=1)  # steps share the clock


def test_an_import_inside_a_step_is_not_its_time(clock: Clock, bench: Bench) -> None:
    nodes = {"slow": ("Import", {"name": "slow_library"}), "work": ("Work", {})}
    finders = [*sys.meta_path]
    report = bench.run(graph_of(nodes), targets=("slow", "work"))
    assert report.state == "done"
    assert clock.ahead == 3 * HOURS
    assert report.nodes["slow"].seconds < HOURS
    assert report.nodes["work"].seconds >= HOURS
    assert sys.meta_path == finders
    assert gc.isenabled()
    assert sys.modules["slow_library"].__spec__ is not None


@pytest.mark.parametrize(("other", "there"), [("AlsoNamed", True), ("Work", False)])
def test_a_library_that_two_node_types_name_is_there_before_the_first_step(
    clock: Clock, bench: Bench, other: str, there: bool
) -> None:
    graph = graph_of({"named": ("Named", {}), "other": (other, {})}, {"out": "named.out"})
    report = bench.run(graph, targets=("named", "other"))
    assert report.outputs["out"].meta is there
    assert report.nodes["named"].seconds < HOURS


def test_a_failing_import_is_the_node_s_error(clock: Clock, bench: Bench) -> None:
    report = bench.run(graph_of({"torn": ("Import", {"name": "torn_library"})}), targets=("torn",))
    problem = report.nodes["torn"].problem
    assert problem is not None
    assert "ZeroDivisionError" in problem.message
    assert gc.isenabled()
    assert IMPORT_TIME.clock() <= time.perf_counter()
