"""The values that steps take: from the step that made them a moment ago, or from the store."""

from __future__ import annotations

from threading import Lock
from typing import Any

from engine.schedule import Job, Schedule
from engine.step import Gather, Step
from engine.store.store import Store
from engine.values import Packed, joined, pack

HOLE = Packed("json", None)
"""Stands for an element that did not come to be; nothing that did looks like it."""


class Lost(Exception):
    """A result that was to be taken from the store is not there after all."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.step.id)
        self.job = job


class Supply:
    """Hands out the results of steps that are done.

    Args:
        schedule: knows the steps and their live results.
        lock: around the schedule.
        store: has those that are not live.
    """

    def __init__(self, schedule: Schedule, lock: Lock, store: Store) -> None:
        self._schedule, self._lock, self._store = schedule, lock, store

    def inputs(self, step: Step) -> dict[str, object]:
        """The values of a step's inputs, as far as they have been asked for.

        Raises:
            Lost: one of them has to be made again.
        """
        inputs: dict[str, object] = dict(step.bound.literals)
        lazy = step.bound.type.lazy
        for source in step.sources:
            if lazy and step.asked is None and source.input in lazy:
                continue
            inputs[source.input] = self.value(source.step, source.output, source.path)
        for name, lists in step.bound.wraps.items():
            for _ in range(lists if name in inputs else 0):
                inputs[name] = [inputs[name]]
        return inputs

    def value(self, step: Step, output: str, path: tuple[int, ...] = ()) -> Any:
        """One output of a step, or of a node that goes through lists the list of them.

        Raises:
            Lost: it has to be made again.
        """
        if isinstance(step, Gather):
            return [self.value(child, output, ()) for child in step.children or ()]
        with self._lock:
            job = self._schedule.job(step)
        result = job.result
        if result is None:
            key = step.key
            result = self._store.load(key) if key is not None and step.keep else None
            if result is None or output not in result.outputs:
                raise Lost(job)
            if job.users:
                job.result = result
        value: Any = result.outputs[output]
        for index in path:
            value = value[index]
        return value

    def live(self, step: Step, output: str) -> object:
        """One output of a step, if that is live; see `steps.ValueOf`.

        Raises:
            KeyError: it is not.
        """
        job = self._schedule.found(step)
        result = None if job is None else job.result
        if result is None:
            raise KeyError(output)
        return result.outputs[output]

    def packed(self, step: Step, output: str, holes: bool = False) -> Packed | None:
        """One output as bytes, or None if it did not come to be.

        Args:
            step: the step that it is of.
            output: its name.
            holes: True to have of a list what there is, with `HOLE` for each element that is not there.

        Raises:
            Lost: it has to be made again.
            TypeError, ValueError: it does not become bytes.
        """
        if isinstance(step, Gather):
            if step.children is None:
                return None
            items = [self.packed(child, output, holes) for child in step.children]
            found = [HOLE if item is None else item for item in items]
            return joined(found) if holes or None not in items else None
        job = self._schedule.found(step)
        if job is None or job.state == "idle":  # nobody demanded it, so it is there already or not at all
            if not step.held:
                return None
        elif job.state not in ("done", "reused"):
            return None
        packed = self._store.packed(step.key, output) if step.key is not None and step.keep else None
        if packed is None and job is not None and job.result is not None:
            packed = pack(job.result.outputs[output])
        if packed is None:
            raise Lost(job or self._schedule.job(step))
        return packed
