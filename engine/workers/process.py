"""The worker's side: receives runs from its owner, executes them in a session, and sends their events."""

from __future__ import annotations

import json
import os
import threading
from collections.abc import Iterator
from pathlib import Path
from queue import SimpleQueue
from typing import Any, BinaryIO, get_args

from engine.cancel import Cancel
from engine.document.run_request import RunRequest
from engine.errors import GraphError, Problem, SafelightError, error_text
from engine.events import Event
from engine.observe.step_memory import MemoryMeasurement
from engine.observe.watch import Watch
from engine.pack_errors import hook_problem
from engine.run.captured_stdout import captured_stdout
from engine.session import Session
from engine.step_requests import Request, Requests
from engine.workers.frames import BrokenFrame, FrameWriter, frames

_DONE = object()

ORPHAN_SECONDS = 10.0
"""The seconds that the runs of a worker may take to stop after its owner has died."""


class ReceivedRuns:
    """The queue of runs that the owner has sent, with their cancellation flags."""

    def __init__(self) -> None:
        self.waiting: SimpleQueue[tuple[str, dict[str, Any]] | None] = SimpleQueue()
        """The runs (id and request) in the order of arrival; None after the last one."""
        self._cancels: dict[str, Cancel] = {}
        self._requests: dict[str, Requests] = {}
        self._lock = threading.Lock()

    def add(self, run: str, request: dict[str, Any]) -> None:
        """Add a run to the queue."""
        with self._lock:
            self._cancels[run], self._requests[run] = Cancel(), Requests()
        self.waiting.put((run, request))

    def controls(self, run: str) -> tuple[Cancel, Requests]:
        """Return the cancellation flag of a run, and the requests to its nodes."""
        with self._lock:
            return self._cancels[run], self._requests[run]

    def ask(self, run: str, node: str, request: Request) -> None:
        """Send a request to a node of a run; do nothing if the run has ended."""
        with self._lock:
            requests = self._requests.get(run)
        if requests is not None:
            requests.ask(node, request)

    def cancel(self, run: str) -> None:
        """Cancel a waiting or current run; do nothing if the run has ended."""
        with self._lock:
            cancel = self._cancels.get(run)
        if cancel is not None:
            cancel.ask()

    def cancel_all(self) -> None:
        """Cancel every run."""
        with self._lock:
            cancels = list(self._cancels.values())
        for cancel in cancels:
            cancel.ask()

    def over(self, run: str) -> None:
        """Remove a run that has ended."""
        with self._lock:
            self._cancels.pop(run, None)
            self._requests.pop(run, None)


class Process:
    """Executes the owner's runs, one after the other on the calling thread.

    Args:
        session: executes the runs; it stays open between them, with its store and loaded models.
        incoming: the pipe that the owner writes to.
        outgoing: the pipe that the owner reads.
    """

    def __init__(self, session: Session, incoming: BinaryIO, outgoing: FrameWriter) -> None:
        self._session, self._incoming, self._outgoing = session, incoming, outgoing
        self._orders = ReceivedRuns()

    def serve(self) -> None:
        """Execute runs until the owner closes the worker or exits."""
        threading.Thread(target=self._listen, name="safelight-owner", daemon=True).start()
        _ = self._session.registry  # imports the node packs, so that the first run does not wait for them
        self._outgoing.write({"say": "ready", "pid": os.getpid(), "device": self._session.device})
        steps = self._preparations()
        while (order := self._next_order(steps)) is not None:
            run, request = order
            self._outgoing.write({"run": run, **self._execute(run, request)})
            self._orders.over(run)

    def _next_order(self, steps: Iterator[object]) -> tuple[str, dict[str, Any]] | None:
        """Wait for the next run (id and request); None after the last. Meanwhile advance the preparations."""
        while self._orders.waiting.empty() and next(steps, _DONE) is not _DONE:
            pass
        return self._orders.waiting.get()

    def _preparations(self) -> Iterator[object]:
        """Advance the packs' functions `warm_up`.

        The thread of the runs must call this, since imports on two threads at the same time can fail.
        """
        if not self._session.settings.warm_up:
            return
        for warm_up in self._session.registry.warm_ups:
            try:
                yield from warm_up()
            except Exception as error:  # the code of a pack may raise anything; a run that needs it says so
                self._outgoing.write(
                    {"say": "warned", "message": str(hook_problem("warm_up", warm_up, error))}
                )

    def _execute(self, run: str, request: dict[str, Any]) -> dict[str, Any]:
        """Execute one run; return the message with its outcome, without the run's id."""

        def emit(event: Event) -> None:
            self._outgoing.write({"say": "event", "run": run, "event": event.as_json()})

        try:
            cancel, requests = self._orders.controls(run)
            with Watch(MemoryMeasurement(self._session.device, all_steps=False)) as watch:
                report = self._session.run(
                    RunRequest.from_json(request),
                    emit=emit,
                    cancel=cancel,
                    requests=requests,
                    watch=watch,
                    previews=True,
                    details=True,
                )
            return {"say": "ended", "report": report.as_json()}
        except GraphError as error:
            problems = error.problems
        except SafelightError as error:
            problems = (Problem("failed", str(error)),)
        except (
            OSError
        ) as error:  # for example, the home's disk was removed; the owner's pipe raises BrokenPipeError
            if isinstance(error, BrokenPipeError):
                raise
            problems = (Problem("failed", error_text(error)),)
        return {"say": "refused", "problems": [problem.as_json() for problem in problems]}

    def _listen(self) -> None:
        """Receive the owner's messages on a separate thread, so that cancellations work immediately."""
        orders = self._orders
        try:
            for message in frames(self._incoming):
                match message["do"]:
                    case "run":
                        orders.add(message["run"], message["request"])
                    case "cancel":
                        orders.cancel(message["run"])
                    case "ask" if message["request"] in get_args(Request):
                        orders.ask(message["run"], message["node"], message["request"])
                    case "report":
                        report = self._session.devices_report().as_json()
                        self._outgoing.write({"say": "report", "id": message["id"], "report": report})
                    case "close":
                        orders.waiting.put(None)
        except (BrokenFrame, OSError):
            pass
        # The owner has ended: no one will read the results, so cancel all runs.
        orders.cancel_all()
        orders.waiting.put(None)
        timer = threading.Timer(ORPHAN_SECONDS, os._exit, (1,))
        timer.daemon = True
        timer.start()


def main(settings: str, incoming: BinaryIO, outgoing: BinaryIO) -> int:
    """Open the home folder and serve the owner; return the exit code.

    Args:
        settings: a JSON object: the path `home`; settings that override the home's own; and `local`, which is
            false if graphs come from the network and may name only files in the home's folders.
        incoming: the pipe that the owner writes to.
        outgoing: the pipe that the owner reads.
    """
    from engine import settings as loading

    writer = FrameWriter(outgoing)
    given = json.loads(settings)
    home = Path(given.pop("home"))
    local = bool(given.pop("local", True))
    try:
        with (
            captured_stdout(),
            Session(
                loading.load(home, **given),
                warn=lambda message: writer.write({"say": "warned", "message": message}),
                local=local,
            ) as session,
        ):
            Process(session, incoming, writer).serve()
    except BrokenPipeError:
        return 1
    except GraphError as error:  # the settings are invalid
        writer.write({"say": "warned", "message": str(error)})
        return 1
    return 0
