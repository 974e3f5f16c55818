"""How soon a server stops, refuses and goes on: SIGTERM, SIGKILL, a second server, a full disk, a cancel."""

from __future__ import annotations

import statistics
import subprocess
import sys
import tempfile
import time
from collections.abc import Iterator
from pathlib import Path

import pytest

from engine.client import Client
from engine.queue.state import DISK_SECONDS
from tests.bench.bench import Row, bench, new_home
from tests.bench.server import MIB, milliseconds, served
from tests.engine.server.conftest import ADD, WAIT, make_home, start_server
from tests.engine.server.test_serving import until
from tests.faults.small_disk import small_disk

TIMES = 3
QUEUED = 500
CANCELS = 40
STEP = 0.02
"""The seconds between two looks at the cancellation in the node `Wait`."""


def running(client: Client, seconds: float = 600.0) -> str:
    """Start a run that waits; returns its id once its node runs."""
    run: str = client.submit(WAIT, {"seconds": seconds})["run"]
    until(lambda: client.run(run)["nodes"].get("it", {}).get("state") == "running")
    return run


@bench
def server_drain() -> Iterator[Row]:
    """SIGTERM while a step runs that checks for requests."""
    seconds, codes = [], []
    for _ in range(TIMES):
        with new_home() as folder:
            server = start_server(make_home(folder / "home"))
            with server.client() as client:
                running(client)
            begun = time.perf_counter()
            codes.append(server.stop())
            seconds.append(time.perf_counter() - begun)
    yield Row(
        "SIGTERM with work running, to the end of the process",
        round(max(seconds), 2),
        "s",
        "<= 10, exit code 0",
        max(seconds) <= 10 and not any(codes),
        f"the most of {TIMES}",
    )


@bench
def server_restart() -> Iterator[Row]:
    """SIGKILL with a full list of runs, then a new start; no run is lost."""
    seconds, lost = [], 0
    with new_home() as folder:
        home = make_home(folder / "home")
        server = start_server(home)
        with server.client() as client:
            client.put("/queue", {"paused": True})
            for number in range(QUEUED):
                client.submit(ADD, {"a": number})
        for _ in range(TIMES):
            server.process.kill()
            server.process.wait()
            begun = time.perf_counter()
            server = start_server(home)
            seconds.append(time.perf_counter() - begun)
            with server.client() as client:
                lost += QUEUED - len(client.get(f"/runs?state=queued&limit={QUEUED}")["runs"])
        server.stop()
    yield Row(
        "SIGKILL, start to the first answer",
        round(max(seconds), 2),
        "s",
        "0 runs lost",
        not lost,
        f"the most of {TIMES}, with {QUEUED} runs in the queue; the interpreter and its imports included",
    )


@bench
def second_server() -> Iterator[Row]:
    """A second server on one home ends with a message."""
    seconds, codes = [], []
    with served() as server:
        words = [sys.executable, "-m", "engine", "serve", "--home", str(server.home), "--port", "0"]
        for _ in range(TIMES):
            begun = time.perf_counter()
            codes.append(subprocess.run(words, capture_output=True, check=False).returncode)
            seconds.append(time.perf_counter() - begun)
    yield Row(
        "a second server on one home, to its refusal",
        round(statistics.median(seconds), 2),
        "s",
        "<= 2, exit code 2",
        statistics.median(seconds) <= 2 and set(codes) == {2},
        f"median of {TIMES}; the interpreter and its imports included",
    )


@bench
def full_disk() -> Iterator[Row]:
    """The queue pauses while the disk is full, and goes on when there is room."""
    seconds, paused = [], 0
    with tempfile.TemporaryDirectory() as place:
        try:
            with small_disk(Path(place), "160m"):
                server = start_server(make_home(Path(place) / "home"))
                with server.client() as client:
                    client.wait(client.submit(ADD, {"a": -1})["run"])
                    filler = Path(place) / "filler"
                    for number in range(TIMES):
                        filler.write_bytes(bytes(110 * MIB))
                        run = client.submit(ADD, {"a": number})["run"]
                        until(lambda: client.info()["paused"] is not None)
                        paused += client.run(run)["summary"]["state"] == "queued"
                        begun = time.perf_counter()
                        filler.unlink()
                        client.wait(run)
                        seconds.append(time.perf_counter() - begun)
                server.stop()
        except pytest.skip.Exception as skipped:
            print(f"no row for a full disk: {skipped}", file=sys.stderr)
            return
    yield Row(
        "room on a full disk, to the end of the run that waited",
        round(max(seconds), 2),
        "s",
        f"<= {DISK_SECONDS + 0.5:g}",
        max(seconds) <= DISK_SECONDS + 0.5 and paused == TIMES,
        f"the most of {TIMES}; the queue looks at the disk every {DISK_SECONDS:g} s",
    )


@bench
def cancel() -> Iterator[Row]:
    """Cancel a run while its node runs."""
    acknowledged, stopped, states = [], [], set()
    with served() as server, server.client() as client:
        for number in range(CANCELS):
            run = running(client, 600.0 + number)
            begun = time.perf_counter()
            client.cancel(run)
            acknowledged.append(time.perf_counter() - begun)
            states.add(client.wait(run)["summary"]["state"])
            stopped.append(time.perf_counter() - begun)
    answer, end = milliseconds(acknowledged, 0.95), milliseconds(stopped, 0.95)
    conditions = f"{CANCELS} runs of a node that looks every {STEP * 1e3:g} ms"
    yield Row("a cancel, to its answer, p95", answer, "ms", "<= 50", answer <= 50, conditions)
    most = STEP * 1e3 + 50
    yield Row(
        "a cancel, to the end of the run, p95",
        end,
        "ms",
        f"<= {most:g}",
        end <= most and states == {"cancelled"},
        conditions,
    )
