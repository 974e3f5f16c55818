"""Expects how long a step takes, so that quick steps run without helper threads and locks."""

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
        """True if a step is expected to take less than `QUICK_SECONDS`.

        False for a step that uses the device, and for one whose node type has not run yet.
        """
        node_type = step.bound.type
        return not node_type.accelerator and self._averages.get(node_type.id, QUICK_SECONDS) < QUICK_SECONDS

    def add(self, step: Step, seconds: float) -> None:
        """Record how long a step took."""
        node_type = step.bound.type.id
        average = self._averages.get(node_type, seconds)
        self._averages[node_type] = average + (seconds - average) * _NEWEST_WEIGHT
