"""A thread that sees to what waits, and ends when for a while nothing has."""

from __future__ import annotations

import threading
from collections.abc import Callable

_IDLE_ROUNDS = 20


class Ticker:
    """Calls `work` again and again for as long as there is some.

    Args:
        work: does what is due; returns in how many seconds to ask again, or None if nothing waits.
        seconds: how often to ask while nothing waits. After 20 such rounds the thread ends.
    """

    def __init__(self, work: Callable[[], float | None], seconds: float) -> None:
        self.alive = False
        """Whether what begins to wait now will be seen to."""
        self._work = work
        self._seconds = seconds
        self._closed = threading.Event()
        self._lock = threading.Lock()

    def start(self) -> None:
        """Begin, unless it has begun or was closed; to be called after something was made to wait."""
        with self._lock:
            if self.alive or self._closed.is_set():
                return
            self.alive = True
            try:
                threading.Thread(target=self._run, name="safelight-store", daemon=True).start()
            except RuntimeError:  # no more threads: whoever comes next to the store does the work
                self.alive = False

    def close(self) -> None:
        """End soon; what waits is left."""
        self._closed.set()

    def _run(self) -> None:
        idle = 0
        wait = self._seconds
        try:
            while idle < _IDLE_ROUNDS and not self._closed.wait(wait):
                due = self._work()
                idle = idle + 1 if due is None else 0
                wait = self._seconds if due is None else due
        finally:
            self.alive = False
        if self._work() is not None:  # it began to wait while `alive` still said that it would be seen to
            self.start()
