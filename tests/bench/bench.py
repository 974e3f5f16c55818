"""What a benchmark is: a function that yields rows, registered in its own file."""

from __future__ import annotations

import resource
import tempfile
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from dataclasses import dataclass
from pathlib import Path

ROOT = Path(__file__).parents[2]
GRAPH = ROOT / "graphs" / "text_to_image.json"


@dataclass(frozen=True)
class Row:
    """One measured figure, against its goal."""

    name: str
    value: float
    unit: str
    goal: str
    ok: bool
    conditions: str
    peer: float | None = None
    """The same figure of the peer, measured in the same run."""
    ratio: float | None = None
    """How much better than the peer: above 1 is better."""


Measure = Callable[[], Iterator[Row]]
BENCHES: list[Measure] = []


def bench(measure: Measure) -> Measure:
    """Register a benchmark; it is run in the order of registration."""
    BENCHES.append(measure)
    return measure


def rows_of(measure: Measure) -> list[Row]:
    """All rows of a benchmark."""
    return list(measure())


@dataclass
class Took:
    """What a piece of work cost this process."""

    cpu: float = 0.0
    wall: float = 0.0


@contextmanager
def stopwatch() -> Iterator[Took]:
    """CPU and wall-clock seconds of what is inside."""
    took = Took()
    cpu, wall = time.process_time(), time.perf_counter()
    yield took
    took.cpu, took.wall = time.process_time() - cpu, time.perf_counter() - wall


def abba(
    first: Callable[[int], object], second: Callable[[int], object], rounds: int
) -> tuple[list[Took], list[Took]]:
    """What two pieces of work cost, measured in turn so that a change of the machine's speed affects both.

    Args:
        first, second: the work; receives another number each time. Both run once before the measurement.
        rounds: the number of rounds; each runs both twice, in the order first, second, second, first.
    """
    took: tuple[list[Took], list[Took]] = ([], [])
    for work in (first, second):
        work(0)
    for number in range(rounds):
        for place, side in enumerate((0, 1, 1, 0)):
            with stopwatch() as one:
                (first, second)[side](4 * number + place + 1)
            took[side].append(one)
    return took


@contextmanager
def new_home() -> Iterator[Path]:
    """An empty home folder."""
    with tempfile.TemporaryDirectory(prefix="safelight-bench-", ignore_cleanup_errors=True) as folder:
        yield Path(folder)


def peak_memory() -> float:
    """The peak resident set of this process in MiB.

    `ru_maxrss` does not serve: a process that a larger one has started begins with the size of that one.
    """
    status = Path("/proc/self/status").read_text("ascii")
    return int(status.partition("VmHWM:")[2].split()[0]) / 1024


def children_cpu() -> float:
    """CPU seconds of all child processes that have ended."""
    used = resource.getrusage(resource.RUSAGE_CHILDREN)
    return used.ru_utime + used.ru_stime
