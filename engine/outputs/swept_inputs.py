"""Finds the values of the swept inputs for each element of an output."""

from __future__ import annotations

import re
from collections.abc import Mapping

from engine.paths import slug
from engine.plan.plan import Plan
from engine.plan.step import Gather
from engine.values import Json

LONGEST_WORD = 24
"""Texts with more characters are left out of file names."""
LONGEST_LABEL = 64
"""If the swept values take more bytes than this, they are left out of file names."""
LONGEST_STEM = 220
"""The most bytes of a file name before its number and suffix, so that the whole name has at most 255."""

_PLACES = re.compile(r"(?:\[\d+\])+")


class SweptInputs:
    """Knows which inputs a run sweeps, and which of their values made each step."""

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
        """The names of the inputs, the outermost first."""
        self._labelled = [name for name in self.names if all(map(_short, self.all_values(name)))]

    def all_values(self, name: str) -> list[Json]:
        """All values of an input."""
        values = self._plan.checked.values[name]
        assert isinstance(values, list)
        return values

    def values(self, step: str) -> dict[str, Json]:
        """The values of the swept inputs from which a step was made, in any order."""
        values: dict[str, Json] = {}
        for place in _PLACES.finditer(step) if self._order else ():
            lift = self._plan.steps[step[: place.start()]].bound.lift
            at = [int(n) for n in place[0][1:-1].split("][")]
            for axis, n in zip(lift.axes if lift is not None else (), at, strict=False):
                if axis.sweep:
                    values[axis.name[1:]] = self.all_values(axis.name[1:])[n]
        return values

    def gathered(self, step: str) -> list[str]:
        """The swept inputs whose values are all collected in a step, outermost first."""
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
        """A file name with the swept values, `cat-image-steps-4-guidance-1`; without them if it would be too
        long."""
        labels = [f"-{slug(name)}-{_short(values[name])}" for name in self._labelled if name in values]
        label = "".join(labels)
        long = len(label.encode()) > LONGEST_LABEL or len(f"{stem}{label}".encode()) > LONGEST_STEM
        return stem if long else stem + label


def _short(value: Json) -> str:
    """A value as a part of a file name; empty if it is too long or has no letters or digits."""
    if isinstance(value, float):
        return f"{value:.6g}" if float(f"{value:.6g}") == value else ""
    if isinstance(value, bool | int):
        return str(value).lower() if abs(value) < 10**20 else ""
    if isinstance(value, str) and value.strip() and len(value) <= LONGEST_WORD:
        return slug(value)
    return ""
