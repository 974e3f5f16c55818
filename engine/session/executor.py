"""Executes plans and run requests in a home folder: for the command line, scripts and workers."""

from __future__ import annotations

import time
from collections.abc import Callable, Iterable
from concurrent.futures import ThreadPoolExecutor
from functools import partial
from pathlib import Path
from threading import Lock

from engine.cancel import Cancel
from engine.check.check import Checked
from engine.check.portable import make_portable
from engine.devices.compute import require_device
from engine.digests import report_progress
from engine.document.run_request import RunRequest
from engine.errors import Cancelled, Problem
from engine.events import Emit, Event
from engine.explain.reasons import Reasons
from engine.files import Files
from engine.observe.kept_warnings import KeptWarnings
from engine.observe.watch import Watch
from engine.outputs.graph_in_picture import Inscriber
from engine.outputs.picture_format import encoded
from engine.outputs.writer import OutputWriter, refuse_unwritable
from engine.packs.registry import Registry
from engine.plan.plan import Plan
from engine.run.deliveries import Take
from engine.run.expected_seconds import ExpectedSeconds
from engine.run.lifecycle import Lifecycle
from engine.run.long_steps import LongSteps
from engine.run.printed_lines import PRINTING
from engine.run.report import Report
from engine.run.result_caching import ResultCaching
from engine.run.run import Run
from engine.run.write_guard import WriteGuard
from engine.session.current_runs import CurrentRuns
from engine.session.planner import Planner
from engine.session.report import SessionReport
from engine.settings import Settings
from engine.step_requests import Requests


class Executor(Planner):
    """Executes plans and run requests in a home folder; it takes the arguments of `Home`."""

    def __init__(
        self,
        settings: Settings,
        *,
        registry: Registry | None = None,
        warn: Callable[[str], None] = lambda message: None,
        local: bool = True,
    ) -> None:
        super().__init__(settings, registry=registry, warn=warn, local=local)
        self._pool = ThreadPoolExecutor(max(1, settings.workers - 1), "safelight")
        self._expected = ExpectedSeconds()
        self._current = CurrentRuns()
        self._reported: set[Problem] = set()

    def close(self) -> None:
        """Write the results in memory to disk, and unload all models."""
        super().close()
        self._pool.shutdown(wait=False)

    def execute(
        self,
        request: RunRequest,
        *,
        emit: Emit,
        warn: Callable[[str], None],
        cancel: Cancel | None,
        requests: Requests | None,
        watch: Watch,
        previews: bool,
        details: bool,
    ) -> SessionReport:
        """Execute a run request: check and plan its graph, run it, write its outputs. See `Session.run`.

        Raises:
            GraphError: the graph has errors, a file that it needs is missing, torch cannot compute on the
                device that a step needs, or the output folder cannot be written.
        """
        cancel = cancel or Cancel()
        begun = time.perf_counter()
        try:
            # Cancelling also stops reading a large file whose digest the plan needs.
            with watch.span("check and plan"), report_progress(lambda *progress: cancel.check()):
                files = self.files.for_run(request.graph.folder, request.out)
                checked = self._checked(request, files)
                plan = self.plan_checked(checked, request.targets, name=request.name, files=files)
                if any(step.needs_device for step in plan.to_run):
                    require_device(self.device)
                if request.write and (request.out is not None or _has_values(plan)):
                    refuse_unwritable(files.outputs)
        except Cancelled:
            return SessionReport("cancelled", time.perf_counter() - begun, {}, {}, {})
        for problem in [*self._unreported(self.registry.problems), *checked.problems]:
            warn(str(problem))

        has_metadata = self.settings.metadata
        # Only graphs embedded in pictures need copies of the files.
        keep = _Once(lambda: files.keep(warn) if has_metadata else None)
        inscriber = Inscriber(plan, self.store, self.registry.annotators, keep, warn)
        if has_metadata:
            files.inscribe = inscriber
        title = request.title or checked.graph.title
        folder = files.outputs if request.write else None
        encode = partial(encoded, format=self.settings.picture_format, quality=self.settings.picture_quality)

        def free_disk(place: Path, size: int) -> bool:
            own = [step.key for step in plan.builder.order[:] if step.key is not None]
            return self.store.free_disk(place, size, own)  # the run may still need its own results

        writer = OutputWriter(plan, self.store, folder, title, files.inscribe, keep, free_disk, encode)
        warnings = KeptWarnings(self.warnings_folder, emit)
        with watch.span("run"), PRINTING.divided():
            report = self.run_plan(
                plan,
                warnings,
                watch,
                files=files,
                cancel=cancel,
                requests=requests,
                previews=previews,
                details=details,
                take=writer.take,
            )
        written = writer.written()
        problems = [node.problem for node in report.nodes.values() if node.problem is not None]
        return SessionReport(
            "failed" if writer.problems and report.state == "done" else report.state,
            report.seconds,
            report.nodes,
            writer.kept.outputs(whole=True),
            writer.kept.outputs(whole=False),
            report.published,
            values=checked.values,
            written=written,
            warnings={node: messages for node in report.nodes if (messages := warnings.of(node))},
            # A node that goes through lists has the problem of its failed element.
            problems=[*dict.fromkeys(problems), *writer.problems],
            remarks=[*self.registry.problems, *checked.problems],
            unsaved=() if report.state == "done" and not writer.problems else self._unsaved(plan, report),
            memory=watch.memory,
            made_with=inscriber.versions,
        )

    def run_plan(
        self,
        plan: Plan,
        emit: Emit | None = None,
        watch: Watch | None = None,
        *,
        files: Files | None = None,
        cancel: Cancel | None = None,
        requests: Requests | None = None,
        previews: bool = False,
        details: bool = False,
        take: Take | None = None,
    ) -> Report:
        """Run a plan and write its journal; no declared output is written to a file.

        Args:
            plan: the plan.
            emit, watch, cancel, requests, previews, details: see `Session.run`.
            take: receives each declared output as soon as its step is done; if None, the report holds the
                outputs.
            files: the files of the run; by default those of the session.
        """
        watch, cancel, requests = watch or Watch(), cancel or Cancel(), requests or Requests()
        reasons = Reasons(plan, self._record(plan))  # read after the run, when the store holds its results
        watch.explain(reasons.why)
        store = watch.store(self.store)
        cached = ResultCaching(store, self.step_locks, self._expected, cancel.check, plan.announcement)
        lineage = plan.builder.keys.lineage
        long_steps = LongSteps(self.step_folders, lineage, lambda key: bool(self.store.on_disk([key])))
        guard = WriteGuard(self.settings.checked)
        lifecycles: list[Lifecycle] = [*watch.lifecycles, long_steps, cached, guard]
        try:
            with self._current.cancelled_by(cancel), self.journals.one() as journal:

                def emit_and_record(event: Event) -> None:
                    journal(event)
                    emit(event)  # type: ignore[misc]  # it is not None where this is used

                run = Run(
                    plan,
                    store,
                    files=files or self.files,
                    residency=watch.residency(self.residency),
                    compute=self.compute,
                    emit=journal if emit is None else emit_and_record,
                    cancel=cancel,
                    lifecycles=lifecycles,
                    workers=self.settings.workers,
                    expected=self._expected,
                    pool=self._pool,
                    previews=previews,
                    memory=watch.memory_of if details else None,
                    folder=long_steps.folder,
                    requests=requests,
                    reasons=reasons,
                    take=take,
                )
                with self._current.one(run.id, plan, requests):
                    report = run.run()
                report.published = long_steps.published(plan.steps)
        finally:
            self.store.count(cached.hits(plan.steps.values()))
        if reasons.record is not None:
            if plan.to_run:
                self.store.flush()  # so that a process that reads the history also finds the results
            self.history.remember(reasons.record, plan, report.unfinished)
        return report

    def request(self, run: str, node: str, request: str) -> None:
        """Send a request to a running step, for example to a training to draw a sample now.

        Args:
            run: the id of the run, from the event `Planned`.
            node: the id of the step, or of a node that goes through lists.
            request: `stop`, `sample` or `checkpoint`.

        Raises:
            GraphError: there is no such run, node or request.
        """
        self._current.request(run, node, request)

    def cancel(self) -> None:
        """Cancel all current runs. A run stops before its next step, or inside a step that checks for it."""
        self._current.cancel()

    def _checked(self, request: RunRequest, files: Files) -> Checked:
        """Check the graph of a request, after making its file names portable.

        So a copy of the graph in a picture still finds its files.
        """
        graph, values = make_portable(request.graph, request.values, self.registry, files)
        return self.check(graph, values)

    def _unsaved(self, plan: Plan, report: Report) -> list[str]:
        """List the finished nodes whose results are not on disk."""
        done = {
            node: step.key
            for node, step in plan.steps.items()
            if node in report.nodes and report.nodes[node].state == "done"
            if step.storable and step.key is not None
        }
        on_disk = self.store.on_disk(list(done.values()))
        return [node for node, key in done.items() if key not in on_disk]

    def _unreported(self, problems: Iterable[Problem]) -> list[Problem]:
        """Return the problems that have not been reported yet, and remember them as reported."""
        fresh = [problem for problem in problems if problem not in self._reported]
        self._reported.update(fresh)
        return fresh


class _Once:
    """A function that runs only the first time that it is called; thread-safe."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._lock = Lock()
        self._called = False

    def __call__(self) -> None:
        with self._lock:
            if not self._called:
                self._called = True
                self._function()


def _has_values(plan: Plan) -> bool:
    """Return True if a declared output that the run computes is not JSON, so that it needs a file."""
    return any(
        plan.steps[link.node].bound.type.outputs[link.output].is_value
        for link in plan.checked.outputs.values()
        if link.node in plan.targets
    )
