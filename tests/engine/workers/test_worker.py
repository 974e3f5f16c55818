"""A worker process over a home of its own, whose pack has nodes that wait, print, crash and exit."""

from __future__ import annotations

import os
import signal
import subprocess
import sys
import time
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest

from engine.document.graph import Entry, From, Graph, Literal
from engine.document.run_request import RunRequest
from engine.events import Done, Event, OutputSummary, Printed, Progress, Started
from engine.workers.worker import Worker, WorkerRun

PACK = '''
import ctypes, os, subprocess, sys, time
from typing import Literal
from engine.context import Context
from engine.node import Node


class Add(Node):
    """Add two numbers, and print on the way."""

    a: int = 1
    b: int = 1

    def run(self, ctx: Context) -> int:
        print("printed by a node")
        subprocess.run([sys.executable, "-c", "print('printed by a child')"], check=True)
        return self.a + self.b


class Wait(Node, pure=False):
    """Wait in many short steps."""

    seconds: float = 30.0

    def run(self, ctx: Context) -> float:
        for _ in ctx.track(int(self.seconds / 0.02)):
            time.sleep(0.02)
        return self.seconds


class Obey(Node, pure=False):
    """Wait for a request."""

    def run(self, ctx: Context) -> str:
        for _ in ctx.track(3000):
            if requests := ctx.requests():
                return ",".join(sorted(requests))
            time.sleep(0.02)
        return "nothing"


class Die(Node):
    """End the process."""

    how: Literal["exit", "segfault", "kill", "hang"] = "exit"

    def run(self, ctx: Context) -> int:
        if self.how == "exit":
            os._exit(3)
        if self.how == "segfault":
            ctypes.string_at(0)
        if self.how == "kill":
            os.kill(os.getpid(), 9)
        while True:
            time.sleep(0.1)
'''


@pytest.fixture
def home(tmp_path: Path) -> Path:
    (tmp_path / "home" / "nodes").mkdir(parents=True)
    (tmp_path / "home" / "nodes" / "trial.py").write_text(PACK)
    return tmp_path / "home"


Start = Callable[[], Worker]


@pytest.fixture
def start(home: Path, tmp_path: Path) -> Iterator[Start]:
    workers = []
    with (tmp_path / "log").open("ab") as log:

        def started() -> Worker:
            worker = Worker(home, {"device": "cpu"}, log=log)
            workers.append(worker)
            worker.ready.result(60)
            return worker

        yield started
        for worker in workers:
            worker.kill()


def request(type: str, **inputs: Any) -> RunRequest:
    entry = Entry(f"{type}@1", {name: Literal(value) for name, value in inputs.items()})
    return RunRequest(Graph({"node": entry}, outputs={"value": From("node", "out")}))


def test_a_run_gives_its_events_and_its_report_and_may_print(start: Start, tmp_path: Path) -> None:
    worker = start()
    events: list[Event] = []
    ended = worker.run(request("Add", a=2, b=3), events.append).result(60)
    assert ended.state == "done"
    assert ended.report is not None
    assert ended.report["outputs"]["value"]["value"] == 5
    kinds = [type(event).__name__ for event in events]
    assert kinds[0] == "Planned"
    assert {"Done", "OutputWritten", "Finished"} <= {*kinds}
    (done,) = [event for event in events if isinstance(event, Done)]
    assert (done.outputs, done.memory) == ((OutputSummary("out", "int", "5"),), None)
    printed = [(event.text, event.node) for event in events if isinstance(event, Printed)]
    assert printed == [("printed by a node", "node"), ("printed by a child", "node")]
    again = worker.run(request("Add", a=2, b=3)).result(60)
    assert again.report is not None
    assert again.report["nodes"]["node"]["state"] == "cached", "the same worker goes on"
    worker.close()
    assert not worker.alive
    log = (tmp_path / "log").read_text()
    assert "printed by a node" in log
    assert "printed by a child" in log


def test_a_graph_with_errors_is_refused_with_its_problems(start: Start) -> None:
    worker = start()
    ended = worker.run(request("Ad")).result(60)
    assert ended.state == "refused"
    assert [(problem.code, problem.node) for problem in ended.problems] == [("unknown_type", "node")]
    assert worker.run(request("Add")).result(60).state == "done", "the worker goes on"


def begun(worker: Worker, what: RunRequest, sign: type[Event]) -> WorkerRun:
    """A run that has come so far that it has sent an event of a kind."""
    events: list[Event] = []
    run = worker.run(what, events.append)
    deadline = time.monotonic() + 60
    while not any(isinstance(event, sign) for event in events):
        assert time.monotonic() < deadline
        time.sleep(0.01)
    return run


def test_a_running_and_a_waiting_run_are_cancelled_and_the_next_one_runs(start: Start) -> None:
    worker = start()
    running = begun(worker, request("Wait"), Progress)
    waiting, next_one = worker.run(request("Wait")), worker.run(request("Add"))
    waiting.cancel()
    running.cancel()
    assert running.result(20).state == "cancelled"
    assert waiting.result(20).state == "cancelled"
    assert next_one.result(20).state == "done"
    assert worker.alive


def test_a_request_reaches_the_running_node(start: Start) -> None:
    worker = start()
    run = begun(worker, request("Obey"), Progress)
    run.ask("node", "checkpoint")
    ended = run.result(30)
    assert ended.report is not None
    assert ended.report["outputs"]["value"]["value"] == "checkpoint"


@pytest.mark.parametrize(("how", "word"), [("exit", "code 3"), ("segfault", "SIGSEGV"), ("kill", "killed")])
def test_a_worker_that_dies_ends_all_its_runs_with_the_reason(start: Start, how: str, word: str) -> None:
    worker = start()
    dying, behind = worker.run(request("Die", how=how)), worker.run(request("Add"))
    for run in (dying, behind):
        ended = run.result(60)
        assert (ended.state, ended.problems[0].code) == ("died", "worker_died")
        assert word in ended.problems[0].message
    assert worker.run(request("Add")).result(60).state == "died", "a dead worker takes no run"
    assert start().run(request("Add")).result(60).state == "done", "another one does"


def test_a_run_that_does_not_stop_is_killed_after_its_grace(start: Start) -> None:
    worker = start()
    run = begun(worker, request("Die", how="hang"), Started)
    asked = time.monotonic()
    run.cancel(grace=0.5)
    assert run.result(20).state == "died"
    assert time.monotonic() - asked >= 0.5, "it was given its time to stop"


def test_a_worker_ends_when_its_owner_is_killed(home: Path, tmp_path: Path) -> None:
    code = (
        "import sys, time; from pathlib import Path; from engine.workers.worker import Worker\n"
        f"worker = Worker(Path({str(home)!r}), {{'device': 'cpu'}}); worker.ready.result(60)\n"
        "print(worker.pid, flush=True); time.sleep(60)"
    )
    root = str(Path(__file__).parents[3])
    environment = {**os.environ, "PYTHONPATH": root}
    owner = subprocess.Popen([sys.executable, "-c", code], stdout=subprocess.PIPE, text=True, env=environment)
    assert owner.stdout is not None
    pid = int(owner.stdout.readline())
    owner.send_signal(signal.SIGKILL)
    owner.wait()
    owner.stdout.close()
    deadline = time.monotonic() + 20
    while Path(f"/proc/{pid}/stat").exists() and Path(f"/proc/{pid}/stat").read_text().split()[2] != "Z":
        assert time.monotonic() < deadline, "the worker outlives its owner"
        time.sleep(0.05)


def test_a_worker_describes_its_devices_also_while_it_runs(start: Start) -> None:
    worker = start()
    run = begun(worker, request("Wait"), Progress)
    found = worker.devices().result(20)
    assert (found.pid, found.device, found.models) == (worker.pid, "cpu", ())
    assert found.devices[0].device == "cpu"
    assert found.settings["dtype"] == "float32"
    run.cancel()
    run.result(20)
    worker.kill()
    with pytest.raises(RuntimeError):
        worker.devices().result(20)
