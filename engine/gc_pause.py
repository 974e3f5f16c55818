"""Pauses Python's garbage collector during work that makes many objects and hardly any garbage."""

from __future__ import annotations

import gc
from collections.abc import Iterator
from contextlib import contextmanager
from threading import Lock


class _Pause:
    users = 0  # the number of threads inside `gc_paused`
    enabled = True  # whether the collector was enabled before the first of them
    lock = Lock()


@contextmanager
def gc_paused() -> Iterator[None]:
    """Within this, the collector does not run; several threads may be in it."""
    with _Pause.lock:
        if not _Pause.users:
            _Pause.enabled = gc.isenabled()
            gc.disable()
        _Pause.users += 1
    try:
        yield
    finally:
        with _Pause.lock:
            _Pause.users -= 1
            if not _Pause.users and _Pause.enabled:
                gc.enable()
