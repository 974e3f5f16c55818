"""Serves a queue in forks of one process, which are killed: `python -m tests.engine.queue.killed_server`."""

from __future__ import annotations

import json
import os
import signal
import subprocess
import sys
import time
import traceback
from dataclasses import asdict, dataclass
from pathlib import Path

from engine import failpoints
from engine.errors import GraphError
from engine.failpoints import Fault
from engine.queue import QueueLimits, RunQueue, state
from tests.engine.queue.thread_worker import ThreadWorker
from tests.engine.queue.trial_pack import chain

ROOT = Path(__file__).parents[3]
LIMITS = QueueLimits(after_restart="requeue", max_attempts=1000, min_free_bytes=0)
HANGS_AFTER = 60.0


@dataclass(frozen=True)
class Life:
    """One life of a server: it submits what was not accepted yet, and waits for all runs."""

    home: str
    answers: str
    """A file to which it adds a line for each accepted run: the key and the id."""
    runs: int
    """The number of runs to submit; their keys are their numbers."""
    fault: tuple[str, int, str, int] | None = None
    """Where it is killed; see `Fault`."""
    after: float | None = None
    """The seconds after which it is killed from outside."""


@dataclass(frozen=True)
class Death:
    """How a life ended."""

    killed: bool
    code: int
    seconds: float
    ready: float
    """The seconds until the queue was open; 0 if it was never."""
    passed: int
    """The number of failpoints that it passed, if it was not killed."""
    commits: int
    """The number of transactions of the queue, if it was not killed."""
    error: str = ""


def answered(file: Path) -> dict[str, str]:
    """The ids of accepted runs, by key. A torn last line was not received."""
    if not file.exists():
        return {}
    lines = file.read_text().split("\n")[:-1]
    return dict(line.split() for line in lines)


def live(life: Life, report: int) -> None:
    """One life in the fork; writes when it is ready, and at the end how many failpoints it passed."""
    began = time.monotonic()
    state.DISK_SECONDS = 0.02
    failpoints.arm(*([Fault(*life.fault)] if life.fault else []))  # type: ignore[arg-type]
    with RunQueue(Path(life.home), {"device": "cpu"}, LIMITS, worker=ThreadWorker) as queue:
        os.write(report, f"{time.monotonic() - began}\n".encode())
        known = answered(Path(life.answers))
        with open(life.answers, "a") as file:
            for number in range(life.runs):
                if str(number) not in known:
                    file.write(f"{number} {accepted(queue, number)}\n")
                    file.flush()
        while queue.status().pending or queue.status().running:
            time.sleep(0.002)
    passed = failpoints.passed()
    os.write(report, f"{len(passed)} {passed.count('queue.commit')}\n".encode())


def accepted(queue: RunQueue, number: int) -> str:
    """Submit a run as a client does: again with the same key, if the server could not write it."""
    for _ in range(2):
        try:
            return queue.submit(chain(number), key=str(number)).id
        except GraphError as error:
            problem = error.problems[0]
    raise AssertionError(problem)


def fork(life: Life) -> Death:
    """Live a life in a fork."""
    began = time.monotonic()
    reading, writing = os.pipe()
    pid = os.fork()
    if pid == 0:
        try:
            os.close(reading)
            live(life, writing)
        except BaseException:
            os.write(writing, traceback.format_exc().encode())
            os._exit(1)
        os._exit(0)
    os.close(writing)
    killed_at = None if life.after is None else began + life.after
    while True:
        ended, status = os.waitpid(pid, os.WNOHANG)
        if ended:
            break
        now = time.monotonic()
        if now - began > HANGS_AFTER or (killed_at is not None and now > killed_at):
            os.kill(pid, signal.SIGKILL)
            killed_at = None
        time.sleep(0.001)
    with os.fdopen(reading) as pipe:
        text = pipe.read()
    seconds = time.monotonic() - began
    code = os.waitstatus_to_exitcode(status)
    lines = text.split("\n")
    if code == 1:
        return Death(False, code, seconds, 0.0, 0, 0, text)
    ready = float(lines[0]) if lines[0] else 0.0
    passed, commits = map(int, lines[1].split()) if code == 0 else (0, 0)
    return Death(code < 0, code, seconds, ready, passed, commits)


class Server:
    """The process that forks; close it with `close`."""

    def __init__(self) -> None:
        self._process = subprocess.Popen(
            [sys.executable, "-m", "tests.engine.queue.killed_server"],
            cwd=ROOT,
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            text=True,
        )

    def live(self, life: Life) -> Death:
        """Live a life and wait for its end."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps(asdict(life)) + "\n")
        self._process.stdin.flush()
        return Death(**json.loads(self._process.stdout.readline()))

    def close(self) -> None:
        """End the process."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.close()
        self._process.wait(30)
        self._process.stdout.close()


if __name__ == "__main__":
    from engine.packs.registry import Registry

    Registry.find()  # imports the installed packs once
    for line in sys.stdin:
        tree = json.loads(line)
        fault = tree.pop("fault")
        death = fork(Life(**tree, fault=fault and tuple(fault)))
        print(json.dumps(asdict(death)), flush=True)
