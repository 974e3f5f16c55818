"""Finds the values of the swept inputs from which each element of an output was made."""

from __future__ import annotations

import re
from collections.abc import Mapping, Sequence

from engine.paths import slug
from engine.plan.plan import Plan
from engine.plan.step import Gather
from engine.values import Json

LONGEST_WORD = 24
"""Texts with more characters are left out of file names."""
LONGEST_LABEL = 64
"""The maximum length of the swept values in a file name, in bytes; longer ones are left out."""
LONGEST_STEM = 220
"""The maximum length of a file name before its number and suffix, so that the name has at most 255 bytes."""

_PLACES = re.compile(r"(?:\[\d+\])+")


class SweptInputs:
    """The inputs that a run sweeps, and the values of these inputs from which each step was made."""

    def __init__(self, plan: Plan) -> None:
        self._plan = plan
        self._order = {
            axis.name[1:]: axis.order
            for bound in plan.checked.steps.values()
            if bound.lift is not None
            for axis in bound.lift.axes
            if axis.sweep
        }
        self.names = sorted(self._order, key=self._order.__getitem__)
        """The names of the swept inputs, the outermost sweep first."""
        self._labelled = labelled({name: self.all_values(name) for name in self.names})

    def all_values(self, name: str) -> list[Json]:
        """Return all values of a swept input."""
        values = self._plan.checked.values[name]
        assert isinstance(values, list)
        return values

    def values(self, step: str) -> dict[str, Json]:
        """Return the values of the swept inputs from which a step was made, keyed by input."""
        values: dict[str, Json] = {}
        for place in _PLACES.finditer(step) if self._order else ():
            lift = self._plan.steps[step[: place.start()]].bound.lift
            at = [int(n) for n in place[0][1:-1].split("][")]
            for axis, n in zip(lift.axes if lift is not None else (), at, strict=False):
                if axis.sweep:
                    values[axis.name[1:]] = self.all_values(axis.name[1:])[n]
        return values

    def gathered(self, step: str) -> list[str]:
        """Return the swept inputs of which a step collects all values, the outermost first."""
        if not self._order:
            return []
        ahead, seen, found = [self._plan.steps[step]], set[str](), set[str]()
        while ahead:
            current = ahead.pop()
            if current.id not in seen:
                seen.add(current.id)
                found.update(self.values(current.id))
                if isinstance(current, Gather):
                    ahead += current.elements()
                else:
                    ahead += [source.step for source in current.sources]
        own = self.values(step)
        return [name for name in self.names if name in found and name not in own]

    def stem(self, stem: str, values: Mapping[str, Json]) -> str:
        """Add the swept values to a file name; see `with_labels`."""
        return with_labels(stem, values, self._labelled)


def labelled(swept: Mapping[str, Sequence[Json]]) -> list[str]:
    """Return the swept inputs whose values are short enough to be part of file names.

    Args:
        swept: all values of each swept input, the outermost sweep first.
    """
    return [name for name, values in swept.items() if all(map(_short, values))]


def with_labels(stem: str, values: Mapping[str, Json], labelled: Sequence[str]) -> str:
    """Add the swept values to a file name: `cat-image-steps-4-guidance-1`; unchanged if it were too long."""
    label = "".join(f"-{slug(name)}-{_short(values[name])}" for name in labelled if name in values)
    long = len(label.encode()) > LONGEST_LABEL or len(f"{stem}{label}".encode()) > LONGEST_STEM
    return stem if long else stem + label


def _short(value: Json) -> str:
    """Convert a value to a part of a file name; empty if it is too long, or has no letters or digits."""
    if isinstance(value, float):
        return f"{value:.6g}" if float(f"{value:.6g}") == value else ""
    if isinstance(value, bool | int):
        return str(value).lower() if abs(value) < 10**20 else ""
    if isinstance(value, str) and value.strip() and len(value) <= LONGEST_WORD:
        return slug(value)
    return ""
