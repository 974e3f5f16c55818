"""What the engine costs per node that does nothing: plan, run, events, journal, both tiers of the store."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from collections.abc import Iterator, Sequence
from pathlib import Path
from typing import NamedTuple

from tests.bench.bench import ROOT, Row, bench
from tests.bench.earlier import EARLIER, earlier_sources

SMALL, SMALL_ROUNDS = (10, 100, 1000), 10
LARGE, LARGE_ROUNDS = (10_000,), 3
GOAL = 75.0
"""In µs, on the machine on which the goal was set."""
PEER_THEN = {
    "chain": {10: 46.7, 100: 30.6, 1000: 31.6, 10_000: 46.4},
    "fan": {10: 43.1, 100: 32.1, 1000: 32.6, 10_000: 47.0},
}
"""What the peer took on that machine, in µs: from its own `results.json`."""
_MEASURE = Path(__file__).with_name("node_cost.py").read_text("utf-8")


class Cost(NamedTuple):
    """What a node costs, in µs of CPU."""

    run: float
    on_disk: float
    """Until the results are on disk, which is after the run for small graphs."""


@bench
def engine_overhead() -> Iterator[Row]:
    """Chains and fans, every node run once, in processes of ours and of an earlier commit in turn."""
    with earlier_sources() as earlier:
        ours, theirs = least_costs(earlier)
    for shape, peer_then in PEER_THEN.items():
        for size, then in peer_then.items():
            name = f"{shape} of {size:,}"
            cost, peer = ours[name].run, theirs[name].run if name in theirs else None
            scaled = cost if peer is None else cost * then / peer
            yield Row(
                f"engine overhead, {name}",
                cost,
                "µs CPU per node",
                f"<= {GOAL:.0f} where the peer takes {then}",
                scaled <= GOAL,
                f"plan, run, events, journal, memory and disk; the peer is commit {EARLIER}; "
                f"least of {LARGE_ROUNDS if size in LARGE else SMALL_ROUNDS} processes each, in turn; "
                f"{scaled:.1f} where the peer takes {then}",
                peer=peer,
                ratio=None if peer is None else round(peer / cost, 3),
            )
        growth = ours[f"{shape} of 10,000"].on_disk / ours[f"{shape} of 100"].on_disk
        yield Row(
            f"engine overhead, {shape}: 10,000 to 100",
            round(growth, 2),
            "ratio of the cost per node",
            "<= 1.3",
            growth <= 1.3,
            "with the time until the results are on disk, which is after the run for 100 nodes",
        )


def least_costs(earlier: Path | None) -> tuple[dict[str, Cost], dict[str, Cost]]:
    """The least costs of ours and of the earlier commit, by shape and size.

    Args:
        earlier: the sources of the earlier commit; None to measure ours alone.
    """
    ours: dict[str, Cost] = {}
    theirs: dict[str, Cost] = {}
    for sizes, rounds in ((LARGE, LARGE_ROUNDS), (SMALL, SMALL_ROUNDS)):
        for _ in range(rounds):
            for least, root in ((ours, ROOT), (theirs, earlier)):
                for name, cost in {} if root is None else _costs(root, sizes).items():
                    before = least.get(name, cost)
                    least[name] = Cost(min(cost.run, before.run), min(cost.on_disk, before.on_disk))
    return ours, theirs


def _costs(root: Path, sizes: Sequence[int]) -> dict[str, Cost]:
    """Measure the sources in a folder, in a process of their own."""
    environment = os.environ | {"PYTHONPATH": str(root)}
    command = [sys.executable, "-c", _MEASURE, *map(str, sizes)]
    run = subprocess.run(command, cwd=root, env=environment, check=True, capture_output=True)
    return {name: Cost(*pair) for name, pair in json.loads(run.stdout).items()}
