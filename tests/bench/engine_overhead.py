"""What the engine costs per node that does nothing: plan, run, events, journal, both tiers of the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections import deque
from collections.abc import Callable, Iterator
from pathlib import Path

from engine.document.graph import Graph
from engine.events import Event
from tests.bench.bench import ROOT, Row, bench, new_home, stopwatch
from tests.bench.earlier import EARLIER, earlier_sources
from tests.bench.trivial import chain, fan, session

SIZES = (10, 100, 1000, 10_000)
ROUNDS = 3
GOAL = 75.0
SHAPES = (chain, fan)
_OURS = "from tests.bench.engine_overhead import costs; print(costs())"
_THEIRS = """
from json import dumps
from tests.bench.engine_overhead import engine_overhead
print(dumps({row.name: row.value for row in engine_overhead()}))
"""


@bench
def engine_overhead() -> Iterator[Row]:
    """Chains and fans, every node run once, in processes of ours and of an earlier commit in turn."""
    with earlier_sources() as earlier:
        ours, theirs = least_costs(earlier)
    for shape in SHAPES:
        for size in SIZES:
            name = _name(shape, size)
            cost, peer = ours[name], theirs.get(name)
            yield Row(
                name,
                cost,
                "µs CPU per node",
                f"<= {GOAL:.0f}",
                cost <= GOAL,
                f"plan, run, events, journal, memory and disk; the peer is commit {EARLIER}; "
                f"least of {ROUNDS} processes each, in turn",
                peer=peer,
                ratio=None if peer is None else round(peer / cost, 3),
            )
        growth = ours[_name(shape, 10_000)] / ours[_name(shape, 100)]
        yield Row(
            f"engine overhead, {shape.__name__}: 10,000 to 100",
            round(growth, 2),
            "ratio of the cost per node",
            "<= 1.3",
            growth <= 1.3,
            "of the figures above; the results of 100 nodes are written to disk after the run",
        )


def least_costs(earlier: Path | None) -> tuple[dict[str, float], dict[str, float]]:
    """The least costs of ours and of the earlier commit, by the name of the row.

    Args:
        earlier: the sources of the earlier commit; None to measure ours alone.
    """
    ours: dict[str, float] = {}
    theirs: dict[str, float] = {}
    for _ in range(ROUNDS):
        for least, root, call in ((ours, ROOT, _OURS), (theirs, earlier, _THEIRS)):
            if root is None:
                continue
            environment = os.environ | {"PYTHONPATH": str(root)}
            run = subprocess.run(
                [sys.executable, "-c", call], cwd=root, env=environment, check=True, capture_output=True
            )
            for name, cost in json.loads(run.stdout).items():
                least[name] = min(cost, least.get(name, cost))
    return ours, theirs


def costs() -> str:
    """What this process measures, as JSON: its name -> µs of CPU per node."""
    return json.dumps({_name(shape, size): cost(shape, size) for shape in SHAPES for size in SIZES})


def cost(shape: Callable[[int, int], Graph], size: int) -> float:
    """The least µs of CPU per node of several runs, each with new literals."""
    events: deque[Event] = deque(maxlen=1000)  # as the command line keeps the newest
    took = []
    with new_home() as home, session(home) as ours:
        ours.run(shape(3, 999_999_999))  # opens the store
        for salt in range(max(8, 600 // size)):
            checked = ours.check(shape(size, 10**6 * (salt + 1)))
            with stopwatch() as one:
                report = ours.run_plan(ours.plan_checked(checked), events.append)
            assert report.state == "done"
            assert all(node.cache == "none" for node in report.nodes.values())
            took.append(one.cpu / size * 1e6)
    return round(min(took), 1)


def _name(shape: Callable[[int, int], Graph], size: int) -> str:
    return f"engine overhead, {shape.__name__} of {size:,}"
