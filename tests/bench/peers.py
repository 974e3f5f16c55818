"""What a node that does nothing costs here and in other engines: equal graphs, equal results, in turn."""

from __future__ import annotations

import json
import random
import statistics
import subprocess
from collections.abc import Iterator
from contextlib import contextmanager
from pathlib import Path
from typing import Any, Protocol

from engine.events import Event
from engine.session import Session
from tests.bench.bench import ROOT, Row, bench, new_home, stopwatch
from tests.bench.trivial import chain, fan, session

PYTHON = ROOT / ".bench-venv" / "bin" / "python"
PEERS = {
    "Hamilton": ("beside it", (7, 7, 7), "ours keeps every result on disk and a journal, Hamilton nothing"),
    "Hamilton with its cache": (
        "ratio >= 1",
        (7, 7, 3),
        "both keep every result on disk, ours a journal too",
    ),
    "Dagster": ("ratio >= 1", (7, 3, 1), "ours keeps every result on disk and a journal, Dagster nothing"),
}
"""Goal, rounds at each size, and what the two sides do beside calling functions."""
SIZES = (10, 100, 1000)

# Measured once with ComfyUI 0.3.64, of whose engine there is no package, on two cores; not in this run.
COMFYUI_US_AT_30 = 527.0
COMFYUI_CACHED_MS_AT_30 = 15.6


class Side(Protocol):
    """One graph in one engine."""

    def run(self, salt: int) -> tuple[float, list[int]]:
        """CPU seconds and results; building and checking the graph is not timed, on neither side."""
        ...


class Ours:
    """Plan, run, events, journal and both tiers of the store: all that a user's run does."""

    def __init__(self, session: Session, shape: str, size: int) -> None:
        self._session, self._size = session, size
        self._graph = chain if shape == "chain" else fan

    def run(self, salt: int) -> tuple[float, list[int]]:
        """As above."""
        checked = self._session.check(self._graph(self._size, salt))
        events: list[Event] = []
        with stopwatch() as took:
            report = self._session.run_plan(self._session.plan_checked(checked), events.append)
        assert report.state == "done"
        plan = self._session.plan_checked(checked)
        found = (self._session.store.load(plan.steps[node].key or "") for node in plan.targets)
        return took.cpu, [int(result.outputs["out"]) for result in found if result]  # type: ignore[call-overload]


class Peer:
    """Another engine, in a process of its own and there in an environment of its own."""

    def __init__(self, name: str, shape: str, size: int) -> None:
        worker = Path(__file__).with_name("peers_worker.py")
        self._process = subprocess.Popen(
            [PYTHON, str(worker), name, shape, str(size)],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=subprocess.DEVNULL,
            text=True,
        )

    def run(self, salt: int) -> tuple[float, list[int]]:
        """As above."""
        assert self._process.stdin is not None
        assert self._process.stdout is not None
        self._process.stdin.write(f"{salt}\n")
        self._process.stdin.flush()
        told: dict[str, Any] = json.loads(self._process.stdout.readline())
        return told["cpu"], told["results"]

    def close(self) -> None:
        """End the process."""
        self._process.communicate(timeout=60)


@contextmanager
def sides(name: str, shape: str, size: int) -> Iterator[tuple[Side, Side]]:
    """Both sides, warm, and proved to answer the same."""
    with new_home() as home, session(home) as session_:
        ours: Side = Ours(session_, shape, size)
        theirs = Peer(name, shape, size)
        for salt in (1, 2):
            mine, other = ours.run(salt)[1], theirs.run(salt)[1]
            assert mine == other, (name, shape, size, mine[:5], other[:5])
        yield ours, theirs
        theirs.close()


def interval(mine: list[float], theirs: list[float]) -> tuple[float, float]:
    """The middle 95 % of the ratio of medians over samples drawn from these again."""
    chance = random.Random(1)
    drawn = sorted(
        statistics.median(chance.choices(theirs, k=len(theirs)))
        / statistics.median(chance.choices(mine, k=len(mine)))
        for _ in range(1000)
    )
    return drawn[25], drawn[975]


@bench
def peers() -> Iterator[Row]:
    """Interleaved A B B A, each run with new values, so that nothing is answered from a cache."""
    if not PYTHON.exists():
        yield Row("peers", 0, "engines", "there", False, "`make bench` sets them up in .bench-venv")
        return
    for name, (goal, all_rounds, keeps) in PEERS.items():
        for shape in ("chain", "fan"):
            for size, rounds in zip(SIZES, all_rounds, strict=True):
                mine: list[float] = []
                theirs: list[float] = []
                with sides(name, shape, size) as (ours, peer):
                    for n in range(rounds):
                        for k, side in enumerate((ours, peer, peer, ours)):
                            cpu = side.run(10**6 * (n + 1) + 10**5 * k)[0] / size * 1e6
                            (mine if side is ours else theirs).append(cpu)
                low, high = interval(mine, theirs)
                ours_us, theirs_us = statistics.median(mine), statistics.median(theirs)
                yield Row(
                    f"{shape} of {size:,} against {name}",
                    round(ours_us, 1),
                    "µs CPU per node",
                    goal,
                    name == "Hamilton" or theirs_us >= ours_us,
                    f"medians of {2 * rounds}, ABBA; ratio {low:.2f} to {high:.2f} (95 %); {keeps}",
                    peer=round(theirs_us, 1),
                    ratio=round(theirs_us / ours_us, 2),
                )


@bench
def comfyui_anchors() -> Iterator[Row]:
    """Our figures at 30 nodes beside those once measured of ComfyUI."""
    with new_home() as home, session(home) as session_:
        ours = Ours(session_, "chain", 30)
        fresh = statistics.median(ours.run(10**6 * (n + 1))[0] for n in range(15)) / 30 * 1e6
        checked = session_.check(chain(30))
        session_.run_plan(session_.plan_checked(checked))
        cached = []
        for _ in range(51):
            with stopwatch() as took:
                session_.run_plan(session_.plan_checked(checked))
            cached.append(took.cpu * 1e3)
    again = statistics.median(cached)
    anchor = "anchor: ComfyUI 0.3.64 as measured once on two like cores, wall time, not in this run"
    yield Row(
        "chain of 30 against ComfyUI (recorded)",
        round(fresh, 1),
        "µs CPU per node",
        "ratio >= 10",
        fresh <= COMFYUI_US_AT_30 / 10,
        anchor,
        peer=COMFYUI_US_AT_30,
        ratio=round(COMFYUI_US_AT_30 / fresh, 1),
    )
    yield Row(
        "cached chain of 30 against ComfyUI (recorded)",
        round(again, 3),
        "ms CPU",
        "ratio >= 31",
        again <= COMFYUI_CACHED_MS_AT_30 / 31,
        anchor,
        peer=COMFYUI_CACHED_MS_AT_30,
        ratio=round(COMFYUI_CACHED_MS_AT_30 / again, 1),
    )
