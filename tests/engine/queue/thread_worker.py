"""A worker that executes runs on a thread of this process, so that a kill ends both and costs little."""

from __future__ import annotations

import os
import threading
from collections.abc import Callable, Mapping
from concurrent.futures import Future
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO

from engine import settings as loading
from engine.cancel import Cancel
from engine.document.run_request import RunRequest
from engine.errors import GraphError
from engine.events import Emit
from engine.session import Session
from engine.step_requests import Request, Requests
from engine.workers.messages import Ended
from engine.workers.worker import Worker, WorkerRun


class ThreadRun(WorkerRun):
    """A run on the thread."""

    def __init__(self, worker: Worker, id: str, emit: Emit) -> None:
        super().__init__(worker, id, emit)
        self.flag, self.requests = Cancel(), Requests()

    def cancel(self, grace: float = 0.0) -> None:
        self.flag.ask()

    def ask(self, node: str, request: Request) -> None:
        self.requests.ask(node, request)


class ThreadWorker(Worker):
    """See the module; it cannot be killed without this process."""

    def __init__(
        self,
        home: Path,
        settings: Mapping[str, Any] | None = None,
        *,
        warn: Callable[[str], None] = lambda message: None,
        log: int | BinaryIO | None = None,
    ) -> None:
        self._session = Session(loading.load(home, **(settings or {})), warn=warn)
        self._waiting: SimpleQueue[tuple[RunRequest, ThreadRun] | None] = SimpleQueue()
        self.ready = Future()
        self.ready.set_result({"pid": os.getpid(), "device": "cpu"})
        self._thread = threading.Thread(target=self._serve, daemon=True)
        self._thread.start()

    @property
    def pid(self) -> int:
        return os.getpid()

    @property
    def alive(self) -> bool:
        return True

    def run(self, request: RunRequest, emit: Emit = lambda event: None) -> WorkerRun:
        run = ThreadRun(self, "run", emit)
        self._waiting.put((request, run))
        return run

    def kill(self) -> None:
        raise AssertionError("a thread cannot be killed")

    def close(self, timeout: float = 10.0) -> None:
        self._waiting.put(None)
        self._thread.join(timeout)

    def _serve(self) -> None:
        with self._session as session:
            while (order := self._waiting.get()) is not None:
                request, run = order
                try:
                    report = session.run(
                        request, emit=run.emit, cancel=run.flag, requests=run.requests, previews=True
                    )
                except GraphError as error:
                    run.finish(Ended("refused", problems=error.problems))
                else:
                    run.finish(Ended(report.state, report.as_json()))  # type: ignore[arg-type]
