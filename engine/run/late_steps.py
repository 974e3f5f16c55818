"""Completes steps whose key, list elements or returned graph are known only during the run."""

from __future__ import annotations

import threading
from collections.abc import Iterable, Sequence

from engine.document.graph import Graph
from engine.errors import NodeError
from engine.events import StepsAdded
from engine.files import Files
from engine.plan import returned_graph
from engine.plan.actions import decide
from engine.plan.expand_graph import expand_graph
from engine.plan.expand_list import ListsUnknown, expand_list
from engine.plan.plan import Plan
from engine.plan.plan_errors import Unreadable
from engine.plan.step import ListStep, Step
from engine.run.event_relay import EventRelay
from engine.run.lost_results import LostResult
from engine.run.planned_steps import planned_steps
from engine.run.report import Reports
from engine.run.schedule import Computed, Job, Needs, Outcome, Schedule
from engine.run.step_inputs import StepInputs
from engine.store.store import Store


class LateSteps:
    """Completes the steps of a plan, and adds further steps, during the run.

    Args:
        plan: the plan.
        store: the store to look for results in.
        files: the files that nodes may read.
        schedule: the states of the steps.
        lock: guards the schedule.
        inputs: reads the values of finished steps.
        reports: receives the report of a step whose result is found in the store.
        listener: receives the events.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        files: Files,
        schedule: Schedule,
        lock: threading.Lock,
        inputs: StepInputs,
        reports: Reports,
        listener: EventRelay,
    ) -> None:
        self._plan, self._store, self._files = plan, store, files
        self._schedule, self._lock, self._inputs = schedule, lock, inputs
        self._reports, self._listener = reports, listener
        self._extending = threading.RLock()  # guards every change of the plan

    def complete(self, job: Job) -> Outcome | None:
        """Determine the lazy inputs and the key of a step whose key the plan could not compute.

        If the store has a result under the key, reuse it.

        Returns:
            the outcome; None if the step can run now, also if its key remains unknown.

        Raises:
            LostResult: the store has lost a result that the step needs.
        """
        step, builder = job.step, self._plan.builder
        node_type = step.bound.type
        if step.key is None:
            if node_type.lazy and step.asked is None:
                builder.choose(step, self._inputs.inputs(step))
            if node_type.reads_world:
                if missing := self._unfinished(step.parents):
                    return Needs(missing)
                step.fingerprint = node_type.cls(**self._inputs.arguments(step)).fingerprint(self._files)
            with self._extending:
                builder.set_key(step)
            if step.key is None:
                missing = self._unfinished(step.parents)
                return Needs(missing) if missing else None
        if step.same_as is not None:
            return self._share(step, step.same_as)
        if step.storable and not job.recomputed:
            held = self._store.where([step.key]).get(step.key)
            if held is not None and step.may_return_graph:
                if (result := self._store.load(step.key)) is not None:
                    if (graph := returned_graph.from_outputs(result.outputs)) is not None:
                        return self.expand_graph(step, graph)
                    step.may_return_graph = False
            if held is not None and not step.may_return_graph:
                step.action, step.tier, step.made = "reuse", held.tier, held.made
                self._reports.succeeded(step, 0.0, held.tier)
                return Computed()
        missing = self._unfinished(step.parents)
        return Needs(missing) if missing else None

    def _share(self, step: Step, same_as: Step) -> Outcome:
        """Use the result of another step with the same key."""
        with self._lock:
            job = self._schedule.existing_job(same_as)
        if job is None or self._unfinished([same_as]):
            return Needs([same_as])
        result = job.result
        if result is None and step.storable and step.key is not None:
            result = self._store.load(step.key)
        if result is None:
            raise LostResult(job)
        self._reports.announce(step, 0.0, "memory", result)
        return Computed(result)

    def _unfinished(self, steps: Iterable[Step]) -> list[Step]:
        """Return those of the steps that have no result yet."""
        with self._lock:
            jobs = [(step, self._schedule.existing_job(step)) for step in steps]
        return [step for step, job in jobs if job is None or job.state not in ("reused", "done")]

    def assemble(self, step: Step) -> Outcome:
        """Complete an assembled step, whose result consists of the results of its parts.

        The outcome is `Needs` if some parts are not done yet.
        """
        missing = self._unfinished(step.parts)
        return Needs(missing) if missing else Computed()

    def expand_list(self, step: ListStep) -> Outcome:
        """Make the steps for the elements of a node that goes through lists."""
        with self._extending:
            try:
                added = expand_list(self._plan.builder, step.gather)
            except ListsUnknown as unknown:
                if missing := self._unfinished(unknown.steps):
                    return Needs(missing)
                with self._lock:
                    lost = self._schedule.job(unknown.steps[0])
                raise LostResult(lost) from None
            except Unreadable as error:
                problem = error.problem
                raise NodeError(problem.message, hint=problem.hint, code=problem.code) from None
            decide(added, set(), self._store)
        self._announce(step, added)
        return Computed()

    def expand_graph(self, step: Step, graph: Graph) -> Outcome:
        """Make the steps for a graph that a node returned; the step then waits for those of its outputs."""
        builder = self._plan.builder
        with self._extending:
            before = len(builder.order)
            expand_graph(builder, step, graph)
            added = builder.order[before:]
            decide(added, set(step.parents), self._store)
        self._announce(step, added)
        return Needs(step.parents)

    def _announce(self, step: Step, added: Sequence[Step]) -> None:
        if self._listener.listens:
            self._listener(StepsAdded(step.id, planned_steps(added)))
