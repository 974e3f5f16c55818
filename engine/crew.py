"""Threads that are kept for the next piece of work."""

from __future__ import annotations

import threading
from collections import Counter
from collections.abc import Callable
from queue import Empty, SimpleQueue

IDLE_SECONDS = 10.0
"""How long a thread without work stays."""
QUICK_SECONDS = 0.001
QUICK_TIMES = 3
SLOW_SHARE = 0.05
"""Work that was done in less so often, but for this share of the times, is better done by one thread."""


class Crew:
    """Hands pieces of work to idle threads, and starts one when none is idle.

    Starting a thread takes about 0.1 ms, which is more than many runs.
    """

    def __init__(self) -> None:
        self._work: SimpleQueue[Callable[[], None]] = SimpleQueue()
        self._lock = threading.Lock()
        self._idle = 0
        self._times: Counter[str] = Counter()
        self._slow: Counter[str] = Counter()

    def note(self, kind: str, seconds: float) -> None:
        """Remember how long a piece of work of some kind took."""
        self._times[kind] += 1
        if seconds > QUICK_SECONDS:
            self._slow[kind] += 1

    def is_quick(self, kind: str) -> bool:
        """True if work of this kind has been done in no time, but for rare exceptions."""
        times = self._times[kind]
        return times >= QUICK_TIMES and self._slow[kind] <= SLOW_SHARE * times

    def hire(self, work: Callable[[], None]) -> bool:
        """Have a piece of work done by another thread; False if the machine gives no more threads.

        Args:
            work: must not raise.
        """
        with self._lock:
            if self._idle:
                self._idle -= 1
                self._work.put(work)
                return True
        try:
            threading.Thread(target=self._serve, args=(work,), name="safelight", daemon=True).start()
        except RuntimeError:
            return False
        return True

    def _serve(self, work: Callable[[], None] | None) -> None:
        while work is not None:
            work()
            with self._lock:
                self._idle += 1
            work = self._next()

    def _next(self) -> Callable[[], None] | None:
        try:
            return self._work.get(timeout=IDLE_SECONDS)
        except Empty:
            with self._lock:
                try:
                    return self._work.get_nowait()  # it was put just now, counting on this thread
                except Empty:
                    self._idle -= 1
                    return None
