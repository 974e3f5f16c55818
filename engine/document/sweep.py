"""Reads sweeps: several values for one input of a graph, written as `10,20,30`, `3:9:2` or `@prompts.txt`."""

from __future__ import annotations

import csv
import re
from dataclasses import dataclass
from decimal import Decimal, InvalidOperation

from engine.errors import GraphError, short
from engine.paths import expanded
from engine.values import Json

MOST = 10_000
"""The most values of one sweep, and the most combinations of all sweeps of a run."""
MAX_BYTES = 32 << 20
"""The largest file of values in bytes."""

_NUMBER = r"[+-]?(?:[0-9]{1,300}(?:\.[0-9]*)?|\.[0-9]{1,300})(?:[eE][+-]?[0-9]{1,3})?"
_RANGE = re.compile(rf"\s*({_NUMBER}):({_NUMBER})(?::({_NUMBER}))?\s*", re.ASCII)


@dataclass(frozen=True, slots=True)
class Sweep:
    """A sweep: the values that an input of the graph takes one after another."""

    values: tuple[Json, ...]


def words(spec: str, *, numbers: bool = False) -> list[str]:
    """Split the text of a sweep into the texts of its values.

    Args:
        spec: values separated by commas; a value that contains a comma stands in double quotes, as in a CSV
            file. Or `@FILE` for a file with one value per line; empty lines are skipped.
        numbers: True to expand `start:stop` and `start:stop:step` to the numbers from start to stop,
            including stop if it is exactly reached.

    Raises:
        ValueError: the text or the file cannot be read, or has no values or more than `MOST`. Its arguments
            are a message without a subject, and a hint if there is one.
    """
    listed = _lines(spec[1:]) if spec.startswith("@") else _separated(spec)
    if not listed:
        raise ValueError("has no values")
    values: list[str] = []
    for word in listed:
        values += _range(word) if numbers and ":" in word else [word]
        if len(values) > MOST:
            raise ValueError(f"has more than {MOST:,} values")
    return values


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
        raise ValueError(
            f"contains {short(word)}, which is not a range of numbers",
            "write start:stop or start:stop:step, in numbers",
        )
    start, stop, step = Decimal(match[1]), Decimal(match[2]), Decimal(match[3] or 1)
    if not step:
        raise ValueError(f"has the range {short(word)}, whose step is 0", "leave out the step for steps of 1")
    if (stop - start) * step < 0:
        hint = f"write {match[1]}:{match[2]}:{format(-step, 'f')}"
        raise ValueError(f"has the range {short(word)}, whose step has the wrong sign", hint)
    try:
        count = int((stop - start) // step) + 1
    except InvalidOperation:  # more digits than a Decimal supports
        count = MOST + 1
    if count > MOST:
        raise ValueError(f"has the range {short(word)} of more than {MOST:,} values")
    return [format(start + n * step, "f") for n in range(count)]
