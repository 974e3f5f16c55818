"""The output that running steps print: lines on standard error, and an event `Printed` for each line.

`print` is attributed to the step that runs on the calling thread. A program that a step starts, code in C
and the threads of a library write to the standard output that all steps share: such a line is attributed to a
step only if that step runs alone, else the event names no node.
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
"""How many lines of one step become events, and how many characters of each; standard error gets all."""
_NO_MORE = "further lines of this step are only on standard error"


class _Step:
    """A running step, and the line that it has not finished."""

    __slots__ = ("emit", "lines", "node", "text")

    def __init__(self, node: str | None, emit: Emit) -> None:
        self.node, self.emit = node, emit
        self.text, self.lines = "", 0


class Printing:
    """The steps that run in this process, by thread."""

    def __init__(self) -> None:
        self.drain: Callable[[], None] | None = None
        """Takes in what waits on a captured standard output; None if that is not captured."""
        self.reserved = False
        """True if nothing in this process prints to standard output but the answer of a command."""
        self._steps: dict[int, _Step] = {}
        self._aside: set[int] = set()  # the threads that a listener is called on
        self._streams = 0
        self._stream: _Divided | None = None
        self._lock = threading.Lock()

    def begin(self, node: str, emit: Emit) -> _Step | None:
        """Attribute what this thread prints to a step; returns the value that `end` takes."""
        thread = threading.get_ident()
        around = self._steps.get(thread)
        self._steps[thread] = _Step(node, emit)
        return around

    def end(self, around: _Step | None) -> None:
        """Stop attributing what this thread prints to its step.

        Args:
            around: the value that `begin` returned.
        """
        if self.drain is not None:
            self.drain()
        thread = threading.get_ident()
        step = self._steps.pop(thread, None)
        if step is not None and step.text:
            self._send(step, step.text)
        if around is not None:
            self._steps[thread] = around

    def forget(self) -> None:
        """Forget all steps: this is the fork of a process, and the steps run in that process."""
        self.drain, self.reserved = None, False
        self._steps.clear()

    @contextmanager
    def suspended(self) -> Iterator[None]:
        """Within this, what this thread prints belongs to no step, as while a step calls a listener."""
        thread = threading.get_ident()
        self._aside.add(thread)
        try:
            yield
        finally:
            self._aside.discard(thread)

    @contextmanager
    def divided(self) -> Iterator[None]:
        """Replace `sys.stdout` inside the block: the text of steps is captured, other text is passed on."""
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
        """Capture text that this thread prints; False if it belongs to no step."""
        thread = threading.get_ident()
        if thread in self._aside:
            return False
        step = self._steps.get(thread)
        if step is None:
            if not self.reserved or not self._steps:
                return False
            step = self._alone()
        if step is None:
            self.line(text.rstrip("\n"))
            return True
        *lines, step.text = (step.text + text).split("\n")
        for line in lines:
            self._send(step, line)
        return True

    def line(self, text: str) -> None:
        """Capture a line of an unknown thread: it belongs to the running step if only one runs."""
        text = hidden(text)
        step = self._alone()
        if step is not None:
            self._send(step, text)
            return
        _to_stderr(text)
        for emit in {id(step.emit): step.emit for step in list(self._steps.values())}.values():
            with self.suspended():
                emit(Printed(text[:LONGEST_LINE]))

    def _alone(self) -> _Step | None:
        """The running step, if only one runs."""
        steps = list(self._steps.values())
        return steps[0] if len(steps) == 1 else None

    def _send(self, step: _Step, line: str) -> None:
        line = hidden(line)
        _to_stderr(line)
        step.lines += 1
        if step.lines <= MOST_LINES:
            with self.suspended():
                step.emit(Printed(line[:LONGEST_LINE], step.node))
        elif step.lines == MOST_LINES + 1:
            with self.suspended():
                step.emit(Printed(_NO_MORE, step.node))


PRINTING = Printing()
if hasattr(os, "register_at_fork"):  # not on Windows, which has no forks
    os.register_at_fork(after_in_child=PRINTING.forget)


class _Divided(io.TextIOBase):
    """Stands for `sys.stdout` while runs are under way."""

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
