"""Follows one run: turns its events into states of steps, rows for the database, and stream events."""

from __future__ import annotations

import re
import time
from dataclasses import replace
from pathlib import Path
from threading import RLock
from typing import Any

from engine import events
from engine.events import Event
from engine.queue.event_log import EventLog
from engine.queue.output_table import NewOutput, measured, media_of
from engine.queue.snapshot import NodeSnapshot, SamplePicture
from engine.queue.stream_events import (
    EventData,
    Log,
    NodeDone,
    NodeFailed,
    NodePreview,
    NodeProgress,
    NodeSkipped,
    NodeStarted,
    PlannedNode,
    RunPlan,
    TrainCheckpoint,
    TrainMetrics,
    TrainSample,
    plain,
)
from engine.values import sha256

PROGRESS_SECONDS = 0.1
"""The minimum of seconds between two progress events of a step."""
PREVIEW_SECONDS = 0.2
"""The minimum of seconds between two previews of a step."""
MAX_LINES_A_SECOND = 50
"""The most printed lines that the stream contains for each second; the worker's log has all lines."""
_TEXT = 4000
"""The most characters of a text in an event."""


class Changes:
    """The changes of a run that have not been written to the database yet."""

    def __init__(self) -> None:
        self.nodes: dict[str, NodeSnapshot] = {}
        self.metrics: list[tuple[str, dict[str, float | None]]] = []
        self.samples: list[SamplePicture] = []
        self.outputs: list[NewOutput] = []

    def __bool__(self) -> bool:
        return bool(self.nodes or self.metrics or self.samples or self.outputs)


class RunProgress:
    """The live state of one run.

    The thread that reads the worker's messages calls `take`; the dispatcher calls `flush` and `changes`;
    requests of clients read `nodes`.

    Args:
        run: the id of the run.
        document: the id of the document that the run was submitted from.
        device: the device of its worker.
        log: the event stream to publish to.
    """

    def __init__(self, run: str, document: str | None, device: str, log: EventLog) -> None:
        self.run, self.document = run, document
        self._device, self._log = device, log
        self._lock = RLock()
        self._nodes: dict[str, NodeSnapshot] = {}
        self._changes = Changes()
        self._sent: dict[tuple[type, str], float] = {}  # when the last event of a class and step was sent
        self._held: dict[str, NodeProgress] = {}  # the progress to be sent when its time has come
        self._lines, self._second = 0, 0.0
        self.warnings: list[str] = []
        """Warnings that belong to no node."""
        self.last_message = time.monotonic()
        """The time of the last event, by `time.monotonic`."""
        self.finished = False
        """True after the last step has ended; the report follows."""

    def on_device(self, device: str | None) -> None:
        """Record the device that the worker has chosen; None, if the worker could not start, is ignored."""
        self._device = device or self._device

    def nodes(self) -> dict[str, NodeSnapshot]:
        """Return a copy of the states of the steps, by id."""
        with self._lock:
            return {path: replace(node) for path, node in self._nodes.items()}

    def restart(self) -> None:
        """Discard the states of the steps, before the run starts again in a new worker."""
        with self._lock:
            self._nodes.clear()
            self._held.clear()
            self._changes.nodes.clear()
            self.last_message = time.monotonic()

    def changes(self) -> Changes:
        """Return the changes since the last call, and start to collect new ones."""
        with self._lock:
            changes, self._changes = self._changes, Changes()
            changes.nodes = {path: replace(node) for path, node in changes.nodes.items()}
            return changes

    @property
    def has_outputs(self) -> bool:
        """True if a written output is not in the database yet."""
        return bool(self._changes.outputs)

    def keep(self, changes: Changes) -> None:
        """Take back changes that could not be written to the database, for the next attempt."""
        with self._lock:
            changes.nodes.update(self._changes.nodes)
            changes.metrics += self._changes.metrics
            changes.samples += self._changes.samples
            changes.outputs += self._changes.outputs
            self._changes = changes

    def flush(self) -> None:
        """Publish the progress of steps that was held back and is due now."""
        now = time.monotonic()
        with self._lock:
            due = [path for path in self._held if self._is_due(NodeProgress, path, now, PROGRESS_SECONDS)]
            for path in due:
                self._publish(self._held.pop(path), path)

    def take(self, event: Event) -> None:
        """Process one event of the run."""
        self.last_message = now = time.monotonic()
        files = _files(event) if isinstance(event, events.OutputWritten) else []
        with self._lock:
            self._follow_step(event, now)
            self._collect(event, files, now)

    def _follow_step(self, event: Event, now: float) -> None:
        """Update the states of steps from an event, and publish them."""
        match event:
            case events.Planned(_, _, steps):
                self._plan(steps)
                shown = {
                    step.id: PlannedNode(step.action, step.type, step.tier)
                    for step in steps
                    if "[" not in step.id
                }
                self._publish(RunPlan(shown, event.to_run))
            case events.StepsAdded(_, steps):
                self._plan(steps)
            case events.Started(path):
                node = self._node(path)
                node.state = "running"
                self._publish(NodeStarted(path, self._device), path)
            case events.Progress(path, value, total, rate, unit, stage):
                node = self._node(path)
                node.value, node.max, node.unit, node.stage = value, total, unit, stage
                left = None if total is None or not rate else (total - value) / rate * 1000
                progress = NodeProgress(path, value, total, rate, left, unit, stage)
                if self._is_due(NodeProgress, path, now, PROGRESS_SECONDS):
                    self._held.pop(path, None)
                    self._publish(progress, path)
                else:
                    self._held[path] = progress
            case events.Preview(path, picture):
                if self._is_due(NodePreview, path, now, PREVIEW_SECONDS):
                    id = self._log.add_preview(picture)
                    self._node(path).preview = id
                    preview = NodePreview(path, id, picture.width, picture.height, picture.media)
                    self._publish(preview, path)
            case events.Done(path, seconds, cache, _, outputs, memory):
                node = self._ended(path)
                node.state = "done" if cache == "none" else "cached"
                node.ms, node.cache = seconds * 1000, cache
                node.outputs = [plain(output) for output in outputs] or None
                node.memory = None if memory is None else dict(memory)
                self._publish(NodeDone(path, seconds * 1000, cache, outputs, memory), path)
            case events.Failed(path, seconds, problem, trace):
                node = self._ended(path)
                node.state, node.ms = "failed", seconds * 1000
                node.problem, node.trace = problem.as_json(), trace[-_TEXT:]
                self._publish(
                    NodeFailed(path, problem.code, problem.message[:_TEXT], problem.hint, problem.input),
                    path,
                )
            case events.Skipped(path, because):
                node = self._ended(path)
                node.state, node.because = "skipped", because
                self._publish(NodeSkipped(path, because), path)
            case events.ResultLost(path, _):
                self._node(path).state = "planned"

    def _collect(self, event: Event, files: list[NewOutput], now: float) -> None:
        """Collect what an event says beyond the states of steps, such as metrics, warnings and outputs."""
        match event:
            case events.Metrics(path, rows):
                copies = [dict(row) for row in rows]
                self._changes.metrics += [(path, row) for row in copies]
                self._publish(TrainMetrics(path, tuple(copies)), path)
            case events.Sample(path, step, picture, caption):
                digest = sha256(picture.data)
                size = picture.width, picture.height
                self._changes.samples.append(
                    SamplePicture(self.run, path, step, caption, digest, picture.media, *size, picture.data)
                )
                self._publish(TrainSample(path, step, caption, digest, *size, picture.media), path)
            case events.Checkpoint(path, step, name):
                self._publish(TrainCheckpoint(path, step, name), path)
            case events.Published(path, name, file, size):
                node = self._node(path)
                node.published = [*(node.published or []), {"name": name, "path": file, "size": size}]
            case events.Printed(text, path):
                self._print(Log("info", text[:_TEXT]), path, now)
            case events.Warned(message, path):
                if path is None:
                    self.warnings.append(message)
                else:
                    node = self._node(path)
                    node.warnings = [*node.warnings, message]
                self._publish(Log("warning", message[:_TEXT]), path)
            case events.OutputWritten():
                self._changes.outputs += files
            case events.Finished():
                self.finished = True

    def end(self, report: dict[str, Any] | None) -> None:
        """Set the final states of the steps after the end of the run. Unfinished steps become cancelled.

        Args:
            report: the report of the run as JSON; None if the run ended without one.
        """
        with self._lock:
            for path, item in (report or {}).get("nodes", {}).items():
                node = self._node(path)
                node.state, node.reason, node.cache = item["state"], item.get("reason") or None, item["cache"]
                node.ms = item["seconds"] * 1000
                node.warnings = item.get("warnings", node.warnings)
                node.memory = item.get("memory")
                node.published = item.get("published", node.published)
            for path, node in self._nodes.items():
                if node.state in ("running", "planned"):
                    self._node(path).state = "cancelled"
                node.preview = None
            self._held.clear()

    def _plan(self, steps: tuple[events.PlannedStep, ...]) -> None:
        for step in steps:
            node = self._node(step.id)
            node.type, node.key = step.type, step.key
            if step.action == "reuse":
                node.state, node.cache = "cached", step.tier
            elif step.action == "unneeded":
                node.state = "unneeded"

    def _node(self, path: str) -> NodeSnapshot:
        """Return the state of a step for changing it, and mark it as changed."""
        node = self._nodes.get(path)
        if node is None:
            node = self._nodes[path] = NodeSnapshot(path)
        self._changes.nodes[path] = node
        return node

    def _ended(self, path: str) -> NodeSnapshot:
        self._held.pop(path, None)
        for kind in (NodeProgress, NodePreview):
            self._sent.pop((kind, path), None)
        return self._node(path)

    def _is_due(self, kind: type, path: str, now: float, interval: float) -> bool:
        if now - self._sent.get((kind, path), -interval) < interval:
            return False
        self._sent[kind, path] = now
        return True

    def _print(self, line: Log, path: str | None, now: float) -> None:
        if now - self._second >= 1:
            self._second, self._lines = now, 0
        self._lines += 1
        if self._lines <= MAX_LINES_A_SECOND:
            self._publish(line, path)

    def _publish(self, data: EventData, path: str | None = None) -> None:
        self._log.publish(data, run=self.run, document=self.document, node=path and node_of(path))


def node_of(path: str) -> str:
    """Return the node of the document that a step belongs to: `denoise` for `denoise[2]`, `denoise/scale`."""
    return re.split(r"[\[/]", path, maxsplit=1)[0]


def _files(event: events.OutputWritten) -> list[NewOutput]:
    """Compute the digests and sizes of the files of a written output, for the history."""
    made = []
    for name in event.files:
        path = Path(name)
        try:
            digest, size = measured(path)
        except OSError:
            continue  # the file has been removed already
        made.append(
            NewOutput(
                event.output,
                event.index,
                event.values,
                event.type,
                path,
                digest,
                media_of(path),
                size,
                event.node,
            )
        )
    return made
