"""A process that has imported the engine once and does each job in a fork: a kill costs milliseconds."""

from __future__ import annotations

import gc
import json
import os
import selectors
import signal
import subprocess
import sys
import time
import traceback
from collections.abc import Sequence
from dataclasses import asdict, dataclass, field
from pathlib import Path
from typing import Any

from engine.failpoints import Fault
from tests.faults.work import Job, do

ROOT = Path(__file__).parents[2]
SIDE_BY_SIDE = 4
HANGS_AFTER = 60.0
"""Seconds."""


@dataclass(frozen=True)
class Ended:
    """How a job ended."""

    killed: bool
    """By SIGKILL, wherever that came from."""
    hung: bool
    """It was killed since it did not come to an end."""
    report: dict[str, Any] = field(default_factory=dict)
    """What `do` returned, or `{"error": ...}` with the traceback of what escaped it."""


class Forks:
    """Runs jobs in children of one process."""

    def __init__(self) -> None:
        line = [sys.executable, "-m", "tests.faults.forks"]
        self._process = subprocess.Popen(
            line, cwd=ROOT, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True
        )

    def run(self, *jobs: Job) -> list[Ended]:
        """Do jobs at the same time, and wait for all of them."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(json.dumps([asdict(job) for job in jobs]) + "\n")
        self._process.stdin.flush()
        return [Ended(**ended) for ended in json.loads(self._process.stdout.readline())]

    def each(self, jobs: Sequence[Job]) -> list[Ended]:
        """Do jobs that have nothing to do with one another, a few at a time."""
        starts = range(0, len(jobs), SIDE_BY_SIDE)
        return [ended for start in starts for ended in self.run(*jobs[start : start + SIDE_BY_SIDE])]

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=HANGS_AFTER)


def _serve() -> None:
    gc.collect()
    gc.freeze()  # a collection in a child would copy every page of what was imported
    for line in sys.stdin:
        jobs = [
            Job(**{**job, "faults": tuple(Fault(*fault) for fault in job["faults"])})
            for job in json.loads(line)
        ]
        print(json.dumps([asdict(ended) for ended in _all(jobs)]), flush=True)


def _all(jobs: Sequence[Job]) -> list[Ended]:
    pipes = [os.pipe() for _ in jobs]
    born: list[tuple[int, float]] = []
    for job, pipe in zip(jobs, pipes, strict=True):
        pid = os.fork()
        if not pid:
            for end in {end for each in pipes for end in each} - {pipe[1]}:
                os.close(end)
            _child(job, pipe[1])
        born.append((pid, time.monotonic()))
    for _, writing in pipes:
        os.close(writing)
    return _followed(jobs, [reading for reading, _ in pipes], born)


def _followed(jobs: Sequence[Job], readings: Sequence[int], born: Sequence[tuple[int, float]]) -> list[Ended]:
    """Read what the children tell, kill those whose time has come, bury them."""
    texts = [bytearray() for _ in jobs]
    killed_at = [
        start + (HANGS_AFTER if job.kill_after is None else job.kill_after)
        for job, (_, start) in zip(jobs, born, strict=True)
    ]
    with selectors.DefaultSelector() as selector:
        for n, reading in enumerate(readings):
            selector.register(reading, selectors.EVENT_READ, n)
        while selector.get_map():
            now = time.monotonic()
            waits = [killed_at[key.data] - now for key in selector.get_map().values()]
            for key, _ in selector.select(min(max(0.0, min(waits)), 1.0)):
                if piece := os.read(key.fd, 1 << 16):
                    texts[key.data] += piece
                else:
                    selector.unregister(key.fd)
                    os.close(key.fd)
            now = time.monotonic()
            for key in list(selector.get_map().values()):
                if now >= killed_at[key.data] != float("inf"):
                    killed_at[key.data] = float("inf")
                    os.kill(born[key.data][0], signal.SIGKILL)
    ends = []
    for job, text, (pid, _), at in zip(jobs, texts, born, killed_at, strict=True):
        status = os.waitpid(pid, 0)[1]
        killed = os.WIFSIGNALED(status) and os.WTERMSIG(status) == signal.SIGKILL
        hung = job.kill_after is None and at == float("inf")
        ends.append(Ended(killed, hung, json.loads(text) if text and not killed else {}))
    return ends


def _child(job: Job, writing: int) -> None:
    try:
        report = do(job)
    except BaseException:
        report = {"error": traceback.format_exc()}
    try:
        text = json.dumps(report).encode()
        while text:
            text = text[os.write(writing, text) :]
    finally:
        os._exit(0)


if __name__ == "__main__":
    _serve()
