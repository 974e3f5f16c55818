"""Handles Ctrl-C and SIGTERM: the first signal cancels the run, the second ends the process.

After SIGTERM, the process is also ended if the run has not stopped within a deadline.
"""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
import time
from collections.abc import Callable, Iterator
from contextlib import contextmanager

EXIT_CODE = 130

_MESSAGE = b"\nStopping as soon as the current step allows; press Ctrl-C again to stop at once.\n"
_LATE = b"The current step did not stop in time; the process ends now. Finished steps are kept.\n"
_SHOW_CURSOR = b"\x1b[?25h\n"


@contextmanager
def stopping(cancel: Callable[[], None], deadline: float) -> Iterator[None]:
    """Context manager: the first signal cancels the run, the second ends the process.

    The store survives both. A signal handler written in Python is called only when the main thread returns
    from native code, which may take minutes. Python's own C handler writes the number of the signal to a
    socket at once, so a separate thread reads that socket.

    Args:
        cancel: called once, on that thread, at the first signal.
        deadline: the seconds after SIGTERM after which the process is ended if the run has not stopped.
    """
    with _handled() as signals:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        listener = threading.Thread(
            target=_listen, args=(ours, signals, cancel, deadline), name="safelight-signals", daemon=True
        )
        listener.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            theirs.close()
            listener.join()
            ours.close()


def _listen(
    numbers: socket.socket, signals: list[signal.Signals], cancel: Callable[[], None], deadline: float
) -> None:
    """Handle the signals that arrive on the socket, until its other end is closed."""
    cancelled = False
    ends_at: float | None = None
    while True:
        numbers.settimeout(None if ends_at is None else max(ends_at - time.monotonic(), 0.001))
        try:
            received = numbers.recv(1)
        except TimeoutError:
            os.write(2, _LATE)
            _end()
        if not received:
            return
        if received[0] not in signals:
            continue
        if cancelled:
            _end()
        cancelled = True
        if received[0] == signal.SIGTERM:
            ends_at = time.monotonic() + deadline
        cancel()
        # Unbuffered, since the main thread may be in the middle of a print to the same stream.
        os.write(2, _MESSAGE)


def _end() -> None:
    """End the process immediately."""
    if sys.stderr.isatty():
        os.write(2, _SHOW_CURSOR)
    os._exit(EXIT_CODE)


@contextmanager
def _handled() -> Iterator[list[signal.Signals]]:
    """Context manager: SIGINT and SIGTERM only wake the listening thread; ignored signals stay ignored.

    Shells start programs in the background with SIGINT ignored.
    """
    signals = [
        number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, lambda number, frame: None) for number in signals}
    try:
        yield signals
    finally:
        for number, former in before.items():
            signal.signal(number, former)
