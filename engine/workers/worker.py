"""The owner's side of a worker process: starts it, sends runs, receives their events, detects its death."""

from __future__ import annotations

import json
import signal
import subprocess
import sys
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from typing import Any, BinaryIO, cast

from engine.devices.report import DevicesReport
from engine.document.run_request import RunRequest
from engine.errors import Problem
from engine.events import Emit, from_json
from engine.step_requests import Request
from engine.workers.frames import BrokenFrame, FrameWriter, frames
from engine.workers.messages import Ended, problem_from_json

CANCEL_SECONDS = 10.0
"""The seconds that a cancelled run may take to stop before its worker is killed."""
CLOSE_SECONDS = 10.0
"""The seconds that a worker may take to exit after `close` before it is killed."""

_KILLED = getattr(signal, "SIGKILL", signal.SIGTERM)


class WorkerRun:
    """One run in a worker process.

    Args:
        worker: the process that executes it.
        id: the id of the run in messages between the two processes.
        emit: receives the run's events, on the thread that reads the worker's messages.
    """

    def __init__(self, worker: Worker, id: str, emit: Emit) -> None:
        self.id = id
        self._worker, self.emit = worker, emit
        self.ended: Future[Ended] = Future()
        """Receives the outcome when the run has ended."""
        self._deadline: threading.Timer | None = None

    def result(self, timeout: float | None = None) -> Ended:
        """Wait for the end of the run, and return its outcome.

        Raises:
            TimeoutError: it is still running after `timeout` seconds.
        """
        return self.ended.result(timeout)

    def cancel(self, grace: float = CANCEL_SECONDS) -> None:
        """Cancel the run, and kill its worker if it has not stopped after `grace` seconds."""
        if self.ended.done():
            return
        self._worker.send({"do": "cancel", "run": self.id})
        if self._deadline is None:
            self._deadline = threading.Timer(grace, self._worker.kill)
            self._deadline.daemon = True
            self._deadline.start()

    def ask(self, node: str, request: Request) -> None:
        """Send a request to a running node, such as `checkpoint`; ignored if the run has ended."""
        self._worker.send({"do": "ask", "run": self.id, "node": node, "request": request})

    def finish(self, ended: Ended) -> None:
        """Set the outcome of the run; only the first call has an effect."""
        if self._deadline is not None:
            self._deadline.cancel()
        if not self.ended.done():
            self.ended.set_result(ended)


class Worker:
    """A process that executes runs of one home folder one after the other, and keeps models loaded.

    If the process dies, all its runs end with the state `died` and a problem that gives the reason.

    Args:
        home: the home folder.
        settings: settings that override the home's own, such as `{"device": "cuda:1"}`; with `local` false,
            graphs may name only files in the home's folders.
        warn: receives warnings about the home.
        log: an open file (or its descriptor) for the text that nodes print; None for the owner's standard
            error.
    """

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        warn: Callable[[str], None] = lambda message: None,
        log: int | BinaryIO | None = None,
    ) -> None:
        self._warn = warn
        self._runs: dict[str, WorkerRun] = {}
        self._reports: dict[int, Future[DevicesReport]] = {}
        self._lock = threading.Lock()
        self._count = 0
        self._dead = False
        self.ready: Future[dict[str, Any]] = Future()
        """Receives the worker's process id and device when it is ready for runs; fails if it cannot start."""
        self._process = subprocess.Popen(
            [sys.executable, "-m", "engine.workers", json.dumps({**(settings or {}), "home": str(home)})],
            stdin=subprocess.PIPE,
            stdout=subprocess.PIPE,
            stderr=log,
            start_new_session=True,  # Ctrl-C in a terminal reaches only the owner, which decides what to do
        )
        self._pipe = FrameWriter(cast("BinaryIO", self._process.stdin))
        self._reader = threading.Thread(target=self._read, name="safelight-worker-reader", daemon=True)
        self._reader.start()

    @property
    def pid(self) -> int:
        """The process id."""
        return self._process.pid

    @property
    def alive(self) -> bool:
        """True until the process has ended."""
        return not self._dead

    def run(self, request: RunRequest, emit: Emit = lambda event: None) -> WorkerRun:
        """Send the worker a run, which starts after all runs that were sent before."""
        with self._lock:
            self._count += 1
            run = WorkerRun(self, str(self._count), emit)
            self._runs[run.id] = run
        self.send({"do": "run", "run": run.id, "request": request.to_json()})
        if self._dead:  # it died before it could read the message
            self._bury(run)
        return run

    def devices(self) -> Future[DevicesReport]:
        """Ask for a report of the devices and the loaded models; the future fails if the worker dies."""
        future: Future[DevicesReport] = Future()
        with self._lock:
            self._count += 1
            number = self._count
            self._reports[number] = future
        self.send({"do": "report", "id": number})
        if self._dead:
            self._fail_reports()
        return future

    def send(self, message: Mapping[str, Any]) -> None:
        """Send a message; do nothing if the worker is dead."""
        try:
            self._pipe.write(message)
        except (OSError, ValueError):
            if not self._reader.is_alive() or self._process.poll() is not None:
                return
            if isinstance(message.get("request"), dict):
                raise

    def kill(self) -> None:
        """Kill the process; its runs end with the state `died`."""
        if self._process.poll() is None:
            self._process.kill()

    def close(self, timeout: float = CLOSE_SECONDS) -> None:
        """Let the worker finish its runs and exit; kill it after `timeout` seconds."""
        self.send({"do": "close"})
        try:
            self._process.wait(timeout)
        except subprocess.TimeoutExpired:
            self.kill()
        self._reader.join()

    def _read(self) -> None:
        """Process the worker's messages until its process ends."""
        pipe = cast("BinaryIO", self._process.stdout)
        broken = ""
        try:
            for message in frames(pipe):
                self._take(message)
        except (BrokenFrame, OSError, KeyError, TypeError, ValueError) as error:
            broken = f": {error}"
            self.kill()
        code = self._process.wait()
        self._dead = True
        self._pipe.close()
        pipe.close()
        with self._lock:
            left = list(self._runs.values())
            self._runs.clear()
        problem = Problem("worker_died", _reason(code) + broken, hint="the next run starts a new worker")
        if not self.ready.done():
            self.ready.set_exception(RuntimeError(problem.message))
        for run in left:
            run.finish(Ended("died", problems=(problem,)))
        self._fail_reports()

    def _fail_reports(self) -> None:
        with self._lock:
            left = list(self._reports.values())
            self._reports.clear()
        for future in left:
            future.set_exception(RuntimeError("the worker has ended"))

    def _bury(self, run: WorkerRun) -> None:
        with self._lock:
            self._runs.pop(run.id, None)
        problem = Problem("worker_died", _reason(self._process.returncode), hint="start a new worker")
        run.finish(Ended("died", problems=(problem,)))

    def _take(self, message: dict[str, Any]) -> None:
        kind = message["say"]
        if kind == "ready":
            self.ready.set_result(message)
            return
        if kind == "warned":
            self._warn(str(message["message"]))
            return
        if kind == "report":
            with self._lock:
                future = self._reports.pop(message["id"], None)
            if future is not None:
                future.set_result(DevicesReport.from_json(message["report"]))
            return
        with self._lock:
            run = self._runs.get(message["run"])
        if run is None:
            return
        if kind == "event":
            run.emit(from_json(message["event"]))
            return
        with self._lock:
            self._runs.pop(run.id, None)
        if kind == "refused":
            run.finish(Ended("refused", problems=tuple(map(problem_from_json, message["problems"]))))
        else:
            report = message["report"]
            run.finish(Ended(report["state"], report))


def _reason(code: int) -> str:
    """Describe as a sentence why the process ended, from its exit code."""

    if code == -_KILLED:
        return "the worker process was killed; the usual cause is that the machine ran out of memory"
    if code < 0:
        try:
            name = signal.Signals(-code).name
        except ValueError:
            name = f"signal {-code}"
        return f"the worker process crashed ({name})"
    return f"the worker process exited with code {code}"
