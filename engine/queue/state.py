"""The state of the queue that clients and dispatchers share: waiting runs in the database, running ones."""

from __future__ import annotations

import shutil
import sqlite3
import time
from collections import Counter
from collections.abc import Iterable, Mapping
from pathlib import Path
from threading import Condition, Lock
from typing import Any

from engine.errors import GraphError, Problem
from engine.queue.database import Database
from engine.queue.event_log import EventLog
from engine.queue.limits import QueueLimits
from engine.queue.metric_table import MetricTable
from engine.queue.output_table import OutputTable
from engine.queue.run_progress import Changes, RunProgress
from engine.queue.run_table import RunTable, TakenRun
from engine.queue.stream_events import EndState, QueueChanged, RunFinished, RunOutput, RunQueued, RunState
from engine.step_requests import Request
from engine.workers.worker import WorkerRun

DISK_SECONDS = 1.0
"""The seconds between two checks whether a full disk has free space again."""
_INTERRUPTED = Problem(
    "interrupted", "the server stopped during this run", hint="run it again; finished steps are reused"
)


class RunningRun:
    """A run that a dispatcher is executing.

    Args:
        taken: the run.
        device: the device of the dispatcher.
        log: the event stream to publish to.
    """

    def __init__(self, taken: TakenRun, device: str, log: EventLog) -> None:
        self.id, self.document, self.request = taken.id, taken.document, taken.request
        self.attempt = taken.attempt
        self.output_nodes: dict[str, str] = {}
        """The id of the node that makes each declared output, by output; empty until the request is read."""
        self.began = time.monotonic()
        """The time at which the run was taken from the queue, by `time.monotonic`."""
        self.progress = RunProgress(taken.id, taken.document, device, log)
        self.cancelled = False
        """True after a client has cancelled the run."""
        self.worker_run: WorkerRun | None = None
        """The handle of the run in the worker; None before the run was sent there."""
        self._lock = Lock()

    def sent(self, run: WorkerRun, grace: float) -> None:
        """Record that the run was sent to a worker; cancel it there if a client has cancelled it already."""
        with self._lock:
            self.worker_run = run
            cancelled = self.cancelled
        if cancelled:
            run.cancel(grace)

    def cancel(self, grace: float) -> None:
        """Cancel the run, and kill its worker if it has not stopped after `grace` seconds."""
        with self._lock:
            self.cancelled = True
            run = self.worker_run
        if run is not None:
            run.cancel(grace)

    def ask(self, node: str, request: Request) -> None:
        """Send a request to a node of the run; do nothing if the run has not been sent to a worker yet."""
        if self.worker_run is not None:
            self.worker_run.ask(node, request)


class QueueState:
    """The state of the queue; every method may be called from any thread.

    Args:
        home: the home folder.
        database: holds the tables of `tables.MIGRATIONS`.
        log: the event stream.
        limits: the limits of the queue.
    """

    def __init__(self, home: Path, database: Database, log: EventLog, limits: QueueLimits) -> None:
        self._home, self._limits = home, limits
        self.database, self.log = database, log
        self.runs, self.outputs = RunTable(database), OutputTable(database)
        self.metrics = MetricTable(database)
        self.changed = Condition()
        """Guards this object and the order of transactions. Notified if a dispatcher may find work."""
        self.running: dict[str, RunningRun] = {}
        """The runs that dispatchers are executing, by id."""
        self.waiting = Counter(self.runs.waiting())
        """The number of waiting runs of each priority."""
        self.closing = False
        """True after `RunQueue.close` was called, so that no more runs start."""
        rows = database.read("SELECT value FROM facts WHERE name = 'paused'")
        self._pause: str | None = rows[0]["value"] if rows else None
        self._disk_pause: str | None = None

    @property
    def paused(self) -> str | None:
        """The reason that no run starts; None if runs start."""
        return self._pause or self._disk_pause

    def pause(self, reason: str | None) -> None:
        """Start no more runs, for a reason; None to start them again. The pause survives a restart."""
        with self.changed:
            with self.database.write() as connection:
                connection.execute("DELETE FROM facts WHERE name = 'paused'")
                if reason is not None:
                    connection.execute("INSERT INTO facts VALUES ('paused', ?)", (reason,))
            self._pause = reason
            self.changed.notify_all()
        self.announce()

    def take(self, device: str) -> RunningRun | None:
        """Wait for the next run, mark it as running and return it; None when the queue closes."""
        while True:
            with self.changed:
                if self.closing:
                    return None
                running = self._take(device)
                if running is None:
                    self.changed.wait(DISK_SECONDS if self._disk_pause else None)
                    continue
                self.announce()
            return running

    def save(self, running: RunningRun) -> bool:
        """Write the changes of a running run to the database; return False if that failed.

        The queue then pauses, and the next call writes these changes too.
        """
        changes = running.progress.changes()
        if not changes:
            return True
        try:
            with self.database.write(synced=False) as connection:
                ids = self._write(connection, running.id, changes)
        except GraphError as error:
            running.progress.keep(changes)
            self.hold(error)
            return False
        self._publish_outputs(running, changes, ids)
        return True

    def finish(
        self, running: RunningRun, state: EndState, report: dict[str, Any] | None, problems: Iterable[Problem]
    ) -> None:
        """Record the end of a run. While the disk is full, wait for free space, unless the queue closes."""
        running.progress.end(report)
        listed = [*(report or {}).get("problems", ()), *(problem.as_json() for problem in problems)]
        warnings = [
            *(report or {}).get("warnings", ()),
            *(Problem("warned", text, severity="warning").as_json() for text in running.progress.warnings),
        ]
        outputs = {
            name: item["value"] for name, item in (report or {}).get("outputs", {}).items() if "value" in item
        }
        ending = {
            "problems": listed,
            "warnings": warnings,
            "values": outputs,
            "report": None if report is None else _kept(report),
        }
        changes = running.progress.changes()
        nodes = running.progress.nodes().values()
        first = listed[0] if listed else {}
        finished = RunFinished(
            state,
            (time.monotonic() - running.began) * 1000,
            sum(1 for node in nodes if node.state == "done"),
            sum(1 for node in nodes if node.state == "cached"),
            first.get("code"),
            first.get("message"),
        )
        while True:
            with self.changed:  # a client that holds it sees the end of the run as a whole
                try:
                    with self.database.write() as connection:
                        ids = self._write(connection, running.id, changes)
                        self.runs.finish(connection, running.id, state, ending)
                        self.runs.forget_details(connection, self._limits.detailed_runs)
                except GraphError as error:
                    self.hold(error)
                else:
                    self.running.pop(running.id, None)
                    self._publish_outputs(running, changes, ids)
                    self.log.publish(finished, run=running.id, document=running.document)
                    self.announce()
                    return
            if self.closing:
                return  # the next start marks the run as interrupted
            time.sleep(DISK_SECONDS)

    def put_back(self, running: RunningRun) -> bool:
        """Put a run that failed because the disk is full back to the front of the queue.

        Returns:
            False if the disk has free space, so that the run failed for another reason, or if workers have
            started the run too often.
        """
        if self.has_room() or running.attempt >= self._limits.max_attempts:
            return False
        with self.changed:
            try:
                with self.database.write() as connection:
                    self.runs.forget_nodes(connection, running.id)
                    priority = self.runs.put_back(connection, running.id)
            except GraphError:  # not even this can be written
                return False
            self.waiting[priority] += 1
            self.running.pop(running.id, None)
            self.log.publish(RunQueued(0), run=running.id, document=running.document)
            self.announce()
        return True

    def leave(self, running: RunningRun) -> None:
        """Give up a run because the server stops: mark it as interrupted, or put it back into the queue."""
        self.save(running)
        with self.changed:
            self.running.pop(running.id, None)
            try:
                state = self.set_aside(running.id)
            except GraphError:
                return  # the disk is full; the next start sets the run aside
        if state == "interrupted":
            done = RunFinished(state, 0.0, 0, 0, _INTERRUPTED.code, _INTERRUPTED.message)
            self.log.publish(done, run=running.id, document=running.document)

    def hold(self, error: GraphError) -> None:
        """Pause the queue because the database cannot be written; it resumes when the disk has free space."""
        with self.changed:
            if self._disk_pause is None:
                self._disk_pause = error.problems[0].message
                self.announce()
                self.changed.notify_all()

    def announce(self) -> None:
        """Publish the numbers of running and waiting runs, and the reason for a pause."""
        with self.changed:
            self.log.publish(QueueChanged(len(self.running), self.waiting.total(), self.paused))

    def recover(self) -> None:
        """Set the runs aside that were running when the previous server ended; see `set_aside`."""
        for id in self.runs.running():
            self.set_aside(id)

    def set_aside(self, id: str) -> RunState:
        """Mark an unfinished run as interrupted, or put it back into the queue; return its new state.

        `QueueLimits.after_restart` and `max_attempts` decide.
        """
        summary = self.runs.summary(id)
        assert summary is not None
        again = self._limits.after_restart == "requeue" and summary.attempts < self._limits.max_attempts
        nodes = [node for node in self.runs.nodes(id).values() if node.state in ("running", "planned")]
        for node in nodes:
            node.state = "cancelled"
        with self.changed, self.database.write() as connection:
            if again:
                self.runs.forget_nodes(connection, id)
                self.waiting[self.runs.put_back(connection, id)] += 1
            else:
                self.runs.save_nodes(connection, id, nodes)
                ending = {"problems": [_INTERRUPTED.as_json()], "warnings": [], "values": {}}
                self.runs.finish(connection, id, "interrupted", ending)
        return "queued" if again else "interrupted"

    def _take(self, device: str) -> RunningRun | None:
        try:
            if self._pause is not None or not self.has_room() or not self.waiting.total():
                return None
            # After a power cut, a run that was just taken waits again.
            with self.database.write(synced=False) as connection:
                taken = self.runs.take(connection, device)
                if taken is not None:
                    self.runs.forget_nodes(connection, taken.id)
        except GraphError as error:
            self.hold(error)
            return None
        if taken is None:
            return None
        self.waiting[taken.priority] -= 1
        running = self.running[taken.id] = RunningRun(taken, device, self.log)
        return running

    def _write(self, connection: sqlite3.Connection, run: str, changes: Changes) -> list[int]:
        """Write the changes of a run within a transaction; return the ids of its new outputs."""
        self.runs.save_nodes(connection, run, [*changes.nodes.values()])
        self.metrics.add(connection, run, changes.metrics)
        for sample in changes.samples:
            self.outputs.add_sample(connection, sample)
        return [self.outputs.add(connection, run, output) for output in changes.outputs]

    def _publish_outputs(self, running: RunningRun, changes: Changes, ids: list[int]) -> None:
        for id, new in zip(ids, changes.outputs, strict=True):
            event = RunOutput(
                id, new.step, new.output, new.index, new.values, new.type, new.digest, new.media, new.size
            )
            node = running.output_nodes.get(new.output)
            self.log.publish(event, run=running.id, document=running.document, node=node)

    def has_room(self) -> bool:
        """Return True if the disk has free space for another run; pause or resume the queue accordingly."""
        try:
            free = shutil.disk_usage(self._home).free
        except OSError:
            return True  # the run itself says what is wrong with the folder
        needed = self._limits.min_free_bytes
        if free >= needed:
            if self._disk_pause is not None:
                self._disk_pause = None
                self.announce()
            return True
        message = f"the disk of {self._home} has only {free >> 20} MiB of free space"
        self.hold(GraphError([Problem("disk_full", message)]))
        return False


def _kept(report: Mapping[str, Any]) -> dict[str, Any]:
    """Return what is kept of a report beside its steps, files, values and problems."""

    def without(item: Mapping[str, Any], *names: str) -> dict[str, Any]:
        return {name: value for name, value in item.items() if name not in names}

    outputs = {name: without(item, "files", "value") for name, item in report["outputs"].items()}
    for item in outputs.values():
        if "elements" in item:
            item["elements"] = [without(element, "files") for element in item["elements"]]
    return {"seconds": report["seconds"], "outputs": outputs, "made_with": report["made_with"]}
