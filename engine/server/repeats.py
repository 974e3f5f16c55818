"""Repetitions: runs that are submitted again whenever they end, with new random seeds, until stopped."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass, replace

from engine.errors import GraphError
from engine.queue import RunQueue
from engine.queue.repeat_table import StoredRepeat
from engine.queue.snapshot import QueuedRun
from engine.queue.stream_events import Log, RunFinished
from engine.server.refusal import Refused, refused
from engine.server.submission import Submission

MOST = 20
"""The most repetitions at the same time."""
LOOK_SECONDS = 0.5
"""The seconds without an event after which the current runs are looked at; otherwise after an end."""
_GOES_ON = ("done", "interrupted")
"""The states of a run after which it is submitted again; `interrupted` is a stop of the server."""


@dataclass(frozen=True, slots=True)
class RepeatRow:
    """A repetition: a run that is submitted again whenever it ends."""

    id: str
    """The id of its first run."""
    run: str
    """The current run."""
    count: int
    """The number of runs so far."""


class Repeats:
    """Submits the next run of each repetition when the current one has ended.

    A repetition ends when a run fails or is cancelled. It continues after a restart of the server.

    Each run after the first has an idempotency key, so that a server that is killed submits none twice.

    Args:
        queue: the queue.
        submit: submits a run, with new random seeds.
    """

    def __init__(self, queue: RunQueue, submit: Callable[[Submission], QueuedRun]) -> None:
        self._queue, self._submit = queue, submit
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None
        self._count = len(queue.repeats.rows())

    def resume(self) -> None:
        """Continue the repetitions that were active when the server last stopped."""
        if self._count:
            self._start()

    def add(self, id: str, submission: Submission) -> None:
        """Make a submitted run a repetition.

        Args:
            id: the id of the run, which also names the repetition.
            submission: the run.

        Raises:
            Refused: there are too many repetitions (429).
        """
        with self._lock:
            if self._count >= MOST:
                message = f"{MOST} runs are repeated already"
                raise refused(429, "too_many_repeats", message, "stop one of them")
            self._queue.repeats.add(id, submission.as_json())
            self._count += 1
        self._start()

    def rows(self) -> list[RepeatRow]:
        """List the active repetitions."""
        return [RepeatRow(row.id, row.run, row.count) for row in self._queue.repeats.rows()]

    def stop(self, id: str) -> None:
        """End a repetition; its current run continues.

        Raises:
            Refused: there is no repetition with this id (404).
        """
        if not self._remove(id):
            raise refused(404, "unknown_repeat", f"no run {id!r} is repeated")

    def close(self) -> None:
        """Stop submitting runs; the repetitions continue after the next start of the server."""
        self._closed.set()
        if self._thread is not None:
            self._thread.join()

    def _start(self) -> None:
        with self._lock:
            if self._thread is None:
                self._thread = threading.Thread(target=self._follow, name="safelight-repeats", daemon=True)
                self._thread.start()

    def _follow(self) -> None:
        reader = self._queue.events.subscribe()
        while not self._closed.is_set():
            for row in self._queue.repeats.rows() if self._count else ():
                if not self._closed.is_set():
                    self._look_at(row)
            for event in reader.follow(LOOK_SECONDS):
                if isinstance(event.data, RunFinished) or self._closed.is_set():
                    break

    def _look_at(self, row: StoredRepeat) -> None:
        """If the current run of a repetition has ended, submit the next one, or end the repetition."""
        try:
            summary = self._queue.run(row.run).summary
            if summary.finished is None:
                return
            if summary.state not in _GOES_ON:
                self._remove(row.id)
                return
            submission = replace(Submission.from_json(row.submission), key=f"repeat:{row.id}:{row.count + 1}")
            queued = self._submit(submission)
            if not self._queue.repeats.advance(row.id, queued.id, row.count + 1):
                self._queue.cancel(queued.id)  # it was stopped meanwhile
        except Refused as refusal:
            if refusal.status != 429:  # the queue is full for now
                self._end(row, refusal.problems[0].message)
        except GraphError as error:
            if error.problems[0].code not in ("disk_full", "queue_locked", "catalogue_died"):
                self._end(row, error.problems[0].message)

    def _end(self, row: StoredRepeat, reason: str) -> None:
        """End a repetition whose graph can no longer run, and publish the reason."""
        self._remove(row.id)
        self._queue.events.publish(Log("warning", f"the run is not repeated any more: {reason}"), run=row.run)

    def _remove(self, id: str) -> bool:
        with self._lock:
            removed = self._queue.repeats.remove(id)
            self._count -= removed
            return removed
