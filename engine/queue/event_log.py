"""One numbered stream of the events of all runs, which any number of readers can follow and replay."""

from __future__ import annotations

import secrets
import time
from bisect import bisect_right
from collections import OrderedDict
from collections.abc import Callable, Iterator
from contextlib import suppress
from threading import Condition

from engine.events import Picture
from engine.queue.limits import QueueLimits
from engine.queue.stream_events import EventData, Hello, NodePreview, StreamEvent, made, replaces

PREVIEW_BACKLOG = 50
"""A reader with more unread events than this receives no previews."""


class EventLog:
    """Keeps the latest events of all runs under increasing numbers. Publishing never waits for a reader.

    All readers share the events, and each has only a position, so that readers cost no memory. An event of
    progress, of a preview or of the queue's length replaces the previous one of its kind, also for readers
    that have not read it. A reader that falls behind the oldest kept event receives a `Hello` with `missed`,
    and continues with that event.

    Args:
        limits: the limits for kept events and previews.
    """

    def __init__(self, limits: QueueLimits | None = None) -> None:
        self._limits = limits or QueueLimits()
        self.server_id = secrets.token_hex(8)
        """A random id of this object. Event numbers start anew with each id, so readers compare ids first."""
        self.changed = Condition()
        """Notified after each event."""
        self._events: list[StreamEvent] = []
        self._replaced: set[int] = set()  # numbers of events in the list that newer ones have replaced
        self._newest: dict[tuple[str, str | None, str], StreamEvent] = {}
        self._bytes = 0
        self._seq = 0
        self._oldest = 1
        self._previews: OrderedDict[str, Picture] = OrderedDict()
        self._preview_bytes = 0
        self._listeners: set[Callable[[], None]] = set()

    @property
    def seq(self) -> int:
        """The number of the latest event; 0 if there was none."""
        return self._seq

    @property
    def oldest(self) -> int:
        """The number of the oldest event that can be replayed."""
        return self._oldest

    def publish(
        self, data: EventData, *, run: str | None = None, document: str | None = None, node: str | None = None
    ) -> StreamEvent:
        """Append an event and notify the readers; the class of `data` decides its type. Thread-safe."""
        with self.changed:
            self._seq += 1
            event = made(self._seq, time.time(), data, run, document, node)
            self._append(event)
            self.changed.notify_all()
            listeners = tuple(self._listeners)
        for notify in listeners:
            with suppress(RuntimeError):  # the event loop of a reader has closed
                notify()
        return event

    def add_preview(self, picture: Picture) -> str:
        """Keep a preview picture in memory; return the id for `preview`."""
        id = secrets.token_hex(12)
        with self.changed:
            self._previews[id] = picture
            self._preview_bytes += len(picture.data)
            while self._preview_bytes > self._limits.kept_preview_bytes:
                _, dropped = self._previews.popitem(last=False)
                self._preview_bytes -= len(dropped.data)
        return id

    def preview(self, id: str) -> Picture | None:
        """Return a preview picture by the id in `NodePreview`; None if it was dropped for newer ones."""
        with self.changed:
            return self._previews.get(id)

    def subscribe(self, since: int | None = None, server_id: str | None = None) -> Subscription:
        """Return a `Subscription` with which a reader follows the events.

        Args:
            since: the number of the last event that the reader has received; None to begin with the next one.
            server_id: the `server_id` that the number belongs to; None for that of this object.
        """
        return Subscription(self, since, server_id)

    def after(self, seq: int, limit: int) -> tuple[list[StreamEvent], int]:
        """Return up to `limit` kept events after event number `seq`, and how many more follow."""
        with self.changed:
            start = bisect_right(self._events, seq, key=lambda event: event.seq)
            found: list[StreamEvent] = []
            place = start
            while place < len(self._events) and len(found) < limit:
                if self._events[place].seq not in self._replaced:
                    found.append(self._events[place])
                place += 1
            return found, len(self._events) - place

    def listen(self, notify: Callable[[], None]) -> Callable[[], None]:
        """Call `notify` after each event, on the thread that publishes; return a function that ends this.

        `notify` must return at once, as `loop.call_soon_threadsafe` does.
        """
        with self.changed:
            self._listeners.add(notify)

        def end() -> None:
            with self.changed:
                self._listeners.discard(notify)

        return end

    def _append(self, event: StreamEvent) -> None:
        if (key := replaces(event.run, event.data)) is not None:
            older = self._newest.get(key)
            if older is not None and older.seq >= self._oldest and older.seq not in self._replaced:
                self._replace(older)
            self._newest[key] = event
        self._events.append(event)
        self._bytes += len(event.text)
        while (
            len(self._events) - len(self._replaced) > self._limits.kept_events
            or self._bytes > self._limits.kept_event_bytes
        ) and len(self._events) > 1:
            self._drop_oldest()
        if len(self._replaced) > max(100, len(self._events) // 2):
            self._events = [item for item in self._events if item.seq not in self._replaced]
            self._replaced.clear()

    def _replace(self, event: StreamEvent) -> None:
        self._replaced.add(event.seq)
        self._bytes -= len(event.text)
        if isinstance(event.data, NodePreview):
            dropped = self._previews.pop(event.data.id, None)
            self._preview_bytes -= len(dropped.data) if dropped else 0

    def _drop_oldest(self) -> None:
        event = self._events.pop(0)
        if event.seq in self._replaced:
            self._replaced.discard(event.seq)
        else:
            self._bytes -= len(event.text)
        key = replaces(event.run, event.data)
        if key is not None and self._newest.get(key) is event:
            del self._newest[key]
        self._oldest = event.seq + 1


class Subscription:
    """One reader's position in an `EventLog`.

    The first event that it receives is a `Hello`. Call `take` in an event loop that `EventLog.listen` wakes
    up, or iterate over `follow` on a thread.

    Args:
        log: the events.
        since: the number of the last event that the reader has received; None to begin with the next one.
        server_id: the `server_id` that the number belongs to; None for that of `log`.
    """

    def __init__(self, log: EventLog, since: int | None, server_id: str | None) -> None:
        self._log = log
        foreign = server_id is not None and server_id != log.server_id
        self._seq = log.seq if since is None or foreign else min(since, log.seq)
        self._greeted = False
        self._missed = since is not None and (foreign or since > log.seq)

    def take(self, limit: int = 100) -> list[StreamEvent]:
        """Return the next events, at most `limit`, without waiting; empty if there are none yet."""
        with self._log.changed:
            first: list[StreamEvent] = []
            if self._seq + 1 < self._log.oldest:
                self._missed, self._greeted = True, False
                self._seq = self._log.oldest - 1
            if not self._greeted:
                first.append(self._hello())
            events, left = self._log.after(self._seq, limit - len(first))
        if events:
            self._seq = events[-1].seq
        if left > PREVIEW_BACKLOG:
            events = [event for event in events if not isinstance(event.data, NodePreview)]
        return first + events

    def follow(self, timeout: float | None = None) -> Iterator[StreamEvent]:
        """Yield events as they are published; end after `timeout` seconds without one, or never if None."""
        while True:
            if events := self.take():
                yield from events
                continue
            with self._log.changed:
                if self._log.seq <= self._seq and not self._log.changed.wait(timeout):
                    return

    def _hello(self) -> StreamEvent:
        """Make the `Hello` event. It has the number of the event before the one that follows it."""
        self._greeted = True
        missed, self._missed = self._missed, False
        data = Hello(self._log.server_id, self._log.seq, self._log.oldest, missed)
        return made(self._seq, time.time(), data)
