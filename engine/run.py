"""Walks a plan: ready steps side by side in lanes, wrapped in lifecycles, told as events.

A failed step takes its dependants with it and nothing else; what was made is kept, whatever happens after it.
"""

from __future__ import annotations

import threading
import time
from collections.abc import Callable, Mapping, Sequence
from contextlib import suppress
from dataclasses import dataclass
from functools import partial

from engine.collector import seldom
from engine.context import Cancel, Context
from engine.crew import Crew
from engine.errors import Cancelled, GraphError, NodeError, explained
from engine.events import Done, Emit, Event, Failed, Finished, Grown, Missed, Planned, Skipped, Started
from engine.expand import expanded
from engine.files import Files
from engine.graph import Graph
from engine.lazy import Lazy
from engine.lifecycles.lifecycle import Lifecycle
from engine.node import outputs_of
from engine.plan import Plan, decide
from engine.report import CANCELLED, NodeReport, Report, Reports
from engine.residency import Residency
from engine.schedule import Job, Schedule
from engine.step import Gather, Spread, Step
from engine.steps import Lacking, Unreadable, circular, not_running
from engine.store.store import Result, Store
from engine.supply import Lost, Supply
from engine.values import Packed, wire_of

STALL_SECONDS = 0.004
"""How long ready work may wait for a busy thread before another one is put to it."""
IDLE_LOOKS = 20
"""After how many looks without such work nobody looks any more, until there is some."""

_Body = Callable[[Job, dict[str, object]], Mapping[str, object]]


@dataclass(frozen=True, slots=True)
class _Wants:
    """A step has found that it needs the results of others first."""

    steps: Sequence[Step]


class _Settled:
    """A step has all that it needs to be done, and no result of its own at hand."""


_SETTLED = _Settled()

_Outcome = Result | _Settled | _Wants | Job | None
"""Of one step: its result, what it waits for, the parent whose result was lost, or nothing and a report."""


class Run:
    """One walk over one plan.

    The thread that calls `go` does the steps itself, and others join it while it does not keep up.

    Args:
        plan: what to do.
        store: where reused results lie.
        files, residency, device: what contexts are made of.
        emit: is told every event, one at a time. If it raises, it is told nothing more, the run goes on, and
            `go` raises that at the end.
        cancel: stops the run between steps, and inside those that track.
        lifecycles: what wraps each step, outermost first.
        workers: how many steps may run at once; accelerator nodes run one at a time all the same.
        crew: where further threads come from.
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
        crew: Crew | None = None,
    ) -> None:
        self._plan, self._store = plan, store
        self._files, self._residency, self._device = files, residency, device
        self._listener, self._cancel = emit, cancel or Cancel()
        self._lifecycles, self._workers = tuple(lifecycles), max(1, workers)
        self._crew = crew or Crew()
        self._schedule = Schedule()
        self._reports = Reports(self._schedule)
        self._lock = threading.Lock()  # around the schedule and the counts below
        self._supply = Supply(self._schedule, self._lock, store)
        self._news = threading.Condition(self._lock)
        self._threads = 1
        self._busy: set[int] = set()  # the threads that do a step
        self._settled = 0
        self._watched = self._waiting = False
        self._over = threading.Event()
        self._making = threading.RLock()  # around the making of further steps
        self._telling = threading.RLock()
        self._fault: BaseException | None = None

    def go(self) -> Report:
        """Run to the end: until every demanded step is done, failed, skipped or cancelled."""
        self._plan.maker.value_of = self._supply.live
        try:
            return self._go()
        finally:
            self._plan.maker.value_of = not_running

    def _go(self) -> Report:
        start = time.perf_counter()
        self._emit(Planned(self._plan))
        steps = self._plan.steps
        with self._lock:
            targets = {node: self._schedule.job(steps[node]) for node in self._plan.targets}
            for job in targets.values():
                job.users += 1  # keeps the result until the outputs are taken
                self._schedule.demand(job)
        while True:
            self._work_off()
            outputs, lost = self._outputs()
            if not lost:
                break
            with self._lock:
                for job in lost:
                    job.users += 1  # the store may forget it again
                    if self._schedule.revive(job):
                        self._emit(Missed(job.step.id, job.step.key))
        with seldom:
            nodes = {node: self._reports.of(step) for node, step in steps.items()}
        states = {report.state for report in nodes.values()}
        state = "cancelled" if "cancelled" in states else "failed" if "failed" in states else "done"
        seconds = time.perf_counter() - start
        self._emit(Finished(state, seconds))
        if self._fault is not None:
            raise self._fault
        return Report(state, seconds, nodes, outputs, self._partial(outputs) if state != "done" else {})

    # Threads: the caller's does the steps, and more join it when it does not keep up.

    def _work_off(self) -> None:
        with self._lock:
            if not self._schedule.unsettled:
                return
        try:
            self._serve(staying=True)
        finally:
            self._over.set()
            with self._lock:
                while self._busy:  # after a fault: let the steps of other threads come to an end
                    self._news.wait()
            self._over = threading.Event()
            self._watched = False
        if self._fault is not None and self._schedule.unsettled:
            raise self._fault

    def _serve(self, staying: bool) -> None:
        """Take a ready step, do it, settle it; until none is ready, or if staying, until all are settled."""
        me = threading.get_ident()
        job: Job | None = None
        outcome: _Outcome = None
        try:
            while True:
                with self._lock:  # not taken and let go by hand: Ctrl-C may come between any two calls
                    if job is not None:
                        self._busy.discard(me)
                        self._settle(job, outcome)
                        if self._waiting:
                            self._news.notify()
                    job = self._next(staying)
                    if job is None:
                        return
                    self._busy.add(me)
                    kind = job.step.bound.type.id
                    if self._schedule.has_ready and not self._watched and not self._crew.is_quick(kind):
                        self._watched = self._workers > 1 and self._crew.hire(
                            partial(self._watch, self._over)
                        )
                began = time.perf_counter()
                outcome = self._do(job)
                if isinstance(outcome, Result):
                    self._crew.note(kind, time.perf_counter() - began)
        except BaseException as error:  # a fault of the engine, or Ctrl-C: nothing more is begun
            self._fault = error
            self._workers = 0
            self._cancel.ask()
            if staying:
                raise
        finally:
            with self._lock:
                self._busy.discard(me)
                if not staying:
                    self._threads -= 1
                self._news.notify_all()

    def _next(self, staying: bool) -> Job | None:
        """The next step to do; None if there is none, or if staying, if there will be none either."""
        while True:
            job = self._schedule.take() if self._workers else None
            if job is not None or not staying:
                return job
            if self._busy:
                self._waiting = True
                self._news.wait()
                self._waiting = False
            elif not self._broke_circle():
                return None

    def _broke_circle(self) -> bool:
        """Fail a node that waits for itself, since nothing else is left to do; False if there is none."""
        job = self._schedule.circle() if self._schedule.unsettled and self._workers else None
        if job is None:
            return False
        self._failed(job.step, circular(), job.spent)
        self._settle(job, None)
        return True

    def _watch(self, over: threading.Event) -> None:
        """Hire a thread whenever ready work has waited for a while; until the run is over."""
        seen, idle = -1, 0
        while not over.wait(STALL_SECONDS):
            with self._lock:
                ready = self._schedule.has_ready
                if ready and self._settled == seen and self._threads < self._workers:
                    self._threads += 1
                    if not self._crew.hire(partial(self._serve, staying=False)):
                        self._threads -= 1
                seen = self._settled
                idle = 0 if ready else idle + 1
                if idle > IDLE_LOOKS and over is self._over:
                    self._watched = False
                    return

    def _settle(self, job: Job, outcome: _Outcome) -> None:
        schedule = self._schedule
        if isinstance(outcome, Result):
            schedule.done(job, outcome)
        elif outcome is _SETTLED:
            schedule.done(job, None)
        elif isinstance(outcome, _Wants):
            schedule.wait(job, outcome.steps)
        elif isinstance(outcome, Job):
            if schedule.lost(job, outcome):
                self._emit(Missed(outcome.step.id, outcome.step.key))
        else:
            schedule.broke(job, "cancelled" if self._reports.was_cancelled(job.step) else "failed")
        self._settled += 1
        if not schedule.given_up:
            return
        given_up, schedule.given_up = schedule.given_up, []
        for other in given_up:
            reason = CANCELLED if other.state == "cancelled" else other.because
            self._reports.put(other.step, NodeReport(other.state, said=reason))
            if other.state == "skipped":
                self._emit(Skipped(other.step.id, reason))

    # One step, outside the lock.

    def _do(self, job: Job) -> _Outcome:
        """Do one step, or find out what it needs for that."""
        step = job.step
        start = time.perf_counter()
        answered = False
        try:
            self._cancel.check()
            if isinstance(step, Gather | Spread):
                return self._do_list(step)
            if step.late and (outcome := self._find_out(job)) is not None:
                return outcome
            inputs = self._supply.inputs(step)
            body = self._body if job.expansion is None else self._expansion
            result, answered = self._through_lifecycles(job, inputs, start, body)
        except Lost as lost:
            return lost.job
        except _Returned as returned:
            return self._expand(job, returned.graph, time.perf_counter() - start)
        except Cancelled:
            seconds = time.perf_counter() - start
            self._reports.put(step, NodeReport("cancelled", seconds=seconds, said=CANCELLED))
            return None
        except KeyboardInterrupt:
            raise
        except BaseException as error:  # whatever a node raises, SystemExit too, fails that node alone
            self._failed(step, error, time.perf_counter() - start)
            return None
        self._told(step, time.perf_counter() - start, "disk" if answered else "none")
        return result

    def _told(self, step: Step, seconds: float, cache: str) -> None:
        state = "done" if cache == "none" else "cached"
        self._reports.put(step, NodeReport(state, cache, seconds, step=step))
        if self._listener is not None:
            self._emit(Done(step.id, seconds, cache, step.key if step.keep else None))

    def _find_out(self, job: Job) -> _Outcome:
        """What a step will be whose key the plan could not know; None if nothing is left but to do it."""
        step, maker = job.step, self._plan.maker
        if step.key is None:
            node_type = step.bound.type
            if node_type.lazy and step.asked is None:
                maker.decide(step, self._supply.inputs(step))
                asked: frozenset[str] = step.asked or frozenset()
                step.sources = tuple(
                    source
                    for source in step.sources
                    if source.input not in node_type.lazy or source.input in asked
                )
                step.parents = tuple(dict.fromkeys([source.step for source in step.sources]))
            if node_type.reads_world:
                if missing := self._missing(step):
                    return _Wants(missing)
                inputs = _given(step, self._supply.inputs(step))
                step.fingerprint = node_type.cls(**inputs).fingerprint(self._files)
            key = maker.key(step, step.fingerprint)
            if key is None:
                missing = self._missing(step)
                if not missing:  # an ancestor acts on the world in a way that nothing can name
                    return None
                return _Wants(missing)
            with self._making:
                step.key = key
                leader = maker.leads(step)
            if leader is not step:
                step.leader = leader
                step.action = "share"
        if step.leader is not None:
            if self._schedule.found(step.leader) is None or self._missing(step, step.leader):
                return _Wants([step.leader])
            leading = self._schedule.job(step.leader)
            result = leading.result or (self._store.load(step.key) if step.keep else None)
            if result is None:
                raise Lost(leading)
            return result
        if step.keep and not job.revived:
            held = self._store.where([step.key]).get(step.key)
            if held is not None:
                step.action, step.tier, step.made = "reuse", held.tier, held.made
                self._told(step, 0.0, held.tier)
                return _SETTLED
        missing = self._missing(step)
        return _Wants(missing) if missing else None

    def _missing(self, step: Step, *more: Step) -> list[Step]:
        """Those of the steps whose results it takes that are not done yet."""
        missing = []
        with self._lock:
            for parent in more or step.parents:
                job = self._schedule.found(parent)
                if job is None or job.state not in ("reused", "done"):
                    missing.append(parent)
        return missing

    def _do_list(self, step: Gather | Spread) -> _Outcome:
        if isinstance(step, Gather):
            missing = self._missing(step, *(step.children or ())) if step.children else []
            return _Wants(missing) if missing else _SETTLED
        with self._making:
            try:
                more = self._plan.maker.spread(step.gather)
            except Lacking as lacking:
                if missing := self._missing(step, *lacking.steps):
                    return _Wants(missing)
                raise Lost(self._schedule.job(lacking.steps[0])) from None
            except Unreadable as error:
                problem = error.problem
                raise NodeError(problem.message, hint=problem.hint, code=problem.code) from None
            decide(more, set(), self._store)
        self._emit(Grown(step.id, more))
        return _SETTLED

    def _through_lifecycles(
        self, job: Job, inputs: dict[str, object], start: float, body: _Body
    ) -> tuple[Result, bool]:
        step = job.step
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
                outputs = body(job, inputs)
                seconds = job.spent + time.perf_counter() - start
                result = Result(outputs, seconds, time.time(), step.bound.type.id)
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

    def _body(self, job: Job, inputs: dict[str, object]) -> Mapping[str, object]:
        step = job.step
        if self._listener is not None:
            self._emit(Started(step.id))
        node_type = step.bound.type
        node = node_type.cls(**(_given(step, inputs) if node_type.lazy else inputs))
        ctx = Context(step.id, self._emit, self._cancel, self._files, self._residency, self._device)
        returned = node.run(ctx)
        if isinstance(returned, Graph):
            raise _Returned(returned)
        outputs = outputs_of(node_type, returned)
        spelled: dict[str, object] = {}
        for name, kind in step.bound.outputs.items():
            if not kind.holds(outputs[name]):
                raise TypeError(f"output {name!r} is {wire_of(outputs[name])} where {kind} was declared")
            spelled[name] = kind.spelled(outputs[name])
        if node_type.reads_world and step.keep and node.fingerprint(self._files) != step.fingerprint:
            hint = "run again to use it as it is now; a node that never reads the same twice is pure=False"
            raise NodeError("what it reads changed while it was read", hint=hint, code="changed_file")
        return spelled

    def _expansion(self, job: Job, inputs: dict[str, object]) -> Mapping[str, object]:
        """The outputs of a step whose node returned a graph, now that the graph's steps are done."""
        return {
            source.input: self._supply.value(source.step, source.output, source.path)
            for source in job.expansion or ()
            if source.output
        }

    def _expand(self, job: Job, graph: Graph, seconds: float) -> _Outcome:
        """Put the steps of a graph that a node returned in its place."""
        step = job.step
        job.spent += seconds
        try:
            with self._making:
                before = len(self._plan.maker.order)
                job.expansion = expanded(self._plan, self._store, step, graph)
                more = self._plan.maker.order[before:]
        except KeyboardInterrupt:
            raise
        except BaseException as error:
            self._failed(step, error, job.spent)
            return None
        self._emit(Grown(step.id, more))
        return _Wants([source.step for source in job.expansion])

    def _failed(self, step: Step, error: BaseException, seconds: float) -> None:
        problem, trace = explained(error, step.id, step.bound.type.name)
        if isinstance(error, GraphError) and error.problems:
            problem = error.problems[0]
        self._reports.put(step, NodeReport("failed", "none", seconds, problem.message, problem, trace))
        self._emit(Failed(step.id, seconds, problem, trace))

    # What the run leaves behind.

    def _outputs(self) -> tuple[dict[str, Packed], list[Job]]:
        """The declared outputs as bytes, and the jobs whose bytes the store has lost."""
        outputs: dict[str, Packed] = {}
        lost: list[Job] = []
        targets = set(self._plan.targets)
        for name, link in self._plan.checked.outputs.items():
            if link.node not in targets:
                continue
            step = self._plan.steps[link.node]
            try:
                packed = self._supply.packed(step, link.output)
            except Lost as error:
                lost.append(error.job)
                continue
            except Exception as error:  # the code of a node pack may raise anything
                self._failed(step.leader or step, error, 0.0)
                continue
            if packed is not None:
                outputs[name] = packed
        return outputs, lost

    def _partial(self, whole: Mapping[str, Packed]) -> dict[str, Packed]:
        """Of the declared outputs that are lists and not whole, what there is."""
        found: dict[str, Packed] = {}
        for name, link in self._plan.checked.outputs.items():
            step = self._plan.steps.get(link.node)
            if name in whole or not isinstance(step, Gather):
                continue
            with suppress(Lost, TypeError, ValueError):
                packed = self._supply.packed(step, link.output, holes=True)
                if packed is not None and packed.type == "list":
                    found[name] = packed
        return found

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


class _Returned(Exception):
    """A node returned a graph, to be run in its place."""

    def __init__(self, graph: Graph) -> None:
        super().__init__()
        self.graph = graph


def _given(step: Step, inputs: Mapping[str, object]) -> dict[str, object]:
    """Inputs as a node with lazy ones takes them: those that it did not ask for are empty."""
    asked, lazy = step.asked or frozenset(), step.bound.type.lazy
    given: dict[str, object] = {}
    wired = {source.input for source in step.sources}
    for name, value in inputs.items():
        if name not in lazy:
            given[name] = value
        elif name in asked:
            given[name] = Lazy(value) if name in wired else value
    return given | {name: Lazy() for name in lazy - asked}
