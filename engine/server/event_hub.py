"""Wakes the readers of events that wait on an event loop."""

from __future__ import annotations

import asyncio
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from threading import Lock

from engine.queue.event_log import EventLog


class EventHub:
    """Wakes all readers on an event loop with one call, so that publishing costs the same for any number.

    While a loop is busy with its readers, further events cause one more wake-up together.

    Args:
        log: the stream of events.
    """

    def __init__(self, log: EventLog) -> None:
        self._lock = Lock()
        self._readers: dict[asyncio.AbstractEventLoop, set[asyncio.Event]] = {}
        self._called: set[asyncio.AbstractEventLoop] = set()
        """The loops that have a wake-up before them."""
        log.listen(self._notify)

    @contextmanager
    def woken(self) -> Iterator[asyncio.Event]:
        """An event that is set after each event of the stream, while the block runs on the event loop."""
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
        """Called on the thread that publishes."""
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
