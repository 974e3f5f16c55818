"""Measures what a node costs, with the sources of Safelight on the path, ours or an earlier commit's.

`python -c SOURCE SIZE ...` prints JSON: `{"chain of 10": [cost, cost until the results are on disk], ...}`.
Each is the least µs of CPU per node of several runs with new literals.
"""

from __future__ import annotations

import json
import sys
from collections import deque
from collections.abc import Callable
from typing import Any

from tests.bench.bench import new_home, stopwatch
from tests.bench.trivial import chain, fan, session


def cost(shape: Callable[[int, int], Any], size: int, until_on_disk: bool) -> float:
    """The least µs of CPU per node of several runs.

    Args:
        shape, size: the graph.
        until_on_disk: True to include writing the results that still wait when the run ends.
    """
    events: deque[Any] = deque(maxlen=1000)  # as the command line keeps the newest
    took = []
    with new_home() as home, session(home) as open_session:
        ours: Any = open_session
        run_plan = ours.run_plan if hasattr(ours, "run_plan") else ours.walk  # its name in the earlier commit
        ours.run(shape(3, 999_999_999))  # opens the store
        for salt in range(max(5, 600 // size)):
            checked = ours.check(shape(size, 10**6 * (salt + 1)))
            with stopwatch() as one:
                report = run_plan(ours.plan_checked(checked), events.append)
                if until_on_disk:
                    ours.store.flush()
            assert report.state == "done"
            assert all(node.cache == "none" for node in report.nodes.values())
            took.append(one.cpu / size * 1e6)
    return round(min(took), 1)


if __name__ == "__main__":
    costs = {}
    for shape in (chain, fan):
        for size in map(int, sys.argv[1:]):
            pair = cost(shape, size, until_on_disk=False), cost(shape, size, until_on_disk=True)
            costs[f"{shape.__name__} of {size:,}"] = pair
    print(json.dumps(costs))
