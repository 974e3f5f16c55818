"""Summarises steps for the events of a run."""

from __future__ import annotations

from collections.abc import Iterable

from engine.events import PlannedStep
from engine.plan.step import Step


def planned_steps(steps: Iterable[Step]) -> tuple[PlannedStep, ...]:
    """Summarise steps, in the same order."""
    return tuple(
        [
            PlannedStep(
                step.id,
                step.bound.type.id,
                step.action,
                step.tier,
                step.made,
                step.key if step.storable else None,
                step.assembled,
                None if step.same_as is None else step.same_as.id,
            )
            for step in steps
        ]
    )
