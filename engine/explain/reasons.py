"""Explains in words why each step of a plan runs or does not run."""

from __future__ import annotations

import time
from collections import Counter
from collections.abc import Callable
from typing import TYPE_CHECKING

from engine.explain.causes import Causes
from engine.explain.wording import always
from engine.plan.step import Gather, Step

if TYPE_CHECKING:
    from engine.explain.history import Record
    from engine.plan.plan import Plan

JUST_COMPUTED = "another run has just computed it"

_LAST_TIME = {
    "failed": "failed last time",
    "cancelled": "cancelled last time",
    "skipped": "not reached last time",
}


class Reasons:
    """Explains why the steps of one plan run or do not run. The first call of `why` does the comparison.

    Args:
        plan: the plan.
        record: the record of the graph's previous run; None if the graph is not in the history.
        is_held: returns True if the store now has the result of a key, because another run has computed it
            after planning.
    """

    def __init__(
        self, plan: Plan, record: Record | None, is_held: Callable[[str], bool] = lambda key: False
    ) -> None:
        self.record = record
        self._is_held = is_held
        self._causes = None if record is None else Causes(record, plan.checked.graph, plan.compute)

    def why(self, step: Step) -> str:
        """Return the reason why a step runs or does not run, such as `seed is 7, was 3`."""
        if isinstance(step, Gather):
            return _of_list(step)
        if step.same_as is not None:
            return f"shared with `{step.same_as.id}`: same inputs"
        if step.action == "reuse":
            return "memory" if step.tier == "memory" else f"disk, made {ago(time.time() - step.made)}"
        if step.action == "unneeded":
            if step.only_if_asked:
                return "only if asked for"
            return "not needed: the steps after it are cached"
        if step.action == "may_run" and step.key is not None:
            return "runs only if a lazy input needs it"
        if self._causes is None:
            return _without_history(step)
        cause = self._causes.of(step)
        if cause is not None:
            return cause.own
        if step.key_unknown:
            return "depends on a value that is only known while running"
        if step.key is not None and self._is_held(step.key):
            return JUST_COMPUTED
        return _LAST_TIME.get(self._causes.past(step).state, "evicted")


def _of_list(gather: Gather) -> str:
    if gather.children is None:
        return "for each element of a list that is only known while running"
    steps = list(gather.elements())
    actions = Counter((step.same_as or step).action for step in steps)
    if runs := actions["run"]:
        return f"{runs:,} of {len(steps):,} elements run"
    if may_run := actions["may_run"]:
        return f"{may_run:,} of {len(steps):,} elements may run"
    return f"all {len(steps):,} elements are cached"


def _without_history(step: Step) -> str:
    if not step.bound.type.pure:
        return always(step.bound.type.name)
    for parent in step.parents:
        if (parent.same_as or parent).action == "run":
            return f"{parent.id} runs"
    return "no result for these inputs yet"


def ago(seconds: float) -> str:
    """Describe a time span in words, such as `5 min ago`."""
    if seconds < 90:
        return f"{max(0, int(seconds))} s ago"
    if seconds < 5400:
        return f"{round(seconds / 60)} min ago"
    if seconds < 129600:
        return f"{round(seconds / 3600)} h ago"
    return f"{round(seconds / 86400)} days ago"
