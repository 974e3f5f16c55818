"""Ctrl-C, once: the run is asked to stop. Twice: the process ends. SIGTERM counts as Ctrl-C."""

from __future__ import annotations

import os
import signal
import sys
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from types import FrameType

EXIT_CODE = 130

_MESSAGE = b"\nStopping as soon as the step under way allows; Ctrl-C again stops at once.\n"
_SHOW_CURSOR = b"\x1b[?25h\n"


@contextmanager
def stopping(ask: Callable[[], None]) -> Iterator[None]:
    """Within this, the first signal asks and the second ends the process; the store survives both."""
    asked = False

    def hear(number: int, frame: FrameType | None) -> None:
        nonlocal asked
        # Unbuffered, since the signal may have come in the middle of a print to the same stream.
        if asked:
            if sys.stderr.isatty():
                os.write(2, _SHOW_CURSOR)
            os._exit(EXIT_CODE)
        asked = True
        ask()
        os.write(2, _MESSAGE)

    with _heard_by(hear):
        yield


@contextmanager
def interruptible() -> Iterator[None]:
    """Within this, a signal raises KeyboardInterrupt where the work stands, so that it can be tidied up."""

    def hear(number: int, frame: FrameType | None) -> None:
        raise KeyboardInterrupt

    with _heard_by(hear):
        yield


@contextmanager
def _heard_by(hear: Callable[[int, FrameType | None], None]) -> Iterator[None]:
    """Signals go to `hear`, except one that the process was told to ignore.

    That is what shells tell the programs that they start in the background.
    """
    signals = [
        number for number in (signal.SIGINT, signal.SIGTERM) if signal.getsignal(number) != signal.SIG_IGN
    ]
    before = {number: signal.signal(number, hear) for number in signals}
    try:
        yield
    finally:
        for number, handler in before.items():
            signal.signal(number, handler)
