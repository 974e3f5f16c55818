"""How long a step is expected to take, so that quick steps are run without threads and locks."""

from __future__ import annotations

from engine.plan.step import Step

QUICK_SECONDS = 0.004
"""Steps that are expected to take less are quick."""

_NEWEST_WEIGHT = 1 / 8  # of the newest step in the average of its node type


class ExpectedSeconds:
    """Expects a step to take as long as the recent steps of its node type, of all runs of a session."""

    def __init__(self) -> None:
        self._averages: dict[str, float] = {}

    def is_quick(self, step: Step) -> bool:
        """True if a step is expected to take less than `QUICK_SECONDS`; False for a type that has not run."""
        return self._averages.get(step.bound.type.id, QUICK_SECONDS) < QUICK_SECONDS

    def add(self, step: Step, seconds: float) -> None:
        """Record how long a step took."""
        name = step.bound.type.id
        average = self._averages.get(name, seconds)
        self._averages[name] = average + (seconds - average) * _NEWEST_WEIGHT
