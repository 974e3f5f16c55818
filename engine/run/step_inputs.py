"""Reads the input values of steps from the results that this run holds in memory, or from the store."""

from __future__ import annotations

from collections.abc import Mapping
from threading import Lock
from typing import Any

from engine.lazy import Lazy
from engine.packing import joined, pack
from engine.plan.step import Gather, Step, origin
from engine.run.lost_results import LostResult
from engine.run.schedule import Schedule
from engine.store.store import Store
from engine.values import Packed, arrays

HOLE = Packed("json", None)
"""The placeholder for a missing element of an incomplete list: JSON null."""


class StepInputs:
    """Reads the results of finished steps, as inputs of other steps.

    Args:
        schedule: the states of the steps, with the results that the run holds.
        lock: guards the schedule.
        store: the store for the results that the run does not hold.
    """

    def __init__(self, schedule: Schedule, lock: Lock, store: Store) -> None:
        self._schedule, self._lock, self._store = schedule, lock, store

    def inputs(self, step: Step) -> dict[str, object]:
        """Return the input values of a step, by name.

        If the node has not chosen among its lazy inputs yet, these are left out.

        Raises:
            LostResult: the store has lost the result for one of the inputs.
        """
        inputs: dict[str, object] = dict(step.bound.literals)
        lazy = step.bound.type.lazy
        for source in step.sources:
            if lazy and step.asked is None and source.input in lazy:
                continue
            inputs[source.input] = self.value(source.step, source.output, source.path)
        for name, lists in step.bound.list_levels_added.items():
            for _ in range(lists if name in inputs else 0):
                inputs[name] = [inputs[name]]
        return inputs

    def arguments(self, step: Step, inputs: Mapping[str, object] | None = None) -> dict[str, object]:
        """Return the arguments for creating the node: its inputs, with a `Lazy` for each lazy input.

        The `Lazy` of an input that the node did not choose is empty.
        """
        if inputs is None:
            inputs = self.inputs(step)
        asked, lazy = step.asked or frozenset(), step.bound.type.lazy
        wired = {source.input for source in step.sources}
        arguments: dict[str, object] = {}
        for name, value in inputs.items():
            if name not in lazy:
                arguments[name] = value
            elif name in asked:
                arguments[name] = Lazy(value) if name in wired else value
        return arguments | {name: Lazy() for name in lazy - asked}

    def value(self, step: Step, output: str, path: tuple[int, ...] = ()) -> Any:
        """Return one output of a step; for a node that goes through lists, the list of its elements' outputs.

        Args:
            step: the step.
            output: the name of the output.
            path: the indices of an element of the output, to return only that element.

        Raises:
            LostResult: the store has lost the result.
        """
        step, output = origin(step, output)
        if isinstance(step, Gather):
            value: Any = [self.value(child, output) for child in step.children or ()]
            return _element(value, path)
        with self._lock:
            job = self._schedule.job(step)
        result = job.result
        if result is None:
            key = step.key
            result = self._store.load(key) if key is not None and step.storable else None
            if result is None or output not in result.outputs:
                raise LostResult(job)
            if job.users:
                job.result = result
        return _element(result.outputs[output], path)

    def drop_live_results(self) -> None:
        """Drop all results in memory that hold tensors, after a node has written into one of them.

        They are then read from the disk or recomputed. Results of steps with side effects are kept, because
        these steps may run only once.
        """
        with self._lock:
            for job in self._schedule.jobs:
                step, result = job.step, job.result
                if step.key is None or not step.storable:
                    continue
                if result is None or any(_holds_arrays(value) for value in result.outputs.values()):
                    job.result = None
                    self._store.drop_live(step.key)

    def value_in_memory(self, step: Step, output: str) -> object:
        """Return one output of a step from the memory of the run; see `known_lists.ValueOf`.

        Raises:
            KeyError: the run does not hold the result in memory.
        """
        job = self._schedule.existing_job(step)
        result = None if job is None else job.result
        if result is None:
            raise KeyError(output)
        return result.outputs[output]

    def packed(self, step: Step, output: str, holes: bool = False) -> Packed | None:
        """Return one output as bytes; None if the step, or an element of a list, has no result.

        Args:
            step: the step.
            output: the name of the output.
            holes: True to return an incomplete list, with `HOLE` for each missing element, instead of None.

        Raises:
            LostResult: the store has lost the result.
            TypeError, ValueError: the value cannot be packed.
        """
        step, output = origin(step, output)
        if isinstance(step, Gather):
            if step.children is None:
                return None
            items = [self.packed(child, output, holes) for child in step.children]
            found = [HOLE if item is None else item for item in items]
            return joined(found) if holes or None not in items else None
        job = self._schedule.existing_job(step)
        if job is None or job.state == "idle":  # never demanded: the store holds it, or there is none
            if not step.is_stored:
                return None
        elif job.state not in ("done", "reused"):
            return None
        packed = self._store.packed(step.key, output) if step.key is not None and step.storable else None
        if packed is None and job is not None and job.result is not None:
            packed = pack(job.result.outputs[output])
        if packed is None:
            raise LostResult(job or self._schedule.job(step))
        return packed


def _holds_arrays(value: object) -> bool:
    return next(arrays(value), None) is not None


def _element(value: Any, path: tuple[int, ...]) -> Any:
    for index in path:
        value = value[index]
    return value
