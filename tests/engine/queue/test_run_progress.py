from __future__ import annotations

from unittest import mock

import pytest

from engine.errors import Problem
from engine.events import (
    Done,
    Event,
    Failed,
    OutputSummary,
    OutputWritten,
    Picture,
    Planned,
    PlannedStep,
    Preview,
    Printed,
    Progress,
    Skipped,
    Started,
    Warned,
)
from engine.queue.event_log import EventLog
from engine.queue.run_progress import MAX_LINES_A_SECOND, RunProgress, node_of
from engine.queue.stream_events import NodePreview, NodeProgress, StreamEvent

PICTURE = Picture(b"picture", "image/jpeg", 8, 8)


class Clock:
    """A run whose clock the test sets."""

    def __init__(self) -> None:
        self.log = EventLog()
        self.progress = RunProgress("run", "doc", "cpu", self.log)
        self.now = 100.0
        self.sent: list[StreamEvent] = []

    def take(self, event: Event) -> None:
        with mock.patch("engine.queue.run_progress.time.monotonic", return_value=self.now):
            self.progress.take(event)
        self._collect()

    def flush(self) -> None:
        with mock.patch("engine.queue.run_progress.time.monotonic", return_value=self.now):
            self.progress.flush()
        self._collect()

    def _collect(self) -> None:
        seen = self.sent[-1].seq if self.sent else 0
        self.sent += self.log.after(seen, 1000)[0]

    def of(self, kind: type) -> list[StreamEvent]:
        return [event for event in self.sent if isinstance(event.data, kind)]


def test_progress_is_sent_ten_times_a_second_and_the_newest_is_never_lost() -> None:
    run = Clock()
    run.take(Started("node"))
    for value in range(1, 301):  # three seconds
        run.now += 0.01
        run.take(Progress("node", value, 300, 100.0))
        run.flush()
    assert 25 <= len(run.of(NodeProgress)) <= 31
    run.now += 0.2
    run.flush()
    last = run.of(NodeProgress)[-1].data
    assert last == NodeProgress("node", 300, 300, 100.0, 0.0)
    assert run.progress.nodes()["node"].value == 300


def test_details_of_a_finished_step_are_in_its_event_and_its_state() -> None:
    run = Clock()
    run.take(Progress("node", 1, 2, None, "pictures", "encoding pictures"))
    outputs = (OutputSummary("image", "Image", "64 x 32"), OutputSummary("count", "int", "3"))
    memory = {"host": 100, "rise": 10, "device": None}
    run.take(Done("node", 1.0, "none", "key", outputs, memory))
    progress, done = (event.as_json()["data"] for event in run.sent)
    assert isinstance(progress, dict)
    assert isinstance(done, dict)
    assert (progress["unit"], progress["stage"]) == ("pictures", "encoding pictures")
    plain = [
        {"name": "image", "type": "Image", "summary": "64 x 32"},
        {"name": "count", "type": "int", "summary": "3"},
    ]
    assert (done["outputs"], done["memory"]) == (plain, memory)
    node = run.progress.changes().nodes["node"]
    assert (node.outputs, node.memory) == (plain, memory)
    assert (node.unit, node.stage) == ("pictures", "encoding pictures")


def test_held_progress_is_not_sent_after_the_end_of_its_step() -> None:
    run = Clock()
    run.take(Progress("node", 1, 2, None))
    run.take(Progress("node", 2, 2, None))
    run.take(Done("node", 1.0))
    run.now += 1
    run.flush()
    assert [event.type for event in run.sent] == ["node.progress", "node.done"]


def test_previews_are_sent_five_times_a_second() -> None:
    run = Clock()
    for _ in range(100):
        run.now += 0.02
        run.take(Preview("node", PICTURE))
    previews = run.of(NodePreview)
    assert 9 <= len(previews) <= 10
    assert run.progress.nodes()["node"].preview == previews[-1].data.id  # type: ignore[union-attr]


def test_a_node_that_prints_without_end_does_not_flood_the_stream() -> None:
    run = Clock()
    for number in range(1000):
        run.take(Printed(f"line {number}", "node"))
    run.now += 1
    run.take(Printed("x" * 100_000, "node"))
    assert len(run.sent) == MAX_LINES_A_SECOND + 1
    assert len(run.sent[-1].text) < 10_000


def test_the_states_of_steps_follow_the_events_and_the_report() -> None:
    run = Clock()
    steps = [("a", "run"), ("b", "reuse"), ("c", "run"), ("d", "unneeded"), ("e", "run"), ("e[0]", "run")]
    planned = tuple(PlannedStep(id, "T@1", word, "disk", 0.0, None, False, None) for id, word in steps)
    run.take(Planned("inner", "title", planned))
    run.take(Started("a"))
    run.take(Warned("careful", "a"))
    run.take(Failed("a", 0.5, Problem("broken", "it broke", "a", "x", "mend it"), "trace"))
    run.take(Skipped("c", "a"))
    run.take(Started("e[0]"))
    states = {path: node.state for path, node in run.progress.nodes().items()}
    assert states == {
        "a": "failed",
        "b": "cached",
        "c": "skipped",
        "d": "unneeded",
        "e": "planned",
        "e[0]": "running",
    }
    failed = run.progress.nodes()["a"]
    assert (failed.warnings, failed.trace, failed.ms) == (["careful"], "trace", 500.0)
    assert failed.problem == Problem("broken", "it broke", "a", "x", "mend it").as_json()
    assert {event.document for event in run.sent} == {"doc"}
    plan = run.sent[0].as_json()["data"]
    assert isinstance(plan, dict)
    assert plan["nodes"].keys() == {"a", "b", "c", "d", "e"}  # type: ignore[union-attr]
    report = {"nodes": {"e": {"state": "done", "cache": "none", "seconds": 2.0, "reason": "first run"}}}
    run.progress.end(report)
    nodes = run.progress.nodes()
    assert (nodes["e"].state, nodes["e"].ms, nodes["e"].reason) == ("done", 2000.0, "first run")
    assert nodes["e[0]"].state == "cancelled"


def test_changes_are_handed_over_once_and_kept_when_they_cannot_be_written() -> None:
    run = Clock()
    run.take(Started("node"))
    changes = run.progress.changes()
    assert changes.nodes["node"].state == "running"
    assert not run.progress.changes()
    run.take(Done("node", 1.0))
    run.progress.keep(changes)
    assert run.progress.changes().nodes["node"].state == "done", "the newer state wins"


def test_an_output_whose_file_is_gone_is_left_out() -> None:
    run = Clock()
    run.take(OutputWritten("image", (), {}, "Image", ("/no/such/file.png",), "digest", "decode"))
    assert not run.progress.has_outputs


@pytest.mark.parametrize("path", ["denoise", "denoise[2]", "denoise/scale", "denoise[1]/a[3]"])
def test_a_step_belongs_to_a_node_of_the_document(path: str) -> None:
    assert node_of(path) == "denoise"
