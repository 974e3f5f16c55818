"""Keeps Python's garbage collector from looking through a large plan again and again while it is made."""

from __future__ import annotations

import gc
from threading import Lock

OBJECTS = 100_000
"""How many new objects it waits for meanwhile; by default 700."""


class Seldom:
    """Within it, collections are rare: of 10,000 new steps none is garbage, and each look is lost time.

    Any number of threads may be within at once.
    """

    def __init__(self) -> None:
        self._lock = Lock()
        self._within = self._before = 0

    def __enter__(self) -> None:
        with self._lock:
            self._within += 1
            if self._within == 1:
                self._before, *older = gc.get_threshold()
                if 0 < self._before < OBJECTS:
                    gc.set_threshold(OBJECTS, *older)

    def __exit__(self, *raised: object) -> None:
        with self._lock:
            self._within -= 1
            if not self._within:
                gc.set_threshold(self._before, *gc.get_threshold()[1:])


seldom = Seldom()
