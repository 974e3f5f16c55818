"""What the command line says, and where: answers on stdout, all else on stderr, no control characters."""

from __future__ import annotations

import json
import os
import re
import sys
from collections.abc import Iterable
from pathlib import Path

from engine.errors import Problem

_CONTROLS = "\x00-\x08\x0b-\x1f\x7f-\x9f\u2028\u2029\u202a-\u202e\u2066-\u2069"
_UNSAFE = re.compile(f"[{_CONTROLS}]")
_UNSAFE_IN_LINE = re.compile(f"[{_CONTROLS}\n\t]")


def plain(text: object) -> str:
    """Text that a terminal cannot take for a command: control characters are spelled out, lines are kept."""
    return _UNSAFE.sub(_spelled, str(text))


def line(text: object) -> str:
    """The same, in one line."""
    return _UNSAFE_IN_LINE.sub(_spelled, str(text))


def _spelled(match: re.Match[str]) -> str:
    return match[0].encode("unicode_escape").decode()


def out(text: object) -> None:
    """A line of the answer."""
    print(plain(text))


def err(text: object) -> None:
    """A line beside the answer."""
    print(plain(text), file=sys.stderr, flush=True)


def warn(message: str) -> None:
    """Something is not as it should be and harms nothing."""
    err(f"warning: {line(message)}")


def problems(found: Iterable[Problem]) -> None:
    """One line each."""
    for problem in found:
        err(f"{'warning: ' if problem.severity == 'warning' else ''}{line(problem)}")


def as_json(tree: object) -> None:
    """The one object that `--json` promises."""
    print(json.dumps(tree, allow_nan=False))


def path(of: Path) -> str:
    """A path as short as it can be said here."""
    absolute = of.absolute()
    here = Path.cwd()
    return str(absolute.relative_to(here) if absolute.is_relative_to(here) else absolute)


def debugging() -> bool:
    """True if tracebacks are wanted: `--debug`, or `SAFELIGHT_DEBUG=1`."""
    return os.environ.get("SAFELIGHT_DEBUG", "0") not in ("", "0")
