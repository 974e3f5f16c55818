"""Runs a plan: demands the targets, lets workers run the steps, and collects the declared outputs.

If a step fails, only the steps that need it are skipped, and every finished result is kept.
"""

from __future__ import annotations

import gc
import os
import threading
import time
from collections.abc import Callable, Sequence
from concurrent.futures import Executor, ThreadPoolExecutor

from engine.cancel import Cancel
from engine.devices.compute import ComputeSettings
from engine.devices.residency import Residency
from engine.events import Emit, Finished, Planned, ResultLost, Skipped
from engine.explain.reasons import Reasons
from engine.files import Files
from engine.gc_pause import gc_paused
from engine.plan.known_lists import not_running
from engine.plan.plan import Plan
from engine.plan.plan_errors import circular
from engine.plan.step import Gather, Step
from engine.run.collected_outputs import CollectedOutputs
from engine.run.deliveries import Deliveries, Take
from engine.run.event_relay import EventRelay
from engine.run.expected_seconds import ExpectedSeconds
from engine.run.import_time import IMPORT_TIME, import_libraries
from engine.run.late_steps import LateSteps
from engine.run.lifecycle import Lifecycle
from engine.run.lost_results import recompute_parent
from engine.run.next_uses import NextUses
from engine.run.planned_steps import planned_steps
from engine.run.report import CANCELLED, MeasuredMemory, NodeReport, Report, Reports
from engine.run.schedule import Computed, Job, Needs, NeedsAgain, Outcome, Schedule
from engine.run.step_context import StepContexts
from engine.run.step_inputs import StepInputs
from engine.run.step_runner import StepRunner
from engine.run.worker_threads import WorkerThreads
from engine.step_requests import Requests
from engine.store.step_folders import StepFolder
from engine.store.store import Store


class Run:
    """One run of one plan.

    Args:
        plan: the plan.
        store: holds the results that are reused.
        files, residency, compute: passed to the context of each step.
        emit: receives the events, one at a time. If it raises, it receives nothing more, and `run` raises the
            exception at the end of the run.
        cancel: stops the run between steps, and inside steps that track their progress.
        lifecycles: wrap each step, the outermost first.
        workers: how many steps may run at once; accelerator nodes always run one at a time.
        expected: how long steps take; without it, nothing is known at the start of the run.
        pool: provides helper threads; without it the run starts and ends its own.
        previews: True to encode and send the previews of steps.
        memory: the measured memory of steps, to send details of finished steps: it, and summaries of outputs.
        folder: opens the folder of a running step.
        requests: the requests to running steps.
        reasons: explains the steps in the report.
        take: receives each declared output, and each element of a list output, when its step is done; without
            it, the report holds them all.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        *,
        files: Files,
        residency: Residency,
        compute: ComputeSettings | None = None,
        emit: Emit | None = None,
        cancel: Cancel | None = None,
        lifecycles: Sequence[Lifecycle] = (),
        workers: int = 4,
        expected: ExpectedSeconds | None = None,
        pool: Executor | None = None,
        previews: bool = False,
        memory: MeasuredMemory | None = None,
        folder: Callable[[Step], StepFolder] | None = None,
        requests: Requests | None = None,
        reasons: Reasons | None = None,
        take: Take | None = None,
    ) -> None:
        self.id = os.urandom(8).hex()
        """A random id of this run."""
        self._plan = plan
        self._residency, self._cancel = residency, cancel or Cancel()
        self._listener = EventRelay(emit, self._cancel)
        self._schedule, self._lock = Schedule(), threading.Lock()
        self._reports = Reports(self._schedule, reasons or Reasons(plan, None), self._listener, memory)
        self._inputs = StepInputs(self._schedule, self._lock, store)
        late = LateSteps(
            plan, store, files, self._schedule, self._lock, self._inputs, self._reports, self._listener
        )
        contexts = StepContexts(
            emit=self._listener.from_step,
            cancel=self._cancel,
            files=files,
            residency=residency,
            compute=compute or ComputeSettings(),
            previews=previews,
            folder=folder,
            lineage=plan.builder.keys.lineage,
            requests=requests,
        )
        self._runner = StepRunner(
            contexts,
            lifecycles,
            self._inputs,
            late,
            self._reports,
            self._listener,
        )
        self._pool, self._most, self._expected = pool, workers, expected or ExpectedSeconds()
        self._collected = CollectedOutputs(plan)
        self._deliveries = Deliveries(
            plan,
            self._schedule,
            self._lock,
            self._inputs,
            take or self._collected.take,
            self._runner.fail,
            self._listener,
            self._cancel,
        )

    def run(self) -> Report:
        """Run until every demanded step is done, failed, skipped or cancelled."""
        own = None if self._pool or self._most < 2 else ThreadPoolExecutor(self._most - 1)
        self._plan.builder.lists.value_of = self._inputs.value_in_memory
        try:
            with (
                IMPORT_TIME.measured(),
                self._residency.expecting(NextUses(self._plan.builder.order, self._schedule)),
            ):
                return self._run(self._pool or own)
        finally:
            self._plan.builder.lists.value_of = not_running
            if self._plan.is_large:
                gc.unfreeze()
            if own is not None:
                own.shutdown(wait=False)

    def _run(self, pool: Executor | None) -> Report:
        start = time.perf_counter()
        steps = self._plan.steps
        if self._listener.listens:
            title = self._plan.checked.graph.title
            with gc_paused:
                planned = Planned(self.id, title, planned_steps(steps.values()))
            self._listener(planned)
        with self._residency.span("import libraries"):
            import_libraries(steps.values())
        with self._lock:
            self._deliveries.begin()
            for node in self._plan.targets:
                self._schedule.demand(self._schedule.job(steps[node]))
        workers = WorkerThreads(
            self._schedule,
            self._lock,
            self._runner.run,
            self._settle,
            self._finish,
            self._break_circle,
            self._cancel,
            self._expected,
            pool,
            self._most,
        )
        while True:
            workers.work()
            if not self._deliveries.finish():
                break
        with gc_paused:
            nodes = {node: self._reports.of(step) for node, step in steps.items()}
        states = {report.state for report in nodes.values()}
        cancelled = "cancelled" in states or self._deliveries.cut_short
        state = "cancelled" if cancelled else "failed" if "failed" in states else "done"
        seconds = time.perf_counter() - start
        self._listener(Finished(state, seconds))
        if (fault := workers.fault or self._listener.fault) is not None:
            raise fault
        outputs, partial = (self._collected.outputs(whole=whole) for whole in (True, False))
        return Report(state, seconds, nodes, outputs, partial)

    def _settle(self, job: Job, outcome: Outcome) -> bool:
        """Process the outcome of a step; returns True if `_finish` has work left. Call with the lock held."""
        schedule = self._schedule
        if isinstance(job.step, Gather):
            self._deliveries.extend(job.step)
        if isinstance(outcome, Computed):
            if outcome.save is not None:
                schedule.begin_saving(job)
            schedule.done(job, outcome.result)
        elif isinstance(outcome, Needs):
            schedule.wait(job, outcome.steps)
        elif isinstance(outcome, NeedsAgain):
            parent = outcome.parent
            if recompute_parent(schedule, job, parent):
                self._listener(ResultLost(parent.step.id, parent.step.key))
        else:
            schedule.settle_failed(job, outcome.state)
        self._deliveries.settled(job)
        if schedule.skipped:
            self._report_skipped()
        return self._deliveries.due or (isinstance(outcome, Computed) and outcome.save is not None)

    def _report_skipped(self) -> None:
        schedule = self._schedule
        skipped, schedule.skipped = schedule.skipped, []
        for other in skipped:
            reason = CANCELLED if other.state == "cancelled" else other.because
            self._reports.put(other.step, NodeReport(other.state, message=reason))
            if other.state == "skipped":
                self._listener(Skipped(other.step.id, reason))

    def _finish(self, job: Job, outcome: Outcome) -> None:
        """Save the result of a settled step that is not saved yet, and deliver what is due; call without the
        lock."""
        if isinstance(outcome, Computed) and outcome.save is not None:
            outcome.save()
            with self._lock:
                self._schedule.saved(job)
                self._deliveries.settled(job)
        if self._deliveries.due:
            self._deliveries.advance()

    def _break_circle(self) -> bool:
        """If no step can run, fail a step that waits for itself; returns False if there is no such step."""
        job = self._schedule.cycle() if self._schedule.unsettled else None
        if job is None:
            return False
        self._settle(job, self._runner.fail(job.step, circular(), job.expand_seconds))
        return True
