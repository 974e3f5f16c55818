"""Many values for one input of a graph, and how they are written: `10,20,30`, `3:9:2`, `@prompts.txt`."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from engine.errors import GraphError, short
from engine.paths import expanded
from engine.values import Json

MOST = 10_000
"""How many values one sweep may have, and how many combinations all sweeps of a run."""
MAX_BYTES = 32 << 20
"""How large a file of values may be."""

_NUMBER = r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]*)?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?"
_RANGE = re.compile(rf"\s*({_NUMBER}):({_NUMBER})(?::({_NUMBER}))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sweep:
    """The values that an input of the graph takes, one after the other."""

    values: tuple[Json, ...]


def words(spec: str, *, numbers: bool = False) -> list[str]:
    """The words that a sweep lists.

    Args:
        spec: words between commas, with double quotes as in a CSV file around one that has a comma itself; or
            `@FILE` for a file of one value a line, whose empty lines count for nothing.
        numbers: True if `start:stop` and `start:stop:step` stand for all numbers from start to stop, stop
            among them when a step hits it.

    Raises:
        ValueError: message and perhaps hint: it is written otherwise, has no values or more than `MOST`.
    """
    listed = _lines(spec[1:]) if spec.startswith("@") else _separated(spec)
    if not listed:
        raise ValueError("lists no value")
    found: list[str] = []
    for word in listed:
        found += _range(word) if numbers and ":" in word else [word]
        if len(found) > MOST:
            raise ValueError(f"lists more than {MOST:,} values")
    return found


def _separated(spec: str) -> list[str]:
    try:
        (listed,) = csv.reader([spec], strict=True, skipinitialspace=True)
    except (csv.Error, ValueError) as error:
        hint = 'put quotes around a value that has commas or quotes, and write "" for a quote in it'
        raise ValueError(f"cannot be read: {error}", hint) from None
    return listed


def _lines(name: str) -> list[str]:
    try:
        with expanded(name).open("rb") as file:
            data = file.read(MAX_BYTES + 1)
        if len(data) > MAX_BYTES:
            raise ValueError(f"names {name}, which is larger than {MAX_BYTES:,} bytes")
        return [line for line in data.decode("utf-8-sig").splitlines() if line.strip()]
    except GraphError as error:
        raise ValueError(f"names a file: {error.problems[0].message}", error.problems[0].hint) from None
    except OSError as error:
        hint = "put quotes around a value that begins with @, as in '\"@…\"'"
        raise ValueError(
            f"names the file {short(name)}, which cannot be read: {error.strerror}", hint
        ) from None
    except UnicodeDecodeError as error:
        raise ValueError(f"names {name}, which is not UTF-8 text at byte {error.start}") from None


def _range(word: str) -> list[str]:
    match = _RANGE.fullmatch(word)
    if match is None:
        raise ValueError(f"has the range {short(word)}", "write start:stop or start:stop:step, in numbers")
    start, stop, step = Decimal(match[1]), Decimal(match[2]), Decimal(match[3] or 1)
    if not step:
        raise ValueError(f"has the range {short(word)}, whose step is 0", "leave the step out for steps of 1")
    if (stop - start) * step < 0:
        hint = f"write {match[1]}:{match[2]}:{format(-step, 'f')}"
        raise ValueError(f"has the range {short(word)}, whose step leads away from its stop", hint)
    try:
        count = int((stop - start) // step) + 1
    except InvalidOperation:  # more digits than a Decimal has
        count = MOST + 1
    if count > MOST:
        raise ValueError(f"has the range {short(word)} of more than {MOST:,} values")
    return [format(start + n * step, "f") for n in range(count)]
