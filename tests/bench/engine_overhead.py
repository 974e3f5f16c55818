"""What the engine costs per node that does nothing: plan, run, events, journal, both tiers of the store."""

from __future__ import annotations

from collections import deque
from collections.abc import Iterator

from engine.events import Event
from tests.bench.bench import Row, bench, new_home, stopwatch
from tests.bench.trivial import chain, fan, session

SIZES = (10, 100, 1000, 10_000)


@bench
def engine_overhead() -> Iterator[Row]:
    """Chains and fans, every node run once; the least of several runs, each with new literals."""
    for shape in (chain, fan):
        cost: dict[int, float] = {}
        for size in SIZES:
            repeats = max(8, 600 // size)
            events: deque[Event] = deque(maxlen=1000)  # as a face keeps the newest
            with new_home() as home, session(home) as ours:
                ours.run(shape(3, salt=999_999_999))  # opens the store
                cpu, wall = [], []
                for salt in range(repeats):
                    checked = ours.check(shape(size, salt=10**6 * (salt + 1)))
                    with stopwatch() as took:
                        report = ours.run_plan(ours.plan_checked(checked), events.append)
                    assert report.state == "done"
                    assert all(node.cache == "none" for node in report.nodes.values())
                    cpu.append(took.cpu / size * 1e6)
                    wall.append(took.wall / size * 1e6)
            cost[size] = min(cpu)
            yield Row(
                f"engine overhead, {shape.__name__} of {size:,}",
                round(min(cpu), 1),
                "µs CPU per node",
                "<= 75",
                min(cpu) <= 75,
                f"plan, run, events, journal, memory and disk; least of {repeats}; wall {min(wall):.1f} µs",
            )
        growth = cost[10_000] / cost[100]
        yield Row(
            f"engine overhead, {shape.__name__}: 10,000 to 100",
            round(growth, 2),
            "ratio of the cost per node",
            "<= 1.3",
            growth <= 1.3,
            "of the figures above",
        )
