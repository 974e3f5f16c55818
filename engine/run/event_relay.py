"""Passes the events of a run to its listener, one at a time."""

from __future__ import annotations

import sys
import threading

from engine.cancel import Cancel
from engine.events import Emit, Event
from engine.run.printed_lines import PRINTING

_LISTENER_FRAMES = 200
"""How many nested calls a listener may need."""


class EventRelay:
    """Passes events from any thread to the listener, one at a time.

    If the listener raises, it receives no further events; the run continues, and raises that exception
    (`fault`) when it ends. Ctrl-C inside the listener also cancels the run.

    Args:
        emit: receives the events; None for no listener.
        cancel: the cancellation flag of the run.
    """

    def __init__(self, emit: Emit | None, cancel: Cancel) -> None:
        self._emit, self._cancel = emit, cancel
        self.listens = emit is not None
        """False if there is no listener, so that callers need not create events."""
        self._lock = threading.RLock()
        self.fault: BaseException | None = None
        """The exception that the listener has raised; None if it has raised none."""

    def from_step(self, event: Event) -> None:
        """Pass on an event that a running node sends; text that the listener prints is not the node's.

        Raises:
            RecursionError: the node has called functions almost to the recursion limit. The listener would
                reach the limit in the middle of its work.
        """
        _require_frames()
        with PRINTING.suspended():
            self(event)

    def __call__(self, event: Event) -> None:
        """Pass an event to the listener."""
        with self._lock:
            if self._emit is None:
                return
            try:
                self._emit(event)
            except BaseException as error:
                self._emit, self.fault = None, error
                if not isinstance(error, Exception):
                    self._cancel.ask()


def _require_frames() -> None:
    """Raise RecursionError if fewer than `_LISTENER_FRAMES` calls are left until the recursion limit."""
    try:
        sys._getframe(max(sys.getrecursionlimit() - _LISTENER_FRAMES, 1))
    except ValueError:  # the stack is not so deep
        return
    raise RecursionError("maximum recursion depth exceeded")
