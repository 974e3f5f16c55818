"""Captures what running steps print: each line goes to standard error and becomes an event `Printed`.

A `print` belongs to the step that runs on the calling thread. Programs that a step starts, C code and the
threads of libraries write to the standard output that all steps share: such a line belongs to a step only if
no other step is running; otherwise its event names no node.
"""

from __future__ import annotations

import io
import os
import sys
import threading
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from typing import Any, TextIO

from engine.events import Emit, Printed
from engine.secret_values import hidden

MOST_LINES, LONGEST_LINE = 1000, 10_000
"""The most lines of a step that become events, and the most characters of each; standard error gets all."""
_NO_MORE = "further lines of this step are only on standard error"


class _Step:
    """A running step, with the start of a line whose end it has not printed yet."""

    __slots__ = ("emit", "lines", "node", "text")

    def __init__(self, node: str | None, emit: Emit) -> None:
        self.node, self.emit = node, emit
        self.text, self.lines = "", 0


class Printing:
    """Attributes the text that is printed in this process to the running steps."""

    def __init__(self) -> None:
        self.drain: Callable[[bool], None] | None = None
        """Reads the text that waits in a captured standard output, only whole lines if the argument is true;
        None if it is not captured."""
        self.reserved = False
        """True if standard output is reserved for the result of a command."""
        self._steps: dict[int, _Step] = {}
        self._aside: set[int] = set()  # the threads that are calling a listener
        self._streams = 0
        self._stream: _Divided | None = None
        self._lock = threading.Lock()

    def begin(self, node: str, emit: Emit) -> _Step | None:
        """Attribute what this thread prints to a step from now on; return the value to give to `end`.

        Args:
            node: the id of the step.
            emit: receives an event for each line; what it prints itself belongs to no step.
        """
        thread = threading.get_ident()
        around = self._steps.get(thread)
        self._steps[thread] = _Step(node, emit)
        return around

    def end(self, around: _Step | None) -> None:
        """End the step of this thread, and attribute what the thread prints as before `begin`.

        Args:
            around: the value that `begin` returned.
        """
        if self.drain is not None:
            self.drain(False)
        thread = threading.get_ident()
        step = self._steps.pop(thread, None)
        if step is not None and step.text:
            self._send(step, step.text)
        if around is not None:
            self._steps[thread] = around

    def forget(self) -> None:
        """Discard all steps in a forked process, because they run in the original process."""
        self.drain, self.reserved = None, False
        self._steps.clear()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Within a `with` block, attribute what this thread prints to no step, as in a call of a listener."""
        thread = threading.get_ident()
        self._aside.add(thread)
        try:
            yield
        finally:
            self._aside.discard(thread)

    @contextmanager
    def divided(self) -> Iterator[None]:
        """Replace `sys.stdout` within a `with` block: capture the text of steps, and pass on other text."""
        with self._lock:
            self._streams += 1
            if self._streams == 1:
                sys.stdout = self._stream = _Divided(sys.stdout, self)
        try:
            yield
        finally:
            with self._lock:
                self._streams -= 1
                if not self._streams and self._stream is not None:
                    if sys.stdout is self._stream:
                        sys.stdout = self._stream.beside
                    self._stream = None

    def takes(self, text: str) -> bool:
        """Capture text that this thread prints; return False if it belongs to no step and is not captured."""
        thread = threading.get_ident()
        if thread in self._aside:
            return False
        step = self._steps.get(thread)
        if step is None:
            if not self.reserved or not self._steps:
                return False
            step = self._alone()
        if self.drain is not None:
            self.drain(True)  # lines that were written to the descriptor before this text come before it
        if step is None:
            self.line(text.rstrip("\n"))
            return True
        *lines, step.text = (step.text + text).split("\n")
        for line in lines:
            self._send(step, line)
        return True

    def line(self, text: str) -> None:
        """Capture a line from an unknown thread. It belongs to the running step if there is only one."""
        text = hidden(text)
        step = self._alone()
        if step is not None:
            self._send(step, text)
            return
        _to_stderr(text)
        for emit in {id(step.emit): step.emit for step in list(self._steps.values())}.values():
            emit(Printed(text[:LONGEST_LINE]))

    def _alone(self) -> _Step | None:
        """Return the running step if there is exactly one; otherwise None."""
        steps = list(self._steps.values())
        return steps[0] if len(steps) == 1 else None

    def _send(self, step: _Step, line: str) -> None:
        line = hidden(line)
        _to_stderr(line)
        step.lines += 1
        if step.lines <= MOST_LINES:
            step.emit(Printed(line[:LONGEST_LINE], step.node))
        elif step.lines == MOST_LINES + 1:
            step.emit(Printed(_NO_MORE, step.node))


PRINTING = Printing()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=PRINTING.forget)


class _Divided(io.TextIOBase):
    """Replaces `sys.stdout` during runs; passes text that belongs to no step to the real one (`beside`)."""

    def __init__(self, beside: TextIO, printing: Printing) -> None:
        self.beside, self._printing = beside, printing

    def write(self, text: str) -> int:
        if not self._printing.takes(text):
            self.beside.write(text)
        return len(text)

    def writable(self) -> bool:
        return True

    def flush(self) -> None:
        self.beside.flush()

    def fileno(self) -> int:
        return self.beside.fileno()

    def isatty(self) -> bool:
        return self.beside.isatty()

    @property
    def encoding(self) -> str:  # type: ignore[override]
        return self.beside.encoding

    @property
    def errors(self) -> str | None:  # type: ignore[override]
        return self.beside.errors

    def __getattr__(self, name: str) -> Any:
        return getattr(self.beside, name)


def _to_stderr(line: str) -> None:
    with suppress(OSError, ValueError, AttributeError):  # it is closed, or there is none
        sys.stderr.write(f"{line}\n")
        sys.stderr.flush()
