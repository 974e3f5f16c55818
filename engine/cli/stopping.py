"""Ctrl-C, once: the run is asked to stop. Twice: the process ends. SIGTERM counts as Ctrl-C."""

from __future__ import annotations

import os
import signal
import socket
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130

_MESSAGE = b"\nStopping as soon as the step under way allows; Ctrl-C again stops at once.\n"
_SHOW_CURSOR = b"\x1b[?25h\n"


@contextmanager
def stopping(ask: Callable[[], None]) -> Iterator[None]:
    """Within this, the first signal asks and the second ends the process; the store survives both.

    A handler written in Python waits until the main thread is back from whatever library it is in, which may
    take minutes. So the number of the signal goes to a thread of its own, through a socket that Python's own
    handler, written in C, writes to at once.

    Args:
        ask: called once, on that thread.
    """
    with _heard_by(lambda number, frame: None) as signals:
        ours, theirs = socket.socketpair()
        theirs.setblocking(False)
        before = signal.set_wakeup_fd(theirs.fileno(), warn_on_full_buffer=False)
        listener = threading.Thread(
            target=_listen, args=(ours, signals, ask), name="safelight-signals", daemon=True
        )
        listener.start()
        try:
            yield
        finally:
            signal.set_wakeup_fd(before)
            theirs.close()
            listener.join()
            ours.close()


def _listen(numbers: socket.socket, signals: list[signal.Signals], ask: Callable[[], None]) -> None:
    """Count the signals until the other end is closed."""
    heard = 0
    while said := numbers.recv(1):
        if said[0] not in signals:
            continue
        heard += 1
        # Unbuffered, since the main thread may be in the middle of a print to the same stream.
        if heard == 1:
            ask()
            os.write(2, _MESSAGE)
        else:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            os._exit(EXIT_CODE)


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this, a signal raises KeyboardInterrupt where the work stands, so that it can be tidied up."""

    def hear(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _heard_by(hear):
        yield


@contextmanager
def _heard_by(hear: Callable[[int, FrameType | None], None]) -> Iterator[list[signal.Signals]]:
    """Signals go to `hear`, except one that the process was told to ignore.

    That is what shells tell the programs that they start in the background.
    """
    signals = [
        number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, hear) for number in signals}
    try:
        yield signals
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
