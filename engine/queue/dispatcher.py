"""Executes the waiting runs on one device, in a worker process that it replaces if it dies."""

from __future__ import annotations

import time
from collections.abc import Callable, Mapping
from pathlib import Path
from threading import Thread
from typing import Any, BinaryIO, Protocol

from engine.devices.report import DevicesReport
from engine.document.run_request import RunRequest
from engine.errors import GraphError, Problem, error_text
from engine.queue.limits import QueueLimits
from engine.queue.new_run import unpack
from engine.queue.snapshot import DeviceStatus
from engine.queue.state import QueueState, RunningRun
from engine.queue.stream_events import Log, RunRetried, RunStarted
from engine.workers.messages import Ended
from engine.workers.worker import Worker

TICK_SECONDS = 0.1
"""The seconds between two checks whether a run has ended or hangs."""
SAVE_SECONDS = 0.5
"""The seconds between two writes of the states of steps to the database."""


class StartWorker(Protocol):
    """A function that starts a worker process, such as the class `Worker`."""

    def __call__(
        self,
        home: Path,
        settings: Mapping[str, Any],
        *,
        warn: Callable[[str], None],
        log: int | BinaryIO | None,
    ) -> Worker:
        """Start a worker; see `Worker` for the arguments."""
        ...


class Dispatcher:
    """Executes the waiting runs on one device, one after the other; a thread of its own controls the worker.

    The worker process stays alive between runs and keeps models loaded. If it dies, the run starts again in a
    new worker, up to `QueueLimits.worker_retries` times; after that, the run fails with the reason.

    Args:
        state: the queue.
        home: the home folder.
        settings: settings of the worker that override the home's own.
        device: the device, such as `cuda:1`; `auto` to let the worker choose.
        limits: the limits of the queue.
        log: an open file for the text that nodes print; None for the standard error of this process.
        worker: starts a worker.
    """

    def __init__(
        self,
        state: QueueState,
        home: Path,
        settings: Mapping[str, Any],
        device: str,
        limits: QueueLimits,
        log: int | BinaryIO | None = None,
        worker: StartWorker = Worker,
    ) -> None:
        self._state, self._home, self._limits, self._log = state, home, limits, log
        self._new_worker = worker
        self._settings = {**settings, "device": device}
        self.device = device
        self._worker: Worker | None = None
        self._running: RunningRun | None = None
        self._thread = Thread(target=self._serve, name=f"safelight-dispatcher-{device}", daemon=True)

    def start(self) -> None:
        """Start the thread and the worker."""
        self._start_worker()
        self._thread.start()

    def status(self) -> DeviceStatus:
        """Return the worker's device, its process id and the id of its run."""
        worker, running = self._worker, self._running
        return DeviceStatus(
            _device_of(worker) or self.device,
            worker.pid if worker is not None and worker.alive else None,
            running.id if running is not None else None,
        )

    def devices(self, seconds: float) -> DevicesReport | None:
        """Ask the worker for its devices and loaded models.

        None if there is no worker, or if it does not answer within `seconds`.
        """
        worker = self._worker
        if worker is None or not worker.alive:
            return None
        try:
            return worker.devices().result(seconds)
        except (RuntimeError, TimeoutError):
            return None

    def close(self, deadline: float) -> None:
        """Wait for the current run, cancel it if it takes too long, and end the worker.

        Args:
            deadline: the time by which the worker must have ended, by `time.monotonic`. During two thirds of
                the time until then, the run may finish or save its state.
        """
        if (running := self._running) is not None:
            for path, node in running.progress.nodes().items():
                if node.state == "running":
                    running.ask(path, "stop")  # a training saves its state; other nodes go on
        left = max(0.0, deadline - time.monotonic())
        self._thread.join(left * 2 / 3)
        if (
            self._thread.is_alive()
            and (running := self._running) is not None
            and running.worker_run is not None
        ):
            running.worker_run.cancel(max(0.0, left / 6))
            self._thread.join(left / 6)
        worker = self._worker
        if worker is not None:
            if self._thread.is_alive():
                worker.kill()
            worker.close(max(0.1, deadline - time.monotonic()))
        self._thread.join(1.0)

    def _serve(self) -> None:
        while (running := self._state.take(self.device)) is not None:
            self._running = running
            try:
                self._execute(running)
            except Exception as error:  # the next run may still succeed, so the thread goes on
                problem = Problem("not_started", f"the run could not be executed: {error_text(error)}")
                self._state.finish(running, "failed", None, [problem])
            finally:
                self._running = None

    def _execute(self, running: RunningRun) -> None:
        started = RunStarted(_device_of(self._worker) or self.device, running.attempt)
        self._state.log.publish(started, run=running.id, document=running.document)
        try:
            request = RunRequest.from_json(unpack(running.request))
        except GraphError as error:  # an older version wrote it
            self._state.finish(running, "refused", None, error.problems)
            return
        running.output_nodes = {name: link.node for name, link in request.graph.outputs.items()}
        for left in range(self._limits.worker_retries, -1, -1):
            ended, is_hung = self._attempt(running, request)
            if ended.state != "died":
                break
            if running.cancelled or self._state.closing or is_hung or not left:
                break
            problem = ended.problems[0]
            retried = RunRetried(problem.code, problem.message)
            self._state.log.publish(retried, run=running.id, document=running.document)
            running.progress.restart()
        self._finish(running, ended, is_hung)

    def _attempt(self, running: RunningRun, request: RunRequest) -> tuple[Ended, bool]:
        """Execute a run in the worker; return how it ended, and True if the worker was killed as it hung."""
        worker = self._worker
        if worker is None or not worker.alive:
            worker = self._start_worker()
        progress = running.progress
        worker.ready.add_done_callback(lambda _: progress.on_device(_device_of(worker)))
        run = worker.run(request, progress.take)
        running.sent(run, self._limits.cancel_grace)
        saved = time.monotonic()
        while True:
            try:
                return run.result(TICK_SECONDS), False
            except TimeoutError:
                running.progress.flush()
            now = time.monotonic()
            if now - saved >= SAVE_SECONDS or running.progress.has_outputs:
                saved = now
                self._state.save(running)
            if not worker.ready.done():
                running.progress.last_message = now  # the worker is still starting
            limit = self._limits.hang_timeout
            if limit is not None and now - running.progress.last_message > limit:
                worker.kill()
                return run.result(), True

    def _finish(self, running: RunningRun, ended: Ended, is_hung: bool) -> None:
        if self._state.closing and not running.cancelled and ended.state in ("cancelled", "died"):
            self._state.leave(running)
            return
        problems = ended.problems
        if ended.state != "died":
            state = ended.state
        elif running.cancelled:
            state, problems = "cancelled", ()
        else:
            state = "failed"
            if is_hung:
                message = f"the run sent no event for {self._limits.hang_timeout:g} seconds and was stopped"
                problems = (
                    Problem(
                        "run_hung", message, hint="set hang_timeout to a longer time if the run was only slow"
                    ),
                )
        if state == "failed" and self._state.put_back(running):
            return
        self._state.finish(running, state, ended.report, problems)

    def _start_worker(self) -> Worker:
        def warn(message: str) -> None:
            self._state.log.publish(Log("warning", message))

        self._worker = self._new_worker(self._home, self._settings, warn=warn, log=self._log)
        return self._worker


def _device_of(worker: Worker | None) -> str | None:
    """Return the device that a worker computes on, such as `cpu` for `auto`; None if it is not ready."""
    if worker is None or not worker.ready.done() or worker.ready.exception() is not None:
        return None
    device: str = worker.ready.result()["device"]
    return device
