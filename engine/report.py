"""How a run ended, and how each of its nodes fared."""

from __future__ import annotations

from dataclasses import dataclass, field

from engine.errors import Problem
from engine.events import State
from engine.schedule import Schedule
from engine.step import Gather, Step
from engine.values import Packed

CANCELLED = "the run was cancelled"

_WORST = ("failed", "cancelled", "skipped", "done", "cached")


@dataclass(slots=True)
class NodeReport:
    """How one node fared."""

    state: State
    cache: str = "none"
    """Where its result came from: `none` (computed), `memory` or `disk`."""
    seconds: float = 0.0
    said: str = ""
    problem: Problem | None = None
    trace: str = field(default="", repr=False)
    step: Step | None = field(default=None, repr=False)

    @property
    def reason(self) -> str:
        """Why it fared so, in words."""
        return self.said or (self.step.reason if self.step is not None else "")


@dataclass(slots=True)
class Report:
    """How a run ended."""

    state: State
    seconds: float
    nodes: dict[str, NodeReport]
    outputs: dict[str, Packed]
    """The graph's declared outputs among the targets, as bytes, as far as there are results."""
    partial: dict[str, Packed] = field(default_factory=dict)
    """Those that are lists of pictures and the like, of which some came to be; `supply.HOLE` for the rest."""


class Reports:
    """What is known of the steps of a run, gathered while it goes on.

    Args:
        schedule: knows which steps were demanded, and how far they came.
    """

    def __init__(self, schedule: Schedule) -> None:
        self._schedule = schedule
        self._told: dict[Step, NodeReport] = {}

    def put(self, step: Step, report: NodeReport) -> None:
        """Say how a step fared."""
        self._told[step] = report

    def was_cancelled(self, step: Step) -> bool:
        """True if this was said of a step."""
        return self._told[step].state == "cancelled"

    def of(self, step: Step) -> NodeReport:
        """How a step fared, once the run is over."""
        if isinstance(step, Gather):
            return self._of_list(step)
        leader = step.leader or step
        report = self._told.get(leader)
        if leader is not step and (report is None or report.state in ("done", "cached")):
            return NodeReport("cached", leader.tier or "memory", step=step)
        if report is not None:
            return report
        job = self._schedule.found(step)
        if job is not None and job.state in ("waiting", "ready", "running"):
            return NodeReport("cancelled", said=CANCELLED)
        if step.maybe and step.action == "unneeded":
            return NodeReport("skipped", step=step)
        return NodeReport("cached", step.tier or "none", step=step)

    def _of_list(self, gather: Gather) -> NodeReport:
        """How a node fared that went through lists."""
        if gather.spread is not None and (report := self._told.get(gather.spread)) is not None:
            return report
        elements = [self.of(step) for step in gather.elements()]
        if gather.children is None:
            job = self._schedule.found(gather)
            state = "skipped" if job is None or job.state == "idle" else "cancelled"
            return self._told.get(gather) or NodeReport(state, step=gather)
        states = {report.state for report in elements}
        worst = next((state for state in _WORST if state in states), "cached")
        caches = {report.cache for report in elements if report.state == "cached"}
        first = next((report for report in elements if report.state == worst), None)
        return NodeReport(
            worst,
            "none" if worst != "cached" else "disk" if "disk" in caches else "memory",
            sum(report.seconds for report in elements),
            step=gather,
            problem=first.problem if first is not None and worst == "failed" else None,
        )
