"""Wakes asyncio tasks that wait for events of runs."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from engine.queue.event_log import EventLog


class EventHub:
    """Wakes asyncio tasks when an event is published.

    Publishing makes one call per event loop, however many tasks wait on it. While that call is pending,
    further events cause no others.

    Args:
        log: the log that events are published to.
    """

    def __init__(self, log: EventLog) -> None:
        self._lock = Lock()
        self._readers: dict[asyncio.AbstractEventLoop, set[asyncio.Event]] = {}
        self._called: set[asyncio.AbstractEventLoop] = set()
        """The loops on which a wake-up is pending."""
        log.listen(self._notify)

    @contextmanager
    def woken(self) -> Iterator[asyncio.Event]:
        """Yield an `asyncio.Event` that is set whenever an event is published, until the block ends."""
        loop, changed = asyncio.get_running_loop(), asyncio.Event()
        with self._lock:
            self._readers.setdefault(loop, set()).add(changed)
        try:
            yield changed
        finally:
            with self._lock:
                self._readers[loop].discard(changed)
                if not self._readers[loop]:
                    del self._readers[loop]
                    self._called.discard(loop)

    def _notify(self) -> None:
        """Schedule a wake-up on each event loop; runs on the thread that publishes."""
        with self._lock:
            loops = [loop for loop in self._readers if loop not in self._called]
            self._called.update(loops)
        for loop in loops:
            with suppress(RuntimeError):  # the loop has closed
                loop.call_soon_threadsafe(self._wake, loop)

    def _wake(self, loop: asyncio.AbstractEventLoop) -> None:
        with self._lock:
            self._called.discard(loop)
            readers = tuple(self._readers.get(loop, ()))
        for changed in readers:
            changed.set()
