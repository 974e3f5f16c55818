from __future__ import annotations

import json
import threading
import time

import pytest
from hypothesis import given
from hypothesis import strategies as st
from pydantic import TypeAdapter

from engine.events import Picture
from engine.queue.event_log import PREVIEW_BACKLOG, EventLog
from engine.queue.limits import QueueLimits
from engine.queue.stream_events import (
    EVENTS,
    EventData,
    Log,
    NodePreview,
    NodeProgress,
    QueueChanged,
    RunQueued,
    StreamEvent,
)


def progress(value: int, path: str = "node") -> NodeProgress:
    return NodeProgress(path, value, 10, None, None)


def numbers(events: list[StreamEvent]) -> list[int]:
    return [event.seq for event in events if event.type != "hello"]


def test_a_reader_is_greeted_and_receives_what_comes_after() -> None:
    log = EventLog()
    log.publish(Log("info", "before"))
    reader = log.subscribe()
    log.publish(RunQueued(3), run="r", document="d", node=None)
    hello, queued = reader.take()
    assert (hello.type, hello.data.missed, hello.data.seq) == ("hello", False, 2)  # type: ignore[union-attr]
    assert json.loads(queued.text) == {
        "seq": 2,
        "ts": queued.ts,
        "type": "run.queued",
        "run": "r",
        "document": "d",
        "node": None,
        "data": {"position": 3},
    }
    assert json.loads(queued.text) == queued.as_json()
    assert reader.take() == []


@given(st.lists(st.integers(0, 4), max_size=60), st.integers(0, 60), st.integers(1, 7))
def test_a_replay_gives_the_latest_state_in_order(steps: list[int], since: int, limit: int) -> None:
    """Steps are progress of four paths, or an event that nothing replaces (4)."""
    log = EventLog()
    for value, step in enumerate(steps):
        log.publish(Log("info", str(value)) if step == 4 else progress(value, f"n{step}"), run="r")
    reader = log.subscribe(since)
    received: list[StreamEvent] = []
    while events := reader.take(limit):
        received += [event for event in events if event.type != "hello"]
    assert numbers(received) == sorted(numbers(received))
    after = list(enumerate(steps, 1))[min(since, len(steps)) :]
    latest = {step: number for number, step in after}
    expected = [number for number, step in after if step == 4 or latest[step] == number]
    assert numbers(received) == expected


def test_a_reader_that_falls_behind_is_told_and_goes_on() -> None:
    log = EventLog(QueueLimits(kept_events=10))
    slow = log.subscribe()
    slow.take()
    for value in range(25):
        log.publish(Log("info", str(value)))
    hello, *events = slow.take()
    assert hello.as_json()["data"] == {"server_id": log.server_id, "seq": 25, "oldest": 16, "missed": True}
    assert numbers(events) == list(range(16, 26))
    assert slow.take() == []
    log.publish(Log("info", "more"))
    assert numbers(slow.take()) == [26]
    late = log.subscribe(3).take()
    assert late[0].as_json()["data"]["missed"] is True  # type: ignore[call-overload,index]
    assert log.subscribe(16).take()[0].as_json()["data"]["missed"] is False  # type: ignore[call-overload,index]


@pytest.mark.parametrize(("since", "server"), [(1, "another"), (99, None)])
def test_numbers_of_another_server_are_not_replayed(since: int, server: str | None) -> None:
    log = EventLog()
    log.publish(Log("info", "1"))
    log.publish(Log("info", "2"))
    hello, *rest = log.subscribe(since, server).take()
    assert hello.as_json()["data"]["missed"] is True  # type: ignore[call-overload,index]
    assert rest == []


def test_memory_is_bounded_by_bytes_too() -> None:
    log = EventLog(QueueLimits(kept_event_bytes=20_000, kept_preview_bytes=1000))
    for value in range(200):
        log.publish(Log("info", "x" * 1000))
        log.publish(progress(value))
        log.publish(QueueChanged(0, value, None))
        id = log.add_preview(Picture(b"p" * 300, "image/jpeg", 8, 8))
        log.publish(NodePreview(f"n{value}", id, 8, 8, "image/jpeg"))
    events = log.subscribe(log.oldest - 1).take(1000)
    assert sum(len(event.text) for event in events) < 21_000
    assert len(log._previews) == 3
    assert log.preview(id) is not None
    assert len(log._events) < 200, "replaced events do not pile up"


def test_a_newer_preview_replaces_the_picture_and_slow_readers_get_none() -> None:
    log = EventLog()
    slow = log.subscribe()
    ids = [log.add_preview(Picture(b"%d" % n, "image/jpeg", 8, 8)) for n in range(2)]
    for id in ids:
        log.publish(NodePreview("node", id, 8, 8, "image/jpeg"), run="r")
    assert log.preview(ids[0]) is None
    kept = log.preview(ids[1])
    assert kept is not None
    assert kept.data == b"1"
    assert [event.type for event in log.subscribe(0).take()] == ["hello", "node.preview"]
    for value in range(PREVIEW_BACKLOG + 10):
        log.publish(Log("info", str(value)))
    assert "node.preview" not in [event.type for event in slow.take(5)]


def test_publishing_does_not_wait_for_readers_and_readers_wait_for_events() -> None:
    log = EventLog()
    idle = [log.subscribe() for _ in range(1000)]
    arrived: list[StreamEvent] = []
    reader = threading.Thread(target=lambda: arrived.extend(log.subscribe().follow(0.3)))
    reader.start()
    began = time.monotonic()
    for value in range(1000):
        log.publish(Log("info", str(value)))
    assert time.monotonic() - began < 5
    reader.join()
    assert len(idle) == 1000
    assert arrived[-1].seq == 1000
    woken: list[int] = []
    end = log.listen(lambda: woken.append(log.seq))
    log.publish(Log("info", "a"))
    end()
    log.publish(Log("info", "b"))
    assert woken == [1001]


def test_every_event_type_has_a_schema() -> None:
    """The OpenAPI document describes each type, and what we send fits it."""
    for name, cls in EVENTS.items():
        schema = TypeAdapter(cls).json_schema()
        assert schema["description"], name
    adapter: TypeAdapter[EventData] = TypeAdapter(QueueChanged)
    assert adapter.validate_python({"running": 1, "pending": 2, "paused": None}) == QueueChanged(1, 2, None)
