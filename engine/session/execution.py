"""Executes a run request, from the graph to its output files: for the command line, scripts and workers."""

from __future__ import annotations

import time
from collections.abc import Callable
from functools import partial
from pathlib import Path
from threading import Lock

from engine.cancel import Cancel
from engine.check.check import Checked
from engine.check.portable import make_portable
from engine.digests import report_progress
from engine.document.run_request import RunRequest
from engine.errors import Cancelled
from engine.events import Emit
from engine.files import Files
from engine.observe.kept_warnings import KeptWarnings
from engine.observe.watch import Watch
from engine.outputs.graph_in_picture import Inscriber
from engine.outputs.picture_format import encoded
from engine.outputs.writer import OutputWriter, refuse_unwritable
from engine.plan.plan import Plan
from engine.run.printed_lines import PRINTING
from engine.session.home import Home
from engine.session.report import SessionReport
from engine.step_requests import Requests


def execute(
    home: Home,
    request: RunRequest,
    *,
    emit: Emit,
    warn: Callable[[str], None],
    cancel: Cancel | None,
    requests: Requests | None,
    watch: Watch,
    previews: bool,
) -> SessionReport:
    """Execute a request; see `Session.run`.

    Raises:
        GraphError: the graph has errors, a file that it needs is missing, or the output folder cannot be
            written.
    """
    cancel = cancel or Cancel()
    begun = time.perf_counter()
    try:
        # Cancelling also stops reading a large file whose digest the plan needs.
        with watch.span("check and plan"), report_progress(lambda *progress: cancel.check()):
            files = home.files.for_run(request.graph.folder, request.out)
            checked = _checked(home, request, files)
            plan = home.plan_checked(checked, request.targets, name=request.name, files=files)
            if request.write and (request.out is not None or _has_values(plan)):
                refuse_unwritable(files.outputs)
    except Cancelled:
        return SessionReport("cancelled", time.perf_counter() - begun, {}, {}, {})
    for problem in [*home.unreported(home.registry.problems), *checked.problems]:
        warn(str(problem))

    has_metadata = home.settings.metadata
    keep = _Once(
        lambda: files.keep(warn) if has_metadata else None
    )  # only graphs embedded in pictures need the copies
    inscriber = Inscriber(plan, home.store, home.registry.annotators, keep, warn)
    if has_metadata:
        files.inscribe = inscriber
    title = request.title or checked.graph.title
    folder = files.outputs if request.write else None
    encode = partial(encoded, format=home.settings.picture_format, quality=home.settings.picture_quality)

    def free_disk(place: Path, size: int) -> bool:
        own = [step.key for step in plan.builder.order[:] if step.key is not None]
        return home.store.free_disk(place, size, own)  # the run may still need its own results

    writer = OutputWriter(plan, home.store, folder, title, files.inscribe, keep, free_disk, encode)
    warnings = KeptWarnings(home.warnings_folder, emit)
    with watch.span("run"), PRINTING.divided():
        report = home.run_plan(
            plan,
            warnings,
            watch,
            files=files,
            cancel=cancel,
            requests=requests,
            previews=previews,
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
        remarks=[*home.registry.problems, *checked.problems],
        memory=watch.memory,
        made_with=inscriber.versions,
    )


class _Once:
    """Calls a function on its own first call only."""

    def __init__(self, function: Callable[[], None]) -> None:
        self._function = function
        self._lock = Lock()
        self._called = False

    def __call__(self) -> None:
        with self._lock:
            if not self._called:
                self._called = True
                self._function()


def _checked(home: Home, request: RunRequest, files: Files) -> Checked:
    """Rename the files of the graph so that a copy in a picture finds them, then check the graph."""
    graph, values = make_portable(request.graph, request.values, home.registry, files)
    return home.check(graph, values)


def _has_values(plan: Plan) -> bool:
    """True if a declared output that will be computed is not JSON."""
    return any(
        plan.steps[link.node].bound.type.outputs[link.output].is_value
        for link in plan.checked.outputs.values()
        if link.node in plan.targets
    )
