"""Predicts when the remaining steps use each model, so that models needed soon are evicted last."""

from __future__ import annotations

import math
from collections.abc import Hashable, Iterator, Sequence
from typing import Any

from engine.devices.recipe import Recipe
from engine.plan.step import Step
from engine.run.schedule import Schedule

_PENDING = ("waiting", "ready", "running")


class NextUses:
    """Computes how many accelerator steps the run will execute before one uses a given model.

    A step uses the models whose recipes are among its inputs. Recipes that earlier steps have not returned
    yet are unknown.

    Args:
        steps: the steps of the plan, parents first; the list grows during the run.
        schedule: the states of the steps, with the results that the run holds.
    """

    def __init__(self, steps: Sequence[Step], schedule: Schedule) -> None:
        self._steps, self._schedule = steps, schedule

    def __call__(self, identity: Hashable) -> float:
        """Return the number of steps before the next use of a model; infinity if no step will use it."""
        distance = 0
        for step in tuple(self._steps):
            if not step.bound.type.accelerator:
                continue
            job = self._schedule.existing_job(step)
            if job is None or job.state not in _PENDING:
                continue
            if identity in self._identities(step):
                return distance
            distance += 1
        return math.inf

    def _identities(self, step: Step) -> Iterator[Hashable]:
        """Yield the identities of the recipes among the inputs of a step, and of the recipes inside them."""
        for source in step.sources:
            job = self._schedule.existing_job(source.step)
            result = None if job is None else job.result
            if result is None or source.output not in result.outputs:
                continue
            value: Any = result.outputs[source.output]
            for index in source.path:
                value = value[index]
            if isinstance(value, Recipe):
                yield from _parts(value)


def _parts(recipe: Recipe[Any]) -> Iterator[Hashable]:
    yield recipe.identity
    for layer in recipe.layers:
        yield layer.identity
    if recipe.base is not None:
        yield from _parts(recipe.base)
