"""Waits for the end of a run without blocking a thread."""

from __future__ import annotations

import asyncio

from engine.queue import RunQueue
from engine.queue.stream_events import Hello, RunFinished, ServerClosing
from engine.server.event_hub import EventHub


async def ended(queue: RunQueue, hub: EventHub, run: str, since: int, timeout: float) -> bool:
    """Wait until a run has ended; returns True then, and False after the timeout or if the server stops.

    Args:
        queue: the queue.
        hub: wakes this task when an event is published.
        run: the id of the run.
        since: the number of the last event before the run was submitted.
        timeout: the longest time to wait, in seconds.
    """
    reader = queue.events.subscribe(since)
    try:
        async with asyncio.timeout(timeout):
            with hub.woken() as changed:
                while True:
                    changed.clear()
                    while events := reader.take():
                        for event in events:
                            if isinstance(event.data, ServerClosing):
                                return False
                            if event.run == run and isinstance(event.data, RunFinished):
                                return True
                            if isinstance(event.data, Hello) and event.data.missed and _has_ended(queue, run):
                                return True
                    await changed.wait()
    except TimeoutError:
        return False


def _has_ended(queue: RunQueue, run: str) -> bool:
    return queue.run(run).summary.finished is not None
