"""Walks a plan: ready steps side by side in lanes, wrapped in lifecycles, told as events.

A run pulls: it begins at the targets and demands what they need, so a result that turns out to be damaged is
simply demanded again, with whatever it needs. A failed step takes its dependants with it and nothing else.
"""

from __future__ import annotations

import threading
import time
import traceback
from collections.abc import Mapping, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush

from pydantic import ValidationError

from engine.context import Cancel, Context
from engine.errors import Cancelled, NodeError, Problem
from engine.events import Done, Emit, Failed, Finished, Planned, Skipped, Started, State
from engine.files import Files
from engine.keys import step_key
from engine.lifecycles.lifecycle import Lifecycle
from engine.node import outputs_of
from engine.plan import Plan, Step
from engine.residency import Residency
from engine.store.store import Result, Store, Tier
from engine.values import Json, Packed, Value, pack, wire_of

CANCELLED = "the run was cancelled"

STALL_SECONDS = 0.003
"""How long ready work may wait for a busy lane before another thread is put to it."""


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
    """The graph's declared outputs that there are, as bytes."""


@dataclass(slots=True, eq=False)
class _Job:
    """A step on its way."""

    step: Step
    parents: tuple[_Job, ...]
    state: str = "idle"  # idle, waiting, ready, running, reused, done, failed, skipped, cancelled
    waits: int = 0
    consumers: list[_Job] = field(default_factory=list)
    users: int = 0
    """How many demanded consumers have not finished; when none is left the result is let go."""
    result: Result | None = None
    report: NodeReport | None = None


class _Lost(Exception):
    """A result that the plan meant to reuse is not there after all."""

    def __init__(self, job: _Job) -> None:
        super().__init__(job.step.id)
        self.job = job


class Run:
    """One walk over one plan.

    Args:
        plan: what to do.
        store: where reused results lie.
        files, residency, device: what contexts are made of.
        emit: is told every event, one at a time.
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
        self._emit_raw, self._cancel = emit, cancel or Cancel()
        self._lifecycles, self._workers = tuple(lifecycles), max(1, workers)
        self._lock = threading.Lock()
        self._told = threading.RLock()
        self._over = threading.Event()
        self._crash: BaseException | None = None
        self._ready: dict[bool, list[tuple[int, _Job]]] = {False: [], True: []}
        self._lane_busy = False
        self._unsettled = 0
        self._finished_steps = 0
        self._threads = 0
        self._jobs: dict[Step, _Job] = {}
        for step in plan.steps.values():
            if step.leader is None:
                self._jobs[step] = _Job(step, tuple(self._jobs[parent] for parent in _parents(step)))

    def go(self) -> Report:
        """Run to the end; returns when every demanded step is done, failed, skipped or cancelled."""
        start = time.perf_counter()
        self._emit(Planned(self._plan))
        targets = [self._jobs[_led(self._plan.steps[target])] for target in self._plan.targets]
        outputs: dict[str, Packed] = {}
        with self._lock:
            for job in targets:
                job.users += 1  # keeps the result until the outputs are taken
                self._demand(job)
        while True:
            self._work_off()
            outputs, lost = self._outputs()
            if not lost:
                break
            with self._lock:
                for job in lost:
                    self._revive(job)
        nodes = {node: self._report(step) for node, step in self._plan.steps.items()}
        states = {report.state for report in nodes.values()}
        state = "cancelled" if "cancelled" in states else "failed" if "failed" in states else "done"
        seconds = time.perf_counter() - start
        self._emit(Finished(state, seconds))
        return Report(state, seconds, nodes, outputs)

    # Demand: all under the lock.

    def _demand(self, target: _Job) -> None:
        """Have a job done, and first whatever it needs."""
        stack = [target]
        while stack:
            job = stack.pop()
            if job.state != "idle":
                continue
            if job.step.action == "reuse":
                job.state = "reused"
                continue
            job.state = "waiting"
            self._unsettled += 1
            for parent in job.parents:
                parent.users += 1
                if parent.state == "idle" and parent.step.action == "reuse":
                    parent.state = "reused"
                if parent.state not in ("reused", "done"):
                    self._wait_for(job, parent)
                    stack.append(parent)
            if job.waits == 0:
                self._make_ready(job)

    def _wait_for(self, job: _Job, parent: _Job) -> None:
        job.waits += 1
        parent.consumers.append(job)
        if parent.state in ("failed", "skipped", "cancelled"):
            self._give_up(parent)

    def _revive(self, job: _Job) -> None:
        """Compute what was to be reused: it is not there after all."""
        if job.state == "reused":
            job.step.action, job.step.tier = "run", None
            job.state = "idle"
            self._demand(job)

    def _make_ready(self, job: _Job) -> None:
        job.state = "ready"
        heappush(self._ready[job.step.bound.type.accelerator], (job.step.index, job))

    # Working off: a first thread is put to the ready steps, and more when it does not keep up.

    def _work_off(self) -> None:
        with self._lock:
            if self._unsettled == 0:
                return
            self._over.clear()
            self._hire()
        seen = -1
        while not self._over.wait(STALL_SECONDS if self._could_hire() else 0.05):
            with self._lock:
                if self._finished_steps == seen and self._could_hire():
                    self._hire()
                seen = self._finished_steps
        if self._crash is not None:
            raise self._crash

    def _could_hire(self) -> bool:
        waiting = self._ready[False] or (self._ready[True] and not self._lane_busy)
        return bool(waiting) and self._threads < self._workers

    def _hire(self) -> None:
        self._threads += 1
        threading.Thread(target=self._serve, name=f"safelight-{self._threads}", daemon=True).start()

    def _serve(self) -> None:
        """What each thread does: take a ready step, do it, settle it; until none is ready."""
        self._lock.acquire()
        try:
            while (job := self._take()) is not None:
                self._lock.release()
                try:
                    lost = self._do(job)
                finally:
                    self._lock.acquire()
                self._settle(job, lost)
        except BaseException as error:  # a fault of the engine or of a listener, not of a node: the run ends
            self._crash = error
        finally:
            self._threads -= 1
            if self._threads == 0 or self._crash is not None:
                self._over.set()
            self._lock.release()

    def _take(self) -> _Job | None:
        lane, pool = self._ready[True], self._ready[False]
        if lane and not self._lane_busy and (not pool or lane[0] < pool[0]):
            self._lane_busy = True
            job = heappop(lane)[1]
        elif pool:
            job = heappop(pool)[1]
        else:
            return None
        job.state = "running"
        return job

    def _settle(self, job: _Job, lost: _Job | None) -> None:
        if job.step.bound.type.accelerator:
            self._lane_busy = False
        if lost is not None:
            self._revive(lost)
            job.state = "waiting"
            if lost.state == "done":  # another consumer missed it first, and it was made anew meanwhile
                self._make_ready(job)
            else:
                self._wait_for(job, lost)
            return
        assert job.report is not None
        job.state = job.report.state if job.report.state != "cached" else "done"
        self._unsettled -= 1
        self._finished_steps += 1
        if job.state == "done":
            for consumer in job.consumers:
                consumer.waits -= 1
                if consumer.waits == 0:
                    self._make_ready(consumer)
        else:
            self._give_up(job)
        job.consumers.clear()
        for parent in job.parents:
            self._release(parent)
        if job.users == 0:
            job.result = None

    def _release(self, job: _Job) -> None:
        job.users -= 1
        if job.users == 0:
            job.result = None

    def _give_up(self, root: _Job) -> None:
        """Whatever waits for a job that will not be done is skipped, and what waits for that."""
        stack = list(root.consumers)
        root.consumers.clear()
        while stack:
            job = stack.pop()
            if job.state != "waiting":
                continue
            if root.state == "cancelled":
                job.report = NodeReport("cancelled", reason=CANCELLED)
            else:
                because = (
                    root.report.reason
                    if root.state == "skipped" and root.report
                    else f"{root.step.id} failed"
                )
                job.report = NodeReport("skipped", reason=because)
                self._emit(Skipped(job.step.id, because))
            job.state = job.report.state
            self._unsettled -= 1
            for parent in job.parents:
                self._release(parent)
            stack.extend(job.consumers)
            job.consumers.clear()

    # One step, outside the lock.

    def _do(self, job: _Job) -> _Job | None:
        """Do one step and leave its report; returns the parent whose result was lost, if one was."""
        step = job.step
        start = time.perf_counter()
        try:
            self._cancel.check()
            inputs = self._inputs(step)
            held: Tier | None = None
            if step.late and step.keep:
                step.key = self._late_key(step, inputs)
                held = next((found.tier for found in self._store.where([step.key]).values()), None)
            result, answered = self._through_lifecycles(step, inputs, start)
        except _Lost as lost:
            return lost.job
        except Cancelled:
            job.report = NodeReport("cancelled", seconds=time.perf_counter() - start, reason=CANCELLED)
            return None
        except BaseException as error:  # whatever a node raises, SystemExit too, fails that node alone
            problem, trace = _explained(error, step)
            seconds = time.perf_counter() - start
            job.report = NodeReport(
                "failed", seconds=seconds, reason=problem.message, problem=problem, trace=trace
            )
            self._emit(Failed(step.id, seconds, problem, trace))
            return None
        seconds = time.perf_counter() - start
        job.result = result
        cache = (held or "disk") if answered else "none"
        job.report = NodeReport("cached" if answered else "done", cache, seconds, step.reason)
        self._emit(Done(step.id, seconds, cache))
        return None

    def _inputs(self, step: Step) -> dict[str, object]:
        inputs: dict[str, object] = dict(step.bound.literals)
        for name, link in step.bound.links.items():
            job = self._jobs[_led(self._plan.steps[link.node])]
            if job.result is None:
                assert job.step.key is not None
                job.result = self._store.load(job.step.key)
                if job.result is None:
                    raise _Lost(job)
            inputs[name] = job.result.outputs[link.output]
        return inputs

    def _late_key(self, step: Step, inputs: Mapping[str, object]) -> str:
        """The key of a step that has learned only now which file it reads, or whose ancestor has."""
        keys: dict[str, str] = {}
        for link in step.bound.links.values():
            key = _led(self._plan.steps[link.node]).key
            assert key is not None  # its parents are done, and are kept, or it would not be
            keys[link.node] = key
        cls = step.bound.type.cls
        fingerprint: Json = cls(**inputs).fingerprint(self._files) if step.bound.type.reads_world else None
        return step_key(step.bound, keys, fingerprint, self._device)

    def _through_lifecycles(self, step: Step, inputs: dict[str, object], start: float) -> tuple[Result, bool]:
        entered: list[Lifecycle] = []
        result: Result | None = None
        answered = False
        try:
            for lifecycle in self._lifecycles:
                result = lifecycle.setup(step, inputs)
                entered.append(lifecycle)
                if result is not None:
                    answered = True
                    break
            if result is None:
                outputs = self._body(step, inputs)
                result = Result(outputs, time.perf_counter() - start, time.time(), step.bound.type.id)
        except BaseException:
            for lifecycle in reversed(entered):
                lifecycle.teardown(step, inputs, None)
            raise
        if not answered:
            for lifecycle in reversed(entered):
                lifecycle.teardown(step, inputs, result)
        return result, answered

    def _body(self, step: Step, inputs: dict[str, object]) -> Mapping[str, object]:
        self._emit(Started(step.id))
        node_type = step.bound.type
        node = node_type.cls(**inputs)
        ctx = Context(step.id, self._emit, self._cancel, self._files, self._residency, self._device)
        outputs = outputs_of(node_type, node.run(ctx))
        for name, value in outputs.items():
            expected = Value.types.get(node_type.outputs[name].name)
            if expected is not None and not node_type.outputs[name].lists and not isinstance(value, expected):
                raise TypeError(
                    f"output {name!r} is {wire_of(value)} where {node_type.outputs[name]} was declared"
                )
        return outputs

    # What the run leaves behind.

    def _outputs(self) -> tuple[dict[str, Packed], list[_Job]]:
        """The declared outputs as bytes, and the jobs whose bytes the store has lost."""
        outputs: dict[str, Packed] = {}
        lost: list[_Job] = []
        for name, link in self._plan.checked.graph.outputs.items():
            step = self._plan.steps.get(link.node)
            if step is None:
                continue
            job = self._jobs[_led(step)]
            if job.state not in ("done", "reused"):
                continue
            key = job.step.key if job.step.keep else None
            packed = self._store.packed(key, link.output) if key is not None else None
            if packed is None and job.result is not None:
                packed = pack(job.result.outputs[link.output])
            if packed is not None:
                outputs[name] = packed
            elif job.state == "reused":
                lost.append(job)
        return outputs, lost

    def _report(self, step: Step) -> NodeReport:
        report = self._jobs[_led(step)].report
        if step.leader is not None:
            if report is None or report.state not in ("done", "cached"):
                return report or NodeReport("cached", reason=step.reason)
            return NodeReport("cached", "memory", reason=step.reason)
        if report is not None:
            return report
        if self._jobs[step].state in ("waiting", "ready", "running"):
            return NodeReport("cancelled", reason=CANCELLED)
        return NodeReport("cached", step.tier or "none", reason=step.reason)

    def _emit(self, event: object) -> None:
        if self._emit_raw is not None:
            with self._told:
                self._emit_raw(event)  # type: ignore[arg-type]


def _led(step: Step) -> Step:
    return step.leader or step


def _parents(step: Step) -> dict[Step, None]:
    """The steps whose results a step takes, each once."""
    return dict.fromkeys(_led(parent) for parent in step.parents)


def _explained(error: BaseException, step: Step) -> tuple[Problem, str]:
    trace = "".join(traceback.format_exception(error))
    if isinstance(error, NodeError):
        return error.problem(step.id), trace
    name = step.bound.type.name
    if isinstance(error, ValidationError):
        first = error.errors(include_url=False)[0]
        place = str(first["loc"][0]) if first["loc"] else None
        return Problem("invalid_value", f"{name} cannot take it: {first['msg']}", step.id, place), trace
    if (
        isinstance(error, MemoryError) or type(error).__name__ == "OutOfMemoryError"
    ):  # torch's own, for the GPU
        return Problem(
            "out_of_memory", "memory ran out", step.id, hint="make the picture or batch smaller"
        ), trace
    frames = [frame for frame in traceback.extract_tb(error.__traceback__) if frame.filename != __file__]
    hint = f"{frames[-1].filename}, line {frames[-1].lineno}" if frames else None
    said = f": {error}" if str(error) else ""
    return Problem("node_failed", f"{type(error).__name__}{said}", step.id, hint=hint), trace
