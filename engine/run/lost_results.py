"""Recomputes results that the store has lost."""

from __future__ import annotations

from engine.run.schedule import BROKEN, Job, Schedule


class LostResult(Exception):
    """Raised if the store no longer has the result of a parent that a step needs.

    Args:
        job: the job of the parent.
    """

    def __init__(self, job: Job) -> None:
        super().__init__(job.step.id)
        self.job = job


def recompute_parent(schedule: Schedule, job: Job, parent: Job) -> bool:
    """Schedule a parent whose result was lost, and then the running job that needs it again.

    Returns:
        True if this call started the recomputation; False if it was started before for another job.
    """
    schedule.leave_accelerator(job)
    job.state = "waiting"
    starts = recompute(schedule, parent)
    if parent.state in BROKEN:
        schedule.skip(parent, [job])
    elif parent.state == "done":  # another job needed it first, and it has been computed since then
        schedule.make_ready(job)
    else:
        if parent not in job.parents:  # an element of a list that the job takes as one value
            job.parents += (parent,)
            parent.users += 1
        job.waits += 1
        parent.consumers.append(job)
    return starts


def recompute(schedule: Schedule, job: Job) -> bool:
    """Schedule the recomputation of a result that the plan wanted to reuse, or that the run has released.

    Returns:
        True if this call started it; False if the result is being computed or has been computed already.
    """
    starts = job.state in ("idle", "reused") or (job.state == "done" and job.result is None)
    if starts:
        job.step.action, job.step.tier = "run", None
        job.state, job.recomputed = "idle", True
    schedule.demand(job)
    return starts
