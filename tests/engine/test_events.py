"""Tests of events: each survives JSON, and holds nothing that cannot leave the process."""

from __future__ import annotations

import json
import time
from typing import Any, get_args

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine import events
from engine.errors import Problem
from engine.events import Event, from_json
from engine.observe.event_line import event_line

texts = st.text(max_size=6)
numbers = st.integers(0, 99)
floats = st.floats(allow_nan=False, allow_infinity=False)
pictures = st.builds(events.Picture, st.binary(max_size=9), texts, numbers, numbers)
problems = st.builds(Problem, texts, texts, st.none() | texts, st.none() | texts, st.none() | texts)
rows = st.dictionaries(texts, st.none() | floats, max_size=2)
maybe = st.none() | texts
keys = st.text("0123456789abcdef", min_size=64, max_size=64)
caches = st.sampled_from(["none", "memory", "disk"])
steps = st.lists(
    st.builds(
        events.PlannedStep, texts, texts, texts, maybe, floats, maybe, is_list=st.booleans(), same_as=maybe
    ),
    max_size=3,
).map(tuple)
plain = st.recursive(st.none() | st.booleans() | numbers | floats | texts, st.lists)
some: dict[type, st.SearchStrategy[Any]] = {
    events.Planned: st.builds(events.Planned, texts, texts, steps),
    events.StepsAdded: st.builds(events.StepsAdded, texts, steps),
    events.Started: st.builds(events.Started, texts),
    events.Progress: st.builds(
        events.Progress, texts, numbers, st.none() | numbers, st.none() | floats, maybe, maybe
    ),
    events.Preview: st.builds(events.Preview, texts, pictures),
    events.Metrics: st.builds(events.Metrics, texts, st.lists(rows, max_size=3).map(tuple)),
    events.Sample: st.builds(events.Sample, texts, numbers, pictures, texts),
    events.Checkpoint: st.builds(events.Checkpoint, texts, numbers, texts),
    events.Published: st.builds(events.Published, texts, texts, texts, numbers),
    events.Printed: st.builds(events.Printed, texts, maybe),
    events.Warned: st.builds(events.Warned, texts, maybe),
    events.Done: st.builds(
        events.Done,
        texts,
        floats,
        caches,
        st.none() | keys,
        st.lists(st.builds(events.OutputSummary, texts, texts, texts), max_size=2).map(tuple),
        st.none() | st.dictionaries(texts, st.none() | numbers, max_size=2),
    ),
    events.ResultLost: st.builds(events.ResultLost, texts, st.none() | keys),
    events.Failed: st.builds(events.Failed, texts, floats, problems, texts),
    events.Skipped: st.builds(events.Skipped, texts, texts),
    events.OutputWritten: st.builds(
        events.OutputWritten,
        texts,
        st.lists(numbers, max_size=2).map(tuple),
        st.dictionaries(texts, plain, max_size=2),
        texts,
        st.lists(texts, max_size=2).map(tuple),
        texts,
        texts,
    ),
    events.Finished: st.builds(events.Finished, st.sampled_from(["done", "failed", "cancelled"]), floats),
}


def test_every_event_class_has_an_example() -> None:
    assert set(some) == set(get_args(Event))


@given(st.one_of(*some.values()))
def test_an_event_survives_json(event: Event) -> None:
    read = from_json(json.loads(json.dumps(event.as_json())))
    assert read == event
    assert type(read) is type(event)


@given(st.one_of(*some.values()))
def test_the_line_of_an_event_is_an_object_without_the_bytes_of_pictures(event: Event) -> None:
    line = json.loads(event_line(event, time.perf_counter()))
    assert line["event"] == event.as_json()["event"]
    assert "picture" not in line


DONE: dict[str, Any] = {
    "event": "done",
    "node": "a",
    "seconds": 1,
    "cache": "none",
    "key": None,
    "outputs": [{"name": "out", "type": "int", "summary": "5"}],
    "memory": {"host": 9, "rise": None, "device": None},
}


@pytest.mark.parametrize(
    "tree",
    [
        None,
        [],
        {},
        {"event": "other"},
        {"event": []},
        {"event": "started"},
        {"event": "started", "node": 3},
        {"event": "started", "node": "a", "more": 1},
        {**DONE, "seconds": True},
        {**DONE, "key": 3},
        {**DONE, "outputs": ["out"]},
        {**DONE, "memory": {"host": 0.5}},
        {"event": "preview", "node": "a", "picture": {"data": "?", "media": "", "width": 1, "height": 1}},
        {"event": "preview", "node": "a", "picture": {"data": ""}},
        {"event": "grown", "node": "a", "steps": [["a"]]},
        {"event": "grown", "node": "a", "steps": "abcdefgh"},
        {"event": "failed", "node": "a", "seconds": 1, "trace": "", "problem": None},
    ],
)
def test_other_json_is_refused(tree: Any) -> None:
    outputs, memory = (events.OutputSummary("out", "int", "5"),), {"host": 9, "rise": None, "device": None}
    assert from_json(DONE) == events.Done("a", 1.0, "none", None, outputs, memory)
    with pytest.raises(ValueError, match="event"):
        from_json(tree)
