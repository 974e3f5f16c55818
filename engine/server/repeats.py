"""Runs that are submitted again after each end, with new random seeds, until a client stops them."""

from __future__ import annotations

import threading
from collections.abc import Callable
from dataclasses import dataclass

from engine.errors import GraphError
from engine.queue import RunQueue
from engine.queue.event_log import Subscription
from engine.queue.snapshot import QueuedRun
from engine.queue.stream_events import Hello, RunFinished
from engine.server.refusal import Refused, refused

MOST = 20
"""The most repetitions at the same time."""


@dataclass(slots=True)
class _Repeat:
    submit: Callable[[], QueuedRun]
    run: str
    """The current run."""
    count: int = 1


@dataclass(frozen=True, slots=True)
class RepeatRow:
    """A repetition."""

    id: str
    """The id of its first run."""
    run: str
    """The current run."""
    count: int
    """The number of runs so far."""


class Repeats:
    """Follows the runs of repetitions. They end with the server, and with a run that is not done.

    Args:
        queue: the queue.
    """

    def __init__(self, queue: RunQueue) -> None:
        self._queue = queue
        self._repeats: dict[str, _Repeat] = {}
        self._lock = threading.Lock()
        self._closed = threading.Event()
        self._thread: threading.Thread | None = None

    def add(self, id: str, submit: Callable[[], QueuedRun]) -> None:
        """Repeat a run that was submitted.

        Args:
            id: the id of the run, which also names the repetition.
            submit: submits it once more, with new random seeds.

        Raises:
            Refused: there are too many repetitions (429).
        """
        with self._lock:
            if len(self._repeats) >= MOST:
                raise refused(
                    429, "too_many_repeats", f"{MOST} runs are repeated already", "stop one of them"
                )
            self._repeats[id] = _Repeat(submit, id)
            if self._thread is None:
                reader = self._queue.events.subscribe(max(0, self._queue.events.oldest - 1))
                self._thread = threading.Thread(
                    target=self._follow, args=(reader,), name="safelight-repeats", daemon=True
                )
                self._thread.start()

    def rows(self) -> list[RepeatRow]:
        """The repetitions."""
        with self._lock:
            return [RepeatRow(id, item.run, item.count) for id, item in self._repeats.items()]

    def stop(self, id: str) -> None:
        """End a repetition; its current run goes on.

        Raises:
            Refused: there is none of this id (404).
        """
        with self._lock:
            if self._repeats.pop(id, None) is None:
                raise refused(404, "unknown_repeat", f"no run {id!r} is repeated")

    def close(self) -> None:
        """End all repetitions."""
        self._closed.set()
        with self._lock:
            self._repeats.clear()

    def _follow(self, reader: Subscription) -> None:
        while not self._closed.is_set():
            for event in reader.follow(timeout=1.0):
                if self._closed.is_set():
                    return
                if isinstance(event.data, RunFinished) and event.run is not None:
                    self._after(event.run, event.data.state)
                elif isinstance(event.data, Hello) and event.data.missed:
                    self._look_again()

    def _look_again(self) -> None:
        """Find runs whose end was missed, because very many events came at once."""
        for row in self.rows():
            try:
                summary = self._queue.run(row.run).summary
            except GraphError:
                continue
            if summary.finished is not None:
                self._after(row.run, summary.state)

    def _after(self, run: str, state: str) -> None:
        with self._lock:
            found = next(((id, item) for id, item in self._repeats.items() if item.run == run), None)
            if found is None:
                return
            id, repeat = found
            if state != "done":
                del self._repeats[id]
                return
        try:
            queued = repeat.submit()
        except (GraphError, Refused):  # the graph was deleted, or the queue is full
            with self._lock:
                self._repeats.pop(id, None)
            return
        with self._lock:
            repeat.run, repeat.count = queued.id, repeat.count + 1
            stopped = id not in self._repeats
        if stopped:
            self._queue.cancel(queued.id)
