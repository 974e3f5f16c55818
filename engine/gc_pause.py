"""Pauses Python's garbage collector during work that makes many objects and hardly any garbage.

Objects that stay for long can be frozen afterwards (`gc.freeze`): the collector does not search them until
`gc.unfreeze`. It would search them three times, once for each of its generations.
"""

from __future__ import annotations

import gc
from threading import Lock


class _Pause:
    """A context manager in which the collector does not run; several threads may be in it."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0  # the number of threads that are in it
        self._enabled = True  # whether the collector was enabled before the first of them

    def __enter__(self) -> None:
        with self._lock:
            if not self._users:
                self._enabled = gc.isenabled()
                gc.disable()
            self._users += 1

    def __exit__(self, *_: object) -> None:
        with self._lock:
            self._users -= 1
            if not self._users and self._enabled:
                gc.enable()


gc_paused = _Pause()
"""`with gc_paused:`"""
