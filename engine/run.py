"""Walks a plan: ready steps side by side in lanes, wrapped in lifecycles, told as events.

A failed step takes its dependants with it and nothing else; what was made is kept, whatever happens after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field

from engine.context import Cancel, Context
from engine.errors import Cancelled, NodeError, Problem, explained
from engine.events import Done, Emit, Event, Failed, Finished, Planned, Skipped, Started, State
from engine.files import Files
from engine.keys import step_key
from engine.lifecycles.lifecycle import Lifecycle
from engine.node import outputs_of
from engine.plan import Plan, Step
from engine.residency import Residency
from engine.schedule import Job, Schedule
from engine.store.store import Result, Store, Tier
from engine.values import Packed, pack, wire_of

CANCELLED = "the run was cancelled"

STALL_SECONDS = 0.003
"""How long ready work may wait for a busy thread before another one is put to it."""
LOOK_SECONDS = 0.02
"""How often to look whether there is such work."""


@dataclass(slots=True)
class NodeReport:
    """How one node fared."""

    state: State
    cache: str = "none"
    """Where its result came from: `none` (computed), `memory` or `disk`."""
    seconds: float = 0.0
    reason: str = ""
    problem: Problem | None = None
    trace: str = field(default="", repr=False)


@dataclass(slots=True)
class Report:
    """How a run ended."""

    state: State
    seconds: float
    nodes: dict[str, NodeReport]
    outputs: dict[str, Packed]
    """The graph's declared outputs among the targets, as bytes, as far as there are results."""


class _Lost(Exception):
    """A result that was to be taken from the store is not there after all."""

    def __init__(self, job: Job) -> None:
        super().__init__(job.step.id)
        self.job = job


class Run:
    """One walk over one plan.

    Args:
        plan: what to do.
        store: where reused results lie.
        files, residency, device: what contexts are made of.
        emit: is told every event, one at a time. If it raises, it is told nothing more, the run goes on, and
            `go` raises that at the end.
        cancel: stops the run between steps, and inside those that track.
        lifecycles: what wraps each step, outermost first.
        workers: how many steps may run at once; accelerator nodes run one at a time all the same.
    """

    def __init__(
        self,
        plan: Plan,
        store: Store,
        *,
        files: Files,
        residency: Residency,
        device: str = "cpu",
        emit: Emit | None = None,
        cancel: Cancel | None = None,
        lifecycles: Sequence[Lifecycle] = (),
        workers: int = 4,
    ) -> None:
        self._plan, self._store = plan, store
        self._files, self._residency, self._device = files, residency, device
        self._listener, self._cancel = emit, cancel or Cancel()
        self._lifecycles, self._workers = tuple(lifecycles), max(1, workers)
        self._schedule = Schedule(plan)
        self._reports: dict[Step, NodeReport] = {}
        self._lock = threading.Lock()  # around the schedule and the counts below
        self._threads = 0
        self._settled = 0
        self._over = threading.Event()
        self._telling = threading.RLock()
        self._fault: BaseException | None = None

    def go(self) -> Report:
        """Run to the end: until every demanded step is done, failed, skipped or cancelled."""
        start = time.perf_counter()
        self._emit(Planned(self._plan))
        targets = {node: self._schedule.job(node) for node in self._plan.targets}
        with self._lock:
            for job in targets.values():
                job.users += 1  # keeps the result until the outputs are taken
                self._schedule.demand(job)
        while True:
            self._work_off()
            outputs, lost = self._outputs(targets)
            if not lost:
                break
            with self._lock:
                for job in lost:
                    self._schedule.revive(job)
        nodes = {node: self._report(node, step) for node, step in self._plan.steps.items()}
        states = {report.state for report in nodes.values()}
        state = "cancelled" if "cancelled" in states else "failed" if "failed" in states else "done"
        seconds = time.perf_counter() - start
        self._emit(Finished(state, seconds))
        if self._fault is not None:
            raise self._fault
        return Report(state, seconds, nodes, outputs)

    # Threads: one is put to the ready steps, and more when it does not keep up.

    def _work_off(self) -> None:
        with self._lock:
            if not self._schedule.has_ready:
                return
            self._over.clear()
            self._hire()
        try:
            seen = -1
            while not self._over.wait(STALL_SECONDS if self._could_hire() else LOOK_SECONDS):
                with self._lock:
                    if self._settled == seen and self._could_hire():
                        self._hire()
                    seen = self._settled
        except BaseException:  # Ctrl-C lands in this thread: let the steps come to an end before it goes on
            self._cancel.ask()
            self._over.wait()
            raise
        if self._fault is not None and self._schedule.unsettled:
            raise self._fault

    def _could_hire(self) -> bool:
        return self._threads < self._workers and self._schedule.has_ready

    def _hire(self) -> None:
        thread = threading.Thread(target=self._serve, name=f"safelight-{self._threads}", daemon=True)
        try:
            thread.start()
        except RuntimeError:  # the machine gives no more threads; those there are will do
            if not self._threads:
                raise
        else:
            self._threads += 1

    def _serve(self) -> None:
        """What each thread does: take a ready step, do it, settle it; until none is ready."""
        with self._lock:
            try:
                while (job := self._schedule.take()) is not None:
                    self._lock.release()
                    try:
                        outcome = self._do(job)
                    finally:
                        self._lock.acquire()
                    self._settle(job, outcome)
            except BaseException as error:  # a fault of the engine itself: nothing more is begun
                self._fault = error
                self._workers = 0
                self._cancel.ask()
            finally:
                self._threads -= 1
                if not self._threads:
                    self._over.set()

    def _settle(self, job: Job, outcome: Result | Job | None) -> None:
        schedule = self._schedule
        if isinstance(outcome, Result):
            schedule.done(job, outcome)
        elif outcome is not None:
            schedule.lost(job, outcome)
        else:
            schedule.broke(job, "cancelled" if self._reports[job.step].state == "cancelled" else "failed")
        self._settled += 1
        if not schedule.given_up:
            return
        given_up, schedule.given_up = schedule.given_up, []
        for other in given_up:
            reason = CANCELLED if other.state == "cancelled" else other.because
            self._reports[other.step] = NodeReport(other.state, reason=reason)
            if other.state == "skipped":
                self._emit(Skipped(other.step.id, reason))

    # One step, outside the lock.

    def _do(self, job: Job) -> Result | Job | None:
        """Do one step: its result, or the parent whose result was lost, or None and a report on why."""
        step = job.step
        start = time.perf_counter()
        held: Tier | None = None
        try:
            self._cancel.check()
            inputs = self._inputs(step)
            if step.late and step.keep:
                step.key = self._late_key(step, inputs)
                held = next((found.tier for found in self._store.where([step.key]).values()), None)
            result, answered = self._through_lifecycles(step, inputs, start)
        except _Lost as lost:
            return lost.job
        except Cancelled:
            seconds = time.perf_counter() - start
            self._reports[step] = NodeReport("cancelled", seconds=seconds, reason=CANCELLED)
            return None
        except BaseException as error:  # whatever a node raises, SystemExit too, fails that node alone
            self._failed(step, error, time.perf_counter() - start)
            return None
        seconds = time.perf_counter() - start
        cache = (held or "disk") if answered else "none"
        self._reports[step] = NodeReport("cached" if answered else "done", cache, seconds, step.reason)
        if self._listener is not None:
            self._emit(Done(step.id, seconds, cache))
        return result

    def _inputs(self, step: Step) -> dict[str, object]:
        inputs: dict[str, object] = dict(step.bound.literals)
        for name, link in step.bound.links.items():
            job = self._schedule.job(link.node)
            result = job.result
            if result is None:
                key = job.step.key
                result = self._store.load(key) if key is not None and job.step.keep else None
                if result is None or link.output not in result.outputs:
                    raise _Lost(job)
                job.result = result
            inputs[name] = result.outputs[link.output]
        return inputs

    def _late_key(self, step: Step, inputs: Mapping[str, object]) -> str:
        """The key of a step that has learned only now which file it reads, or whose ancestor has."""
        keys: dict[str, str] = {}
        for link in step.bound.links.values():
            key = self._schedule.job(link.node).step.key
            assert key is not None  # a kept step has kept parents, and those are done
            keys[link.node] = key
        cls = step.bound.type.cls
        if step.bound.type.reads_world:
            step.fingerprint = cls(**inputs).fingerprint(self._files)
        return step_key(step.bound, keys, step.fingerprint, self._plan.device)

    def _through_lifecycles(self, step: Step, inputs: dict[str, object], start: float) -> tuple[Result, bool]:
        entered: list[Lifecycle] = []
        result: Result | None = None
        answered = False
        fault: BaseException | None = None
        try:
            for lifecycle in self._lifecycles:
                result = lifecycle.setup(step, inputs)
                if result is not None:
                    answered = True
                    break
                entered.append(lifecycle)
            if result is None:
                outputs = self._body(step, inputs)
                result = Result(outputs, time.perf_counter() - start, time.time(), step.bound.type.id)
        except BaseException as error:
            fault = error
        for lifecycle in reversed(entered):
            try:
                lifecycle.teardown(step, inputs, result if fault is None else None)
            except BaseException as error:
                fault = fault or error
        if fault is not None:
            raise fault
        assert result is not None
        return result, answered

    def _body(self, step: Step, inputs: dict[str, object]) -> Mapping[str, object]:
        if self._listener is not None:
            self._emit(Started(step.id))
        node_type = step.bound.type
        node = node_type.cls(**inputs)
        ctx = Context(step.id, self._emit, self._cancel, self._files, self._residency, self._device)
        outputs = outputs_of(node_type, node.run(ctx))
        spelled: dict[str, object] = {}
        for name, kind in node_type.outputs.items():
            if not kind.holds(outputs[name]):
                raise TypeError(f"output {name!r} is {wire_of(outputs[name])} where {kind} was declared")
            spelled[name] = kind.spelled(outputs[name])
        if node_type.reads_world and step.keep and node.fingerprint(self._files) != step.fingerprint:
            hint = "run again to use it as it is now; a node that never reads the same twice is pure=False"
            raise NodeError("what it reads changed while it was read", hint=hint, code="changed_file")
        return spelled

    def _failed(self, step: Step, error: BaseException, seconds: float) -> None:
        problem, trace = explained(error, step.id, step.bound.type.name)
        self._reports[step] = NodeReport("failed", "none", seconds, problem.message, problem, trace)
        self._emit(Failed(step.id, seconds, problem, trace))

    # What the run leaves behind.

    def _outputs(self, targets: Mapping[str, Job]) -> tuple[dict[str, Packed], list[Job]]:
        """The declared outputs as bytes, and the jobs whose bytes the store has lost."""
        outputs: dict[str, Packed] = {}
        lost: list[Job] = []
        for name, link in self._plan.checked.graph.outputs.items():
            job = targets.get(link.node)
            if job is None or job.state not in ("done", "reused"):
                continue
            key = job.step.key if job.step.keep else None
            try:
                packed = self._store.packed(key, link.output) if key is not None else None
                if packed is None and job.result is not None:
                    packed = pack(job.result.outputs[link.output])
            except Exception as error:  # the code of a node pack may raise anything
                self._failed(job.step, error, 0.0)
                continue
            if packed is not None:
                outputs[name] = packed
            else:
                lost.append(job)
        return outputs, lost

    def _report(self, node: str, step: Step) -> NodeReport:
        leader = step.leader or step
        report = self._reports.get(leader)
        if leader is not step and (report is None or report.state in ("done", "cached")):
            return NodeReport("cached", leader.tier or "memory", reason=step.reason)
        if report is not None:
            return report
        job = self._schedule.found(node)
        if job is not None and job.state in ("waiting", "ready", "running"):
            return NodeReport("cancelled", reason=CANCELLED)
        return NodeReport("cached", step.tier or "none", reason=step.reason)

    def _emit(self, event: Event) -> None:
        with self._telling:
            if self._listener is None:
                return
            try:
                self._listener(event)
            except BaseException as error:
                self._listener = None
                self._fault = error
                if not isinstance(error, Exception):  # Ctrl-C inside the listener
                    self._cancel.ask()
