"""What a run costs when every result is there: plan and run over a checked graph, inside one process."""

from __future__ import annotations

from collections.abc import Iterator

from tests.bench.bench import Row, bench, new_home, stopwatch
from tests.bench.trivial import chain, session


@bench
def cached_rerun() -> Iterator[Row]:
    """A chain that was just run, run again; the median of several."""
    for size, goal in ((30, 0.5), (10_000, 100.0)):
        with new_home() as home, session(home) as ours:
            checked = ours.check(chain(size))
            ours.run_plan(ours.plan_checked(checked))
            repeats = 51 if size == 30 else 7
            cpu, wall = [], []
            for _ in range(repeats):
                with stopwatch() as took:
                    report = ours.run_plan(ours.plan_checked(checked))
                assert all(node.cache == "memory" for node in report.nodes.values())
                cpu.append(took.cpu * 1e3)
                wall.append(took.wall * 1e3)
        middle = sorted(cpu)[repeats // 2]
        yield Row(
            f"fully cached re-run, {size:,} nodes",
            round(middle, 3),
            "ms CPU",
            f"<= {goal:g}",
            middle <= goal,
            f"plan, run and journal; median of {repeats}; wall {sorted(wall)[repeats // 2]:.3f} ms",
        )
