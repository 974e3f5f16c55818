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
"""In µs, on the machine on which the goal was set."""
SHAPES = (chain, fan)
PEER_THEN = {
    "chain": {10: 46.7, 100: 30.6, 1000: 31.6, 10_000: 46.4},
    "fan": {10: 43.1, 100: 32.1, 1000: 32.6, 10_000: 47.0},
}
"""What the peer took on that machine, in µs: from its own `results.json`."""
_OURS = "from tests.bench.engine_overhead import costs; print(costs())"
_THEIRS = """
from json import dumps
from tests.bench.engine_overhead import engine_overhead
print(dumps({row.name: row.value for row in engine_overhead()}))
"""
_ON_DISK = ", on disk"


@bench
def engine_overhead() -> Iterator[Row]:
    """Chains and fans, every node run once, in processes of ours and of an earlier commit in turn."""
    with earlier_sources() as earlier:
        ours, theirs = least_costs(earlier)
    for shape in SHAPES:
        for size in SIZES:
            name = _name(shape, size)
            cost, peer = ours[name], theirs.get(name)
            then = PEER_THEN[shape.__name__][size]
            scaled = cost if peer is None else cost * then / peer
            yield Row(
                name,
                cost,
                "µs CPU per node",
                f"<= {GOAL:.0f} where the peer takes {then}",
                scaled <= GOAL,
                f"plan, run, events, journal, memory and disk; the peer is commit {EARLIER}; "
                f"least of {ROUNDS} processes each, in turn; {scaled:.1f} where the peer takes {then}",
                peer=peer,
                ratio=None if peer is None else round(peer / cost, 3),
            )
        growth = ours[_name(shape, 10_000) + _ON_DISK] / ours[_name(shape, 100) + _ON_DISK]
        yield Row(
            f"engine overhead, {shape.__name__}: 10,000 to 100",
            round(growth, 2),
            "ratio of the cost per node",
            "<= 1.3",
            growth <= 1.3,
            "with the time until the results are on disk, which is after the run for 100 nodes",
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
    """What this process measures, as JSON: the name of the row -> µs of CPU per node.

    The names that end in `_ON_DISK` stand for the cost until the results are on disk.
    """
    found = {_name(shape, size): cost(shape, size) for shape in SHAPES for size in SIZES}
    for shape in SHAPES:
        for size in (100, 10_000):
            found[_name(shape, size) + _ON_DISK] = cost(shape, size, until_on_disk=True)
    return json.dumps(found)


def cost(shape: Callable[[int, int], Graph], size: int, until_on_disk: bool = False) -> float:
    """The least µs of CPU per node of several runs, each with new literals.

    Args:
        shape, size: the graph.
        until_on_disk: True to include writing the results that still wait when the run ends.
    """
    events: deque[Event] = deque(maxlen=1000)  # as the command line keeps the newest
    took = []
    with new_home() as home, session(home) as ours:
        ours.run(shape(3, 999_999_999))  # opens the store
        for salt in range(max(8, 600 // size)):
            checked = ours.check(shape(size, 10**6 * (salt + 1)))
            with stopwatch() as one:
                report = ours.run_plan(ours.plan_checked(checked), events.append)
                if until_on_disk:
                    ours.store.flush()
            assert report.state == "done"
            assert all(node.cache == "none" for node in report.nodes.values())
            took.append(one.cpu / size * 1e6)
    return round(min(took), 1)


def _name(shape: Callable[[int, int], Graph], size: int) -> str:
    return f"engine overhead, {shape.__name__} of {size:,}"
