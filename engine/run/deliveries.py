"""Delivers each declared output of a run, and each element of a list output, when its step is done."""

from __future__ import annotations

import threading
from collections import Counter, deque
from collections.abc import Callable
from dataclasses import dataclass
from typing import Literal

from engine.cancel import Cancel
from engine.events import Event, ResultLost
from engine.plan.plan import Plan
from engine.plan.step import Gather, Step, origin
from engine.run.event_relay import EventRelay
from engine.run.lost_results import LostResult, recompute
from engine.run.schedule import BROKEN, Job, Schedule
from engine.run.step_inputs import StepInputs
from engine.values import Packed

_PENDING = ("waiting", "ready", "running")

Take = Callable[[str, Step, Packed], Event | None]
"""Receives `(output, step, packed)`: the name of a declared output, the step that made the value, and the
value, which is the output or one element of a list output. Returns an event to send, or None."""


@dataclass(slots=True)
class _Queue:
    """The steps of a declared output whose values have not been delivered yet, in list order."""

    output: str
    """The name of the declared output."""
    source: str
    """The name of the node's output that it comes from."""
    steps: deque[Step]


class Deliveries:
    """Passes the values of the declared outputs to `take`, one at a time.

    Elements are delivered in list order, so that file numbers match element numbers. A result stays in memory
    until it is delivered.

    Args:
        plan: the plan.
        schedule: the states of the steps.
        lock: guards the schedule.
        inputs: reads the values of finished steps.
        take: receives the values.
        fail: reports a step whose value cannot be packed.
        listener: receives the events.
        cancel: the cancellation flag. After cancellation, only results that this run has computed are
            delivered.
    """

    def __init__(
        self,
        plan: Plan,
        schedule: Schedule,
        lock: threading.Lock,
        inputs: StepInputs,
        take: Take,
        fail: Callable[[Step, BaseException], object],
        listener: EventRelay,
        cancel: Cancel,
    ) -> None:
        self._schedule, self._lock, self._inputs = schedule, lock, inputs
        self._take, self._fail, self._listener, self._cancel = take, fail, listener, cancel
        targets = set(plan.targets)
        self._queues = [
            _Queue(name, link.output, deque([plan.steps[link.node]]))
            for name, link in plan.checked.outputs.items()
            if link.node in targets
        ]
        self._awaited = Counter[Job]()
        self._turn = threading.Lock()  # held by the delivering thread
        self._lost = False
        self.due = False
        """True if a job with a value to deliver has ended since the last call of `advance`."""
        self.cut_short = False
        """True if values were not delivered because the run was cancelled."""

    def begin(self) -> None:
        """Make the schedule keep the results of all known steps of the outputs; call with the lock held."""
        for queue in self._queues:
            (root,) = queue.steps
            queue.steps.clear()
            self._add(queue, root)

    def extend(self, gather: Gather) -> None:
        """Make the schedule keep the results of a list's new element steps; call with the lock held."""
        for queue in self._queues:
            if gather in queue.steps:
                before = list(queue.steps)
                queue.steps.clear()
                for step in before:
                    if step is gather:
                        self._add(queue, step)
                    else:
                        queue.steps.append(step)

    def settled(self, job: Job) -> None:
        """Set `due` if a delivery waits for this job, which has ended; call with the lock held."""
        if job in self._awaited:
            self.due = True

    def advance(self) -> None:
        """Deliver the values that are ready; call without the lock.

        If another thread is delivering values, wait for it, so that steps do not run ahead of slow writing.
        """
        self._work(last=False)

    def finish(self) -> bool:
        """Deliver the remaining values after all steps have ended.

        Returns:
            True if the store has lost a result, so that it must be recomputed first.
        """
        self._lost = False
        self._work(last=True)
        return self._lost

    def _work(self, last: bool) -> None:
        with self._turn:
            while (found := self._next(last)) is not None:
                self._deliver(*found)

    def _add(self, queue: _Queue, step: Step) -> None:
        if isinstance(step, Gather) and step.children is not None:
            for child in step.children:
                self._add(queue, child)
            return
        queue.steps.append(step)
        if not isinstance(step, Gather):
            job = self._schedule.job(step)
            self._schedule.use(job)
            self._awaited[job] += 1

    def _next(self, last: bool) -> tuple[_Queue, Step] | None:
        """Find the next value to deliver; None if none is ready."""
        with self._lock:
            self.due = False
            for queue in self._queues:
                while queue.steps and not (last and self._lost):
                    step = queue.steps[0]
                    state = self._state(step, queue.source, last)
                    if state == "waiting":
                        break
                    queue.steps.popleft()
                    if state == "ready":
                        return queue, step
                    if not isinstance(step, Gather):
                        self._release(step)
        return None

    def _state(self, step: Step, source: str, last: bool) -> Literal["ready", "waiting", "missing"]:
        if step.expansion is not None or step.same_as is not None:
            # A part, or the equal step whose result is shared, may be recomputed after the step is done.
            parts = [self._schedule.existing_job(part) for part in origin(step, source)[0].elements()]
            if not last and any(part is not None and part.state in _PENDING for part in parts):
                return "waiting"
        job = self._schedule.job(step)
        if job.saving:
            return "waiting"
        there = job.state in ("done", "reused") or (job.state == "idle" and step.is_stored)
        if isinstance(step, Gather):  # its elements are unknown
            there = False
        elif there and self._cancel.asked and job.result is None:
            there, self.cut_short = False, True
        if there:
            return "ready"
        return "missing" if last or job.state in BROKEN else "waiting"

    def _deliver(self, queue: _Queue, step: Step) -> None:
        try:
            packed = self._inputs.packed(step, queue.source)
        except LostResult as lost:
            with self._lock:
                queue.steps.appendleft(step)
                self._lost = True
                lost.job.users += 1  # kept until the end of the run, since the store may lose it again
                starts = recompute(self._schedule, lost.job)
            if starts:
                self._listener(ResultLost(lost.job.step.id, lost.job.step.key))
            return
        except Exception as error:  # the code of a node pack may raise anything
            self._fail(step.same_as or step, error)
            packed = None
        if packed is not None and (event := self._take(queue.output, step, packed)) is not None:
            self._listener(event)
        with self._lock:
            self._release(step)

    def _release(self, step: Step) -> None:
        job = self._schedule.job(step)
        self._awaited[job] -= 1
        if not self._awaited[job]:
            del self._awaited[job]
        self._schedule.release([job])
