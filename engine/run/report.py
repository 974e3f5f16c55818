"""The report of a run: its state, the state of each node, and the declared outputs."""

from __future__ import annotations

from collections.abc import Callable, Mapping, Sequence
from dataclasses import dataclass, field

from engine.errors import Problem
from engine.events import Done, OutputSummary, State
from engine.explain.reasons import JUST_COMPUTED, Reasons
from engine.plan.step import Gather, Step
from engine.run.event_relay import EventRelay
from engine.run.schedule import Schedule
from engine.store.step_folders import PublishedFile
from engine.store.store import Result
from engine.values import Packed, summary_of

CANCELLED = "the run was cancelled"

_WORST = ("failed", "cancelled", "skipped", "done", "cached")


@dataclass(slots=True)
class NodeReport:
    """The outcome of one node: its state, time, and problem."""

    state: State
    cache: str = "none"
    """The tier that the outputs came from: `none` (computed), `memory` or `disk`."""
    seconds: float = 0.0
    message: str = ""
    problem: Problem | None = None
    trace: str = field(default="", repr=False)
    step: Step | None = field(default=None, repr=False)
    reasons: Reasons | None = field(default=None, repr=False)

    @property
    def reason(self) -> str:
        """The reason that the node ran, was reused or was skipped, in words."""
        if self.message or self.step is None or self.reasons is None:
            return self.message
        return self.reasons.why(self.step)


@dataclass(slots=True)
class Report:
    """The outcome of a run: its state, the reports of its nodes, and the declared outputs."""

    state: State
    seconds: float
    nodes: dict[str, NodeReport]
    outputs: Mapping[str, Packed]
    """The complete declared outputs of the graph, as bytes."""
    partial: Mapping[str, Packed] = field(default_factory=dict)
    """The declared outputs that are incomplete lists, with `HOLE` for each missing element."""
    published: dict[str, tuple[PublishedFile, ...]] = field(default_factory=dict)
    """The files that each node has published. For a reused result, these are the files from the run that
    computed it, if they still exist."""

    @property
    def unfinished(self) -> dict[str, State]:
        """The states of the nodes without a result, by node; empty if the run is done."""
        if self.state == "done":
            return {}
        return {node: item.state for node, item in self.nodes.items() if item.state not in ("done", "cached")}


MeasuredMemory = Callable[[str], Mapping[str, int | None] | None]
"""The peak memory of a step, by its id; None if it was not measured."""


class Reports:
    """Collects the reports of the steps during a run.

    Args:
        schedule: the states of the steps.
        reasons: explains the steps.
        listener: receives the event `Done` for each step that is done.
        memory: the memory of steps. With it, the events have summaries of the outputs, and the memory.
    """

    def __init__(
        self, schedule: Schedule, reasons: Reasons, listener: EventRelay, memory: MeasuredMemory | None = None
    ) -> None:
        self._schedule, self._reasons, self._listener = schedule, reasons, listener
        self._memory = memory
        self._reports: dict[Step, NodeReport] = {}

    def put(self, step: Step, report: NodeReport) -> None:
        """Set the report of a step."""
        self._reports[step] = report

    def succeeded(self, step: Step, seconds: float, cache: str, result: Result | None = None) -> None:
        """Set the report of a step that is done, and send its event `Done`; `result` is its result, if it is
        at hand."""
        state = "done" if cache == "none" else "cached"
        meanwhile = state == "cached" and step.action != "reuse"  # no store had it before
        message = JUST_COMPUTED if meanwhile else ""
        self._reports[step] = NodeReport(state, cache, seconds, message, step=step, reasons=self._reasons)
        self.announce(step, seconds, cache, result)

    def announce(self, step: Step, seconds: float, cache: str, result: Result | None) -> None:
        """Send the event of a step that is done."""
        if not self._listener.listens:
            return
        done = Done(step.id, seconds, cache, step.key if step.storable else None)
        if self._memory is not None:
            outputs = () if result is None else _summaries(step, result)
            done = done._replace(outputs=outputs, memory=self._memory(step.id))
        self._listener(done)

    def of(self, step: Step) -> NodeReport:
        """Return the report of a step; call this at the end of the run."""
        if isinstance(step, Gather):
            return self._of_list(step)
        same_as = step.same_as or step
        report = self._reports.get(same_as)
        if same_as is not step and (report is None or report.state in ("done", "cached")):
            return NodeReport("cached", same_as.tier or "memory", step=step, reasons=self._reasons)
        if report is not None:
            return report
        if same_as.expansion is not None:
            return self._assembled(step, [self.of(part) for part in same_as.parents])
        job = self._schedule.existing_job(step)
        if job is not None and job.state in ("waiting", "ready", "running"):
            return NodeReport("cancelled", message=CANCELLED)
        if step.action == "may_run" or (step.only_if_asked and step.action == "unneeded"):
            return NodeReport("skipped", step=step, reasons=self._reasons)
        return NodeReport("cached", step.tier or "none", step=step, reasons=self._reasons)

    def _of_list(self, gather: Gather) -> NodeReport:
        """Combine the reports of the elements into the report of a node that goes through lists."""
        if gather.list_step is not None and (report := self._reports.get(gather.list_step)) is not None:
            return report
        elements = [self.of(step) for step in gather.elements()]
        if gather.children is None:
            job = self._schedule.existing_job(gather)
            state = "skipped" if job is None or job.state == "idle" else "cancelled"
            return self._reports.get(gather) or NodeReport(state, step=gather, reasons=self._reasons)
        return self._assembled(gather, elements)

    def _assembled(self, step: Step, parts: Sequence[NodeReport]) -> NodeReport:
        """Combine the reports of parts into the report of an assembled step; the worst state counts."""
        states = {report.state for report in parts}
        worst = next((state for state in _WORST if state in states), "cached")
        caches = {report.cache for report in parts if report.state == "cached"}
        first = next((report for report in parts if report.state == worst), None)
        return NodeReport(
            worst,
            "none" if worst != "cached" else "disk" if "disk" in caches else "memory",
            sum(report.seconds for report in parts),
            step=step,
            reasons=self._reasons,
            problem=first.problem if first is not None and worst == "failed" else None,
        )


def _summaries(step: Step, result: Result) -> tuple[OutputSummary, ...]:
    types = step.bound.outputs
    return tuple(
        OutputSummary(name, str(types[name]), summary_of(value)) for name, value in result.outputs.items()
    )
