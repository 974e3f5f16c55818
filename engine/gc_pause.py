"""Pauses Python's garbage collector during work that makes many objects and hardly any garbage.

Objects that live long can be frozen afterwards (`gc.freeze`): the collector then ignores them until
`gc.unfreeze`. Otherwise it would search them three times, once for each of its generations.
"""

from __future__ import annotations

import gc
from threading import Lock


class _Pause:
    """Context manager that disables the garbage collector; several threads may be inside it at once."""

    def __init__(self) -> None:
        self._lock = Lock()
        self._users = 0  # the number of threads that are inside
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
"""Use it as `with gc_paused:`."""
