"""Prints for the command line: results to stdout, everything else to stderr, without control characters."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable, Iterator
from contextlib import contextmanager
from contextvars import ContextVar
from pathlib import Path
from typing import TextIO

from engine.errors import Problem

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[{_CONTROLS}]")
_UNSAFE_IN_LINE = re.compile(f"[{_CONTROLS}\n\t]")


def plain(text: object) -> str:
    """Escape terminal control characters in a text, except line breaks."""
    return _UNSAFE.sub(_escaped, str(text))


def line(text: object) -> str:
    """Put a text on a single line: escape control characters, line breaks and tabs."""
    return _UNSAFE_IN_LINE.sub(_escaped, str(text))


def _escaped(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


_answer: ContextVar[TextIO | None] = ContextVar("answer", default=None)


@contextmanager
def answer_to(stream: TextIO) -> Iterator[None]:
    """Context manager: print results to a stream while `sys.stdout` is redirected."""
    token = _answer.set(stream)
    try:
        yield
    finally:
        _answer.reset(token)


def stdout() -> TextIO:
    """Return the stream for results: standard output."""
    return _answer.get() or sys.stdout


def out(text: object) -> None:
    """Print a line of the result to stdout."""
    print(plain(text), file=stdout())


def err(text: object) -> None:
    """Print a line that is not part of the result to stderr."""
    print(plain(text), file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Print a warning to stderr."""
    err(f"warning: {line(message)}")


def problems(items: Iterable[Problem]) -> None:
    """Print problems to stderr, one per line."""
    for problem in items:
        err(f"{'warning: ' if problem.severity == 'warning' else ''}{line(problem)}")


def as_json(tree: object) -> None:
    """Print the JSON object of `--json` to stdout."""
    print(json.dumps(tree, allow_nan=False), file=stdout())


_here: list[Path] = []  # of the command, for all threads


@contextmanager
def paths_from(folder: Path | None) -> Iterator[None]:
    """Context manager: print paths relative to a folder, although a node may change the current one.

    Args:
        folder: the folder in which the command was started; None if it no longer exists.
    """
    before = _here[:]
    _here[:] = [] if folder is None else [folder]
    try:
        yield
    finally:
        _here[:] = before


def path(of: Path) -> str:
    """Format a path for messages: relative to the folder of the command if it is inside, else absolute."""
    if not _here:
        return str(of)
    absolute = _here[0] / of
    return str(absolute.relative_to(_here[0]) if absolute.is_relative_to(_here[0]) else absolute)


def size(count: int) -> str:
    """Format a number of bytes for people, such as `6.6 MB`."""
    for unit, of in (("GB", 1e9), ("MB", 1e6)):
        if count >= of:
            return f"{count / of:,.1f} {unit}"
    return f"{count / 1e3:,.1f} kB"


def debugging() -> bool:
    """Return True if tracebacks are printed, because of `--debug` or `SAFELIGHT_DEBUG=1`."""
    return os.environ.get("SAFELIGHT_DEBUG", "0") not in ("", "0")
