"""Keeps the states of the steps of one run, and decides in which order they run.

The run *demands* its targets (the steps that it must compute), and these demand the steps that they need. A
demanded step is *settled* when it is done, failed, skipped or cancelled. The schedule knows nothing of
threads, stores and nodes; callers guard it with a lock.
"""

from __future__ import annotations

from collections.abc import Callable, Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal, NamedTuple

from engine.plan.step import Step
from engine.store.store import Result

JobState = Literal["idle", "waiting", "ready", "running", "reused", "done", "failed", "skipped", "cancelled"]

BROKEN = ("failed", "skipped", "cancelled")


GROUP = 8
"""Elements of a list run in groups of this size; all nodes finish one group before the next group starts.

So a long list needs the memory of one group only, and a model is loaded once for each group, not for each
element. Within a group, the steps that do not use the device finish one element after the other, so that each
worker needs the memory of only one element.
"""

_Rank = tuple[tuple[int, ...], int, int]


def _rank(step: Step) -> _Rank:
    """Return the rank by which steps that use the device, and steps that do not, are each sorted.

    It consists of the group, the element within the group (0 for steps that use the device), and the place in
    the plan.
    """
    at = step.element_index
    if not at:
        return at, 0, step.index
    return (*at[:-1], at[-1] // GROUP), 0 if step.needs_device else at[-1] % GROUP, step.index


def _before(one: _Rank, other: _Rank) -> bool:
    """Return True if a step comes before another by group and plan, if only one of them uses the device."""
    return (one[0], one[2]) < (other[0], other[2])


@dataclass(slots=True, eq=False)
class Job:
    """The state of one step."""

    step: Step
    state: JobState = "idle"
    parents: tuple[Job, ...] = ()
    """The jobs whose results it needs, without duplicates; set when the job is demanded."""
    possible_parents: tuple[Job, ...] = ()
    """Further jobs whose results it may need through lazy inputs. If they are computed, their results are
    kept until this job is settled."""
    waits: int = 0
    """The number of parents that it still waits for."""
    consumers: list[Job] = field(default_factory=list)
    """The jobs that wait for this job."""
    users: int = 0
    """The number of demanded jobs and outputs that still need its result; at zero, the result is released."""
    wanted_whole: bool = False
    """True if a job or an output needs its result as one value, for example a whole list."""
    result: Result | None = None
    """The result, while the run keeps it in memory."""
    because: str = ""
    """The reason that it was skipped."""
    recomputed: bool = False
    """True if the store has lost its result, so that the store is not queried again."""
    saving: bool = False
    """True while its result is being saved; the steps that need the result may run already."""
    expand_seconds: float = 0.0
    """The seconds that its node took to return a graph in this run."""

    @property
    def keeps_parents(self) -> bool:
        """True if the results of its parents are kept in memory for this job.

        For an assembled step, this is True only if a job or an output needs its result as one value.
        """
        return self.wanted_whole or not self.step.assembled


class Computed(NamedTuple):
    """Outcome: the step is done."""

    result: Result | None = None
    """The result; None if the store has it, or if the step is assembled."""
    save: Callable[[], None] | None = None
    """Saves the result; to be called after the steps that need it have become ready. None if it is saved."""


@dataclass(frozen=True, slots=True)
class Needs:
    """Outcome: the step needs the results of these further steps before it can run."""

    steps: Sequence[Step]


@dataclass(frozen=True, slots=True)
class NeedsAgain:
    """Outcome: the step needs the result of a parent again, because the store has lost it."""

    parent: Job


@dataclass(frozen=True, slots=True)
class Stopped:
    """Outcome: the step has failed or was cancelled, and has no result."""

    state: Literal["failed", "cancelled"]


Outcome = Computed | Needs | NeedsAgain | Stopped
"""The outcome of running a step once."""


class Schedule:
    """The jobs of the demanded steps of a plan. They become ready when their parents are done.

    Ready jobs run in the order of the plan and of the groups of list elements (see `GROUP`). Only one
    accelerator job runs at a time.
    """

    def __init__(self) -> None:
        self.unsettled = 0
        """The number of demanded jobs that are not settled yet."""
        self.skipped: list[Job] = []
        """Jobs that were skipped or cancelled because of another job. The caller reports them, and removes
        them from this list."""
        self._jobs: dict[Step, Job] = {}
        self._host_queue: list[tuple[_Rank, Job]] = []
        self._accelerator_queue: list[tuple[_Rank, Job]] = []
        self._on_accelerator: Job | None = None
        """The accelerator job that is running, so that no other one starts; None if there is none."""

    def job(self, step: Step) -> Job:
        """Return the job of a step, and create it if necessary; steps with the same key share one job."""
        job = self._jobs.get(step)
        if job is None:
            step = step.same_as or step
            job = self._jobs.get(step)
            if job is None:
                job = self._jobs[step] = Job(step)
        return job

    @property
    def jobs(self) -> Iterable[Job]:
        """All existing jobs."""
        return self._jobs.values()

    def existing_job(self, step: Step) -> Job | None:
        """Return the job of a step; None if it does not exist yet."""
        return self._jobs.get(step) or (self._jobs.get(step.same_as) if step.same_as is not None else None)

    @property
    def has_ready(self) -> bool:
        """True if `take` would return a job."""
        return bool(self._host_queue) or (bool(self._accelerator_queue) and self._on_accelerator is None)

    def demand(self, target: Job) -> None:
        """Schedule a job and all jobs that it needs."""
        stack = [target]
        while stack:
            job = stack.pop()
            if job.state != "idle":
                continue
            step = job.step
            if step.action == "reuse":
                job.state = "reused"
                continue
            step.action = "run"
            job.state = "waiting"
            self.unsettled += 1
            job.parents = tuple(dict.fromkeys([self.job(parent) for parent in step.parents]))
            if not step.bound.type.pure:
                job.users += 1  # its side effects may happen only once, so its result is kept until the end
            if step.possible_parents:
                job.possible_parents = tuple(map(self.job, step.possible_parents))
                for other in job.possible_parents:
                    self.use(other)
            broken, keeps_parents = None, job.keeps_parents
            for parent in job.parents:
                if keeps_parents:
                    self.use(parent)
                if parent.state == "idle" and parent.step.action == "reuse":
                    parent.state = "reused"
                elif parent.state in BROKEN:
                    broken = parent
            if broken is not None:
                self.skip(broken, [job])
                continue
            for parent in job.parents:
                if parent.state not in ("reused", "done"):
                    job.waits += 1
                    parent.consumers.append(job)
                    stack.append(parent)
            if not keeps_parents:
                job.parents = ()
            if not job.waits:
                self.make_ready(job)

    def use(self, parent: Job) -> None:
        """Keep the result of a job for one more job or output; `release` ends this."""
        parent.users += 1
        if not parent.wanted_whole:
            parent.wanted_whole = True
            if parent.step.assembled and parent.state in ("waiting", "ready", "running", "done"):
                parts = dict.fromkeys(map(self.job, parent.step.parts))  # demanded, but not as one value
                parent.parents += tuple(part for part in parts if part not in parent.parents)
                for part in parts:
                    self.use(part)

    def take(self) -> Job | None:
        """Take the next ready job and mark it as running; None if no job is ready."""
        device, host = self._accelerator_queue, self._host_queue
        if device and self._on_accelerator is None and (not host or _before(device[0][0], host[0][0])):
            job = self._on_accelerator = heappop(device)[1]
        elif host:
            job = heappop(host)[1]
        else:
            return None
        job.state = "running"
        return job

    def wait(self, job: Job, steps: Iterable[Step]) -> None:
        """Let a running job wait for the results of further steps."""
        self.leave_accelerator(job)
        job.state = "waiting"
        broken: Job | None = None
        needed = list(dict.fromkeys(map(self.job, steps)))
        if job.step.assembled:  # its node has run, so it no longer needs the inputs
            self.release([parent for parent in job.parents if parent not in needed])
            job.parents = tuple([parent for parent in job.parents if parent in needed])
        more = [other for other in needed if other not in job.parents]
        for parent in more:
            if job.keeps_parents:
                self.use(parent)
            self.demand(parent)
        awaited = (*job.parents, *more)
        if job.keeps_parents:
            job.parents = awaited
        for parent in awaited:
            if parent.state in BROKEN:
                broken = parent
            elif parent.state not in ("reused", "done"):
                job.waits += 1
                parent.consumers.append(job)
        if broken is not None:
            self.skip(broken, [job])
        elif not job.waits:
            self.make_ready(job)

    def cycle(self) -> Job | None:
        """Find a job that waits for itself through other jobs; None if there is none.

        Call this when no job is ready or running. Nodes cause such cycles by returning graphs that need each
        other's results.
        """
        job = next((job for job in self._jobs.values() if job.state == "waiting"), None)
        seen: dict[Job, None] = {}
        while job is not None and job not in seen:
            seen[job] = None
            job = next((parent for parent in job.parents if parent.state == "waiting"), None)
        if job is None:
            return None
        cycle = list(seen)[list(seen).index(job) :]
        return next((job for job in cycle if job.step.assembled), job)

    def done(self, job: Job, result: Result | None) -> None:
        """Settle a running job as done, and make the jobs ready that waited only for it.

        If `result` is None, these read the store, or the results of the parts of an assembled step.
        """
        job.result = result
        self._settle(job, "done")
        for consumer in job.consumers:
            if consumer.state == "waiting":
                consumer.waits -= 1
                if not consumer.waits:
                    self.make_ready(consumer)
        job.consumers.clear()

    def begin_saving(self, job: Job) -> None:
        """Keep the result of a job while it is being saved; call this before `done`."""
        job.saving = True
        job.users += 1

    def saved(self, job: Job) -> None:
        """End what `begin_saving` began: the result of the job has been saved."""
        job.saving = False
        self.release([job])

    def settle_failed(self, job: Job, state: Literal["failed", "cancelled"]) -> None:
        """Settle a running job as failed or cancelled, and skip all jobs that need it."""
        self._settle(job, state)
        consumers = job.consumers[:]
        job.consumers.clear()
        self.skip(job, consumers)

    def leave_accelerator(self, job: Job) -> None:
        """Let the next accelerator job start, if this running job is an accelerator job."""
        if self._on_accelerator is job:
            self._on_accelerator = None

    def make_ready(self, job: Job) -> None:
        """Mark a job as ready to run, and queue it."""
        job.state = "ready"
        queue = self._accelerator_queue if job.step.needs_device else self._host_queue
        heappush(queue, (_rank(job.step), job))

    def _settle(self, job: Job, state: JobState) -> None:
        if job.state == "running":
            self.leave_accelerator(job)
        job.state = state
        self.unsettled -= 1
        if job.possible_parents:
            later, job.possible_parents = job.possible_parents, ()
            self.release(later)
        if not job.users:
            job.result = None
        elif state == "done" and job.step.assembled:
            return  # its elements are its result; they are kept until no job needs it
        self._release_parents(job)

    def _release_parents(self, job: Job) -> None:
        """Release the parents of a settled job."""
        parents, job.parents = job.parents, ()
        self.release(parents)

    def release(self, jobs: Iterable[Job]) -> None:
        """Record that one job or output no longer needs the results of these jobs; drop unneeded results."""
        for job in jobs:
            job.users -= 1
            if not job.users:
                job.result = None
                if job.step.assembled and job.state == "done":
                    self._release_parents(job)

    def skip(self, root: Job, stack: list[Job]) -> None:
        """Skip (or cancel) those jobs of `stack` that wait, and all jobs that need them.

        The reason is that `root` has no result.
        """
        state: JobState = "cancelled" if root.state == "cancelled" else "skipped"
        because = root.because if root.state == "skipped" else f"{root.step.id} {root.state}"
        while stack:
            job = stack.pop()
            if job.state == "waiting":
                job.because = because
                self._settle(job, state)
                self.skipped.append(job)
                stack.extend(job.consumers)
                job.consumers.clear()
