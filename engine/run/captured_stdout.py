"""Keeps standard output free for the result of a command: text that nodes write to it is captured."""

from __future__ import annotations

import os
import select
import sys
import threading
from collections.abc import Iterator
from contextlib import contextmanager, redirect_stdout
from io import UnsupportedOperation
from typing import TextIO

from engine.run.printed_lines import PRINTING

_JOIN_SECONDS = 1.0
"""The seconds to wait for the end of the captured output. A program that a node started may keep it open."""


_ORDER_SECONDS = 1.0
"""How long printed text waits for the earlier lines of other writers. A listener that prints would otherwise
wait for the reader, which waits for that listener."""


class AnswerLost(Exception):
    """Raised if the result of a command cannot be written to standard output.

    Args:
        cause: the error of the operating system.
    """

    def __init__(self, cause: OSError) -> None:
        super().__init__(str(cause))
        self.cause = cause


@contextmanager
def reserved_stdout() -> Iterator[TextIO]:
    """Redirect standard output to standard error within a `with` block, also for subprocesses.

    Yields:
        the real standard output, for the result of the command.

    Raises:
        AnswerLost: the result cannot be written.
    """
    stdout = sys.stdout
    stdout.flush()
    try:
        number = stdout.fileno()
        sys.stderr.fileno()
    except (UnsupportedOperation, OSError):  # a stream without a file, as in tests
        with _reserved(), redirect_stdout(sys.stderr):
            yield stdout
        return
    answer = os.fdopen(
        os.dup(number),
        "w",
        buffering=1 if stdout.isatty() else -1,
        encoding=stdout.encoding,
        errors="backslashreplace",
    )
    try:
        with captured_stdout(number), redirect_stdout(sys.stderr):
            yield answer
    finally:
        try:
            answer.close()
        except OSError as error:
            raise AnswerLost(error) from None


@contextmanager
def captured_stdout(number: int = 1) -> Iterator[None]:
    """Within a `with` block, pass what is written to the descriptor of standard output to `PRINTING`.

    Args:
        number: the file descriptor.
    """
    real = os.dup(number)
    capture = _Capture(number) if hasattr(select, "poll") else None
    if capture is None:  # Windows cannot read a pipe without waiting
        os.dup2(2, number)
    try:
        with _reserved():
            yield
    finally:
        os.dup2(real, number)
        os.close(real)
        if capture is not None:
            capture.end()


@contextmanager
def _reserved() -> Iterator[None]:
    before, PRINTING.reserved = PRINTING.reserved, True
    try:
        yield
    finally:
        PRINTING.reserved = before


class _Capture:
    """Replaces a file descriptor by a pipe. A thread reads the pipe, and so does each step when it ends."""

    def __init__(self, number: int) -> None:
        self._pipe, write = os.pipe()
        os.set_blocking(self._pipe, False)
        os.dup2(write, number)
        os.close(write)
        self._pending = b""
        self._lock = threading.Lock()
        self._before, PRINTING.drain = PRINTING.drain, self._drain
        self._reader = threading.Thread(target=self._read, name="safelight-printed", daemon=True)
        self._reader.start()

    def end(self) -> None:
        """Wait until the rest is read; call this after the real descriptor was restored."""
        PRINTING.drain = self._before
        self._reader.join(_JOIN_SECONDS)

    def _read(self) -> None:
        poll = select.poll()
        poll.register(self._pipe, select.POLLIN)
        while True:
            poll.poll()
            with self._lock:
                if not self._take(whole_lines=True):
                    break
        os.close(self._pipe)

    def _drain(self, whole_lines: bool) -> None:
        if self._lock.acquire(timeout=_ORDER_SECONDS if whole_lines else -1):
            try:
                self._take(whole_lines)
            finally:
                self._lock.release()

    def _take(self, whole_lines: bool) -> bool:
        """Read the content of the pipe and pass its lines to `PRINTING`; return False at its end.

        Args:
            whole_lines: True to keep an incomplete last line until the rest of it arrives.
        """
        at_end = False
        while True:
            try:
                data = os.read(self._pipe, 1 << 16)
            except BlockingIOError:
                break
            except OSError:  # the reader has closed it
                return False
            if not data:
                at_end = True
                break
            self._pending += data
            *lines, self._pending = self._pending.split(b"\n")
            for line in lines:
                PRINTING.line(_text(line))
        if self._pending and (at_end or not whole_lines):
            line, self._pending = self._pending, b""
            PRINTING.line(_text(line))
        return not at_end


def _text(line: bytes) -> str:
    return line.decode("utf-8", "backslashreplace").rstrip("\r")
