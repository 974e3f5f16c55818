"""What may run next: the steps of one run, on their way from demanded to settled.

A run pulls. It demands its targets, they demand what they need; a result that turns out to be lost is
demanded again, with whatever it needs. Nothing here knows threads, stores or nodes: a caller holds a lock
around it.
"""

from __future__ import annotations

from collections.abc import Iterable, Sequence
from dataclasses import dataclass, field
from heapq import heappop, heappush
from typing import Literal

from engine.step import Gather, Source, Step
from engine.store.store import Result

JobState = Literal["idle", "waiting", "ready", "running", "reused", "done", "failed", "skipped", "cancelled"]

BROKEN = ("failed", "skipped", "cancelled")


@dataclass(slots=True, eq=False)
class Job:
    """A step on its way."""

    step: Step
    state: JobState = "idle"
    parents: tuple[Job, ...] = ()
    """Whose results it takes, each once; known from when it is demanded."""
    later: tuple[Job, ...] = ()
    """Whose results it may come to take besides; until then they are kept for it, once they are there."""
    waits: int = 0
    """How many of them have yet to be done."""
    consumers: list[Job] = field(default_factory=list)
    """Who waits for it."""
    users: int = 0
    """How many demanded jobs have yet to take its result; when none is left it is let go."""
    result: Result | None = None
    because: str = ""
    """Why it was skipped."""
    revived: bool = False
    """True if its result was lost, so that the store is not to be trusted with it."""
    expansion: Sequence[Source] | None = None
    """Where its outputs come from, if its node returned a graph."""
    spent: float = 0.0
    """Seconds that it took to return that."""


class Schedule:
    """The demanded part of a plan; ready jobs come in the plan's order, accelerator jobs one at a time."""

    def __init__(self) -> None:
        self.unsettled = 0
        """How many demanded jobs are neither done nor given up."""
        self.given_up: list[Job] = []
        """Jobs that were skipped or cancelled because of others, for the caller to take and tell."""
        self._jobs: dict[Step, Job] = {}
        self._pool: list[tuple[int, Job]] = []
        self._lane: list[tuple[int, Job]] = []
        self._lane_busy = False

    def job(self, step: Step) -> Job:
        """The job that makes the result of a step; equal steps share one."""
        job = self._jobs.get(step)
        if job is None:
            step = step.leader or step
            job = self._jobs.get(step)
            if job is None:
                job = self._jobs[step] = Job(step)
        return job

    def found(self, step: Step) -> Job | None:
        """The same, or None if nobody demanded it."""
        return self._jobs.get(step) or (self._jobs.get(step.leader) if step.leader is not None else None)

    @property
    def has_ready(self) -> bool:
        """True if a job could be taken now."""
        return bool(self._pool) or (bool(self._lane) and not self._lane_busy)

    def demand(self, target: Job) -> None:
        """Have a job done, and first whatever it needs."""
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
                job.users += 1  # it may act only once, so its result stays for whoever may yet ask for it
            if step.later:
                job.later = tuple(map(self.job, step.later))
                for other in job.later:
                    other.users += 1
            broken = None
            for parent in job.parents:
                parent.users += 1
                if parent.state == "idle" and parent.step.action == "reuse":
                    parent.state = "reused"
                elif parent.state in BROKEN:
                    broken = parent
            if broken is not None:
                self._give_up(broken, [job])
                continue
            for parent in job.parents:
                if parent.state not in ("reused", "done"):
                    job.waits += 1
                    parent.consumers.append(job)
                    stack.append(parent)
            if not job.waits:
                self._make_ready(job)

    def take(self) -> Job | None:
        """The next ready job, now running; None if there is none."""
        lane, pool = self._lane, self._pool
        if lane and not self._lane_busy and (not pool or lane[0] < pool[0]):
            self._lane_busy = True
            job = heappop(lane)[1]
        elif pool:
            job = heappop(pool)[1]
        else:
            return None
        job.state = "running"
        return job

    def wait(self, job: Job, steps: Iterable[Step]) -> None:
        """A running job has found that it needs the results of these steps, too."""
        if job.step.lane:
            self._lane_busy = False
        job.state = "waiting"
        broken: Job | None = None
        more = [one for one in dict.fromkeys(map(self.job, steps)) if one not in job.parents]
        job.parents += tuple(more)
        for parent in more:
            parent.users += 1
            self.demand(parent)
        for parent in job.parents:
            if parent.state in BROKEN:
                broken = parent
            elif parent.state not in ("reused", "done"):
                job.waits += 1
                parent.consumers.append(job)
        if broken is not None:
            self._give_up(broken, [job])
        elif not job.waits:
            self._make_ready(job)

    def circle(self) -> Job | None:
        """While nothing is ready and nothing runs: a job that waits for itself, by way of others.

        That comes about when nodes return graphs that come down to one another.
        """
        job = next((job for job in self._jobs.values() if job.state == "waiting"), None)
        seen: dict[Job, None] = {}
        while job is not None and job not in seen:
            seen[job] = None
            job = next((parent for parent in job.parents if parent.state == "waiting"), None)
        if job is None:
            return None
        circle = list(seen)[list(seen).index(job) :]
        return next((job for job in circle if job.expansion is not None), job)

    def done(self, job: Job, result: Result | None) -> None:
        """A running job has its result; without one, what follows finds it in the store."""
        job.result = result
        self._settle(job, "done")
        for consumer in job.consumers:
            if consumer.state == "waiting":
                consumer.waits -= 1
                if not consumer.waits:
                    self._make_ready(consumer)
        job.consumers.clear()

    def broke(self, job: Job, state: Literal["failed", "cancelled"]) -> None:
        """A running job will have no result; what waits for it is given up, and what waits for that."""
        self._settle(job, state)
        consumers = job.consumers[:]
        job.consumers.clear()
        self._give_up(job, consumers)

    def lost(self, job: Job, parent: Job) -> bool:
        """A running job found the result of a parent gone: make it again, then the job.

        Returns:
            whether that begins now; not if somebody else missed it before.
        """
        if job.step.lane:
            self._lane_busy = False
        job.state = "waiting"
        revived = self.revive(parent)
        if parent.state in BROKEN:
            self._give_up(parent, [job])
        elif parent.state == "done":  # somebody else missed it first, and it has been made again since
            self._make_ready(job)
        else:
            if parent not in job.parents:  # an element of a list that it takes as a whole
                job.parents += (parent,)
                parent.users += 1
            job.waits += 1
            parent.consumers.append(job)
        return revived

    def revive(self, job: Job) -> bool:
        """Compute what the plan meant to reuse, or what was let go, since the store does not have it.

        Returns:
            False if that is under way already, or has been done since.
        """
        revived = job.state in ("idle", "reused") or (job.state == "done" and job.result is None)
        if revived:
            job.step.action, job.step.tier = "run", None
            job.state, job.revived = "idle", True
        self.demand(job)
        return revived

    def _make_ready(self, job: Job) -> None:
        job.state = "ready"
        lane = self._lane if job.step.lane else self._pool
        heappush(lane, (job.step.index, job))

    def _settle(self, job: Job, state: JobState) -> None:
        if job.step.lane and job.state == "running":
            self._lane_busy = False
        job.state = state
        self.unsettled -= 1
        later, job.later = job.later, ()
        self._let_go(later)
        if not job.users:
            job.result = None
        elif state == "done" and isinstance(job.step, Gather):
            return  # its elements are its result, and stay until nobody needs it any more
        self._release(job)

    def _release(self, job: Job) -> None:
        """Let go of what a settled job took."""
        parents, job.parents = job.parents, ()
        self._let_go(parents)

    def _let_go(self, parents: Iterable[Job]) -> None:
        for parent in parents:
            parent.users -= 1
            if not parent.users:
                parent.result = None
                if isinstance(parent.step, Gather) and parent.state == "done":
                    self._release(parent)

    def _give_up(self, root: Job, stack: list[Job]) -> None:
        state: JobState = "cancelled" if root.state == "cancelled" else "skipped"
        because = root.because if root.state == "skipped" else f"{root.step.id} {root.state}"
        while stack:
            job = stack.pop()
            if job.state == "waiting":
                job.because = because
                self._settle(job, state)
                self.given_up.append(job)
                stack.extend(job.consumers)
                job.consumers.clear()
