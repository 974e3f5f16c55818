"""Waits for what a queue does on other threads."""

from __future__ import annotations

import time
from collections.abc import Callable

from engine.queue import RunQueue
from engine.queue.snapshot import RunSnapshot

ENDED = ("done", "failed", "cancelled", "interrupted", "refused")


def wait(queue: RunQueue, id: str, seconds: float = 60) -> RunSnapshot:
    """The snapshot of a run after its end."""
    until(lambda: queue.run(id).summary.state in ENDED, seconds)
    return queue.run(id)


def is_running(queue: RunQueue, id: str, node: str = "node") -> bool:
    """Whether a node of a run runs now."""
    state = queue.run(id).nodes.get(node)
    return state is not None and state.state == "running"


def until(condition: Callable[[], object], seconds: float = 60) -> None:
    """Wait for a condition; fails if it does not come true in time."""
    ends = time.monotonic() + seconds
    while not condition():
        assert time.monotonic() < ends, "the condition did not come true"
        time.sleep(0.01)
