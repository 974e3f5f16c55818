"""The durable queue of runs: the operations that a server offers to its clients."""

from __future__ import annotations

import time
from collections.abc import Mapping, Sequence
from pathlib import Path
from types import TracebackType
from typing import Any, BinaryIO, Self, cast, get_args

from engine.devices.report import DevicesReport
from engine.document.run_request import RunRequest
from engine.errors import GraphError, Problem
from engine.near_names import near
from engine.queue.database import Database
from engine.queue.dispatcher import Dispatcher, StartWorker
from engine.queue.event_log import EventLog
from engine.queue.home_lock import HomeLock
from engine.queue.limits import QueueLimits
from engine.queue.new_run import NewRun, new_run
from engine.queue.repeat_table import RepeatTable
from engine.queue.run_history import RunHistory, unknown_run
from engine.queue.snapshot import QueuedRun, QueueStatus, RunSummary
from engine.queue.state import QueueState
from engine.queue.stream_events import RunFinished, RunQueued, ServerClosing
from engine.queue.tables import MIGRATIONS
from engine.step_requests import Request
from engine.workers.worker import Worker

CLOSE_SECONDS = 10.0


class QueueFull(GraphError):
    """Raised if a run is refused because too many runs are waiting (code `queue_full`)."""


class RunQueue(RunHistory):
    """A queue of runs that survives crashes, with the worker processes that execute the runs.

    A run is on the disk when `submit` returns: after a crash of the server or the machine, the next
    `RunQueue` of the home still has it. Every method may be called from any thread; only `close` waits for
    runs. Unknown ids raise GraphError with the code `unknown_run` or `unknown_output`.

    Args:
        home: the home folder; only one queue may be open on it at a time.
        settings: settings of the workers that override the home's own; see `settings.Settings`. Also
            `local`: False if graphs may name only files inside the folders of the home.
        limits: the limits of the queue, and its rules for crashes.
        devices: the devices, such as `("cuda:0", "cuda:1")`; a worker process is started for each.
        log: an open file for the text that nodes print; None for the standard error of this process.
        start: False to accept runs without executing them.
        worker: starts a worker for a device; the default starts a process on this machine.

    Raises:
        GraphError: another server uses the home (`home_in_use`), or the queue's database is damaged
            (`queue_damaged`), locked (`queue_locked`) or newer (`queue_newer`).
    """

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        limits: QueueLimits | None = None,
        *,
        devices: Sequence[str] = ("auto",),
        log: int | BinaryIO | None = None,
        start: bool = True,
        worker: StartWorker = Worker,
    ) -> None:
        self.home = home
        self.limits = limits or QueueLimits()
        self.events = EventLog(self.limits)
        """The numbered stream of the events of all runs."""
        self._lock = HomeLock(home)
        try:
            database = Database(home / "queue.sqlite", MIGRATIONS)
            super().__init__(QueueState(home, database, self.events, self.limits))
            self.repeats = RepeatTable(database)
            """The submissions to repeat; the server submits them again each time their run has ended."""
            self._state.recover()
            self._dispatchers = [
                Dispatcher(self._state, home, settings or {}, device, self.limits, log, worker)
                for device in devices
            ]
            for dispatcher in self._dispatchers if start else ():
                dispatcher.start()
        except BaseException:
            self._lock.close()
            raise
        self._started = start
        self._closed = False

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def submit(
        self,
        request: RunRequest,
        *,
        key: str | None = None,
        fingerprint: str | None = None,
        priority: int = 0,
        document: str | None = None,
        front: bool = False,
        notes: Mapping[str, Any] | None = None,
    ) -> QueuedRun:
        """Add a run to the queue; it is on the disk when this returns.

        Random seeds should be numbers already (see `Catalogue.validate`), so that a run that starts again
        gives the same result.

        Args:
            request: the run.
            key: an idempotency key. A second submission with the same key returns the first run.
            fingerprint: a digest of the submission; submissions with the same key must have the same digest.
                By default that of `request`. If random seeds in `request` were replaced by numbers, give the
                digest of what the client sent.
            priority: runs of a higher priority start first.
            document: the id of the document that the run was submitted from; its events name it.
            front: True to place the run before all others of its priority.
            notes: JSON to store with the run for the client; the method `notes` returns it.

        Raises:
            QueueFull: too many runs are waiting.
            GraphError: a different submission used the key (`key_reused`), the request is too large
                (`too_large`), or the disk is full (`disk_full`).
        """
        new = new_run(
            request, key=key, fingerprint=fingerprint, priority=priority, document=document, notes=notes
        )
        return self._add(new, front=front)

    def keyed(self, key: str, fingerprint: str | None = None) -> QueuedRun | None:
        """Return the run that an earlier submission with an idempotency key made; None if there is none.

        Args:
            key: the key.
            fingerprint: the digest of the new submission; None to skip the comparison.

        Raises:
            GraphError: the earlier submission had a different fingerprint (`key_reused`).
        """
        known = self._state.runs.keyed(key)
        if known is None:
            return None
        id, before = known
        if fingerprint is not None and before != fingerprint:
            message = "this idempotency key was used for another run"
            raise GraphError([Problem("key_reused", message, hint="use a new key for each run")])
        summary = self._summary(id)
        return QueuedRun(id, summary.state, summary.position, is_new=False)

    def cancel(self, id: str) -> RunSummary:
        """Cancel a run; return its summary afterwards.

        A queued run ends at once. A running one stops at its next check, between steps or inside one; if it
        has not stopped after `QueueLimits.cancel_grace` seconds, its worker is killed and replaced. A run
        that has ended does not change.
        """
        with self._state.changed:
            running = self._state.running.get(id)
            if running is None:
                summary = self._summary(id)
                if summary.state != "queued":
                    return summary
                with self._state.database.write() as connection:
                    ending: dict[str, Any] = {"problems": [], "warnings": [], "values": {}}
                    self._state.runs.finish(connection, id, "cancelled", ending)
                self._state.waiting[summary.priority] -= 1
        if running is not None:
            running.cancel(self.limits.cancel_grace)
            return self._summary(id)
        self.events.publish(RunFinished("cancelled", 0.0, 0, 0), run=id, document=summary.document)
        self._state.announce()
        return self._summary(id)

    def move(self, id: str, *, before: str | None = None) -> RunSummary:
        """Move a queued run before another one; without `before`, to the front of the whole queue.

        Raises:
            GraphError: one of the two runs is not waiting (`not_queued`).
        """
        with self._state.changed:
            before_move = self._summary(id)
            if before is not None:
                self._summary(before)
            with self._state.database.write() as connection:
                moved = self._state.runs.move(connection, id, before)
            if not moved:
                message = "this run no longer waits, so it cannot be moved"
                raise GraphError([Problem("not_queued", message)])
            self._state.waiting[before_move.priority] -= 1
            summary = self._summary(id)
            self._state.waiting[summary.priority] += 1
        self.events.publish(RunQueued(summary.position or 0), run=id, document=summary.document)
        return summary

    def retry(self, id: str, *, front: bool = False) -> QueuedRun:
        """Submit the request of a run again, as a new run.

        Raises:
            QueueFull: too many runs are waiting.
        """
        if (new := self._state.runs.again(id)) is None:
            raise unknown_run(id)
        return self._add(new, front=front)

    def ask(self, id: str, node: str, request: str) -> None:
        """Send a request to a running step, for example to a training to draw a sample now.

        Args:
            id: the run.
            node: the id of the node or step.
            request: `stop`, `sample` or `checkpoint`.

        Raises:
            GraphError: the run is not running (`not_running`), it has no such node or step (`unknown_node`),
                or there is no such request (`unknown_request`).
        """
        if request not in (known := get_args(Request)):
            hint = near(request, known) or f"use {', '.join(known)}"
            message = f"running steps do not support the request {request!r}"
            raise GraphError([Problem("unknown_request", message, hint=hint)])
        running = self._state.running.get(id)
        if running is None:
            self._summary(id)
            raise GraphError(
                [Problem("not_running", "the run is not running, so its steps cannot receive requests")]
            )
        nodes = running.progress.nodes()
        if node not in nodes:
            message = f"the run has no node or step {node!r}"
            raise GraphError([Problem("unknown_node", message, hint=near(node, nodes))])
        running.ask(node, cast(Request, request))

    def pause(self, reason: str = "paused by the user") -> None:
        """Start no more runs, also after a restart of the server; current runs continue."""
        self._state.pause(reason)

    def resume(self) -> None:
        """Start runs again."""
        self._state.pause(None)

    def status(self) -> QueueStatus:
        """Return the numbers of running and waiting runs, the reason for a pause, and the workers."""
        devices = tuple(dispatcher.status() for dispatcher in self._dispatchers)
        with self._state.changed:
            running, pending = len(self._state.running), self._state.waiting.total()
        return QueueStatus(running, pending, self._state.paused, devices)

    def devices(self, seconds: float = 5.0) -> list[DevicesReport]:
        """Ask each worker for its devices and loaded models; leave out those that take over `seconds`."""
        found = [dispatcher.devices(seconds) for dispatcher in self._dispatchers]
        return [report for report in found if report is not None]

    def close(self, grace: float = CLOSE_SECONDS) -> None:
        """Start no more runs, let the current ones finish or save their state, and end the workers.

        Queued runs stay in the queue. Runs that are unfinished after two thirds of the time are cancelled,
        and become `interrupted` or go back to the front of the queue; `QueueLimits.after_restart` decides.

        Args:
            grace: the most seconds that closing may take.
        """
        if self._closed:
            return
        self._closed = True
        self.events.publish(ServerClosing("the server stops"))
        with self._state.changed:
            self._state.closing = True
            self._state.changed.notify_all()
        deadline = time.monotonic() + grace
        if self._started:
            for dispatcher in self._dispatchers:
                dispatcher.close(deadline)
        self._state.database.close()
        self._lock.close()

    def _add(self, new: NewRun, *, front: bool) -> QueuedRun:
        if len(new.request) > self.limits.max_request_bytes:
            message = f"the request is longer than {self.limits.max_request_bytes >> 20} MiB"
            raise GraphError([Problem("too_large", message, hint="make the graph or the sweep smaller")])
        with self._state.changed:
            if new.key is not None and (known := self.keyed(new.key, new.fingerprint)) is not None:
                return known
            if self._state.waiting.total() >= self.limits.max_queued:
                message = f"{self.limits.max_queued:,} runs are waiting already"
                raise QueueFull(
                    [Problem("queue_full", message, hint="try again when some of them have ended")]
                )
            try:
                with self._state.database.write() as connection:
                    self._state.runs.add(connection, new, front=front)
            except GraphError as error:
                self._state.hold(error)
                raise
            waiting = self._state.waiting
            same = 0 if front else waiting[new.priority]
            position = same + sum(many for priority, many in waiting.items() if priority > new.priority)
            waiting[new.priority] += 1
            self.events.publish(RunQueued(position), run=new.id, document=new.document)
            self._state.announce()
            self._state.changed.notify_all()
        return QueuedRun(new.id, "queued", position, is_new=True)
