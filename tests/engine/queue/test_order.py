"""The order of waiting runs, against a list."""

from __future__ import annotations

from pathlib import Path

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import GraphError
from engine.events import Metrics, Started
from engine.queue import QueueLimits, RunQueue
from engine.queue.state import RunningRun
from tests.engine.queue.trial_pack import request
from tests.engine.store.kept_values import quick_folder

SMALL = request("Add")
STEPS = st.lists(
    st.one_of(
        st.tuples(st.just("submit"), st.integers(0, 2), st.booleans()),
        st.tuples(st.just("cancel"), st.integers(0, 20), st.just(0)),
        st.tuples(st.just("move"), st.integers(0, 20), st.none() | st.integers(0, 20)),
        st.tuples(st.just("start"), st.just(0), st.just(0)),
        st.tuples(st.just("reopen"), st.just(0), st.just(0)),
    ),
    max_size=25,
)


class Model:
    """Waiting runs as a list of (priority, id)."""

    def __init__(self) -> None:
        self.waiting: list[tuple[int, str]] = []

    def submit(self, priority: int, id: str, front: bool) -> int:
        """Returns the position."""
        place = sum(1 for other, _ in self.waiting if other > priority or (other == priority and not front))
        self.waiting.insert(place, (priority, id))
        return place

    def move(self, id: str, before: str | None) -> None:
        ids = [other for _, other in self.waiting]
        target = ids[0] if before is None else before
        if target != id:
            priority = self.waiting[ids.index(target)][0]
            del self.waiting[ids.index(id)]
            self.waiting.insert([other for _, other in self.waiting].index(target), (priority, id))


@settings(max_examples=40, deadline=None)
@given(STEPS)
def test_runs_wait_in_the_order_of_the_model(steps: list[tuple[str, int, int | None]]) -> None:
    model = Model()
    with quick_folder() as folder:
        queue = RunQueue(folder, start=False)
        for word, number, other in steps:
            ids = [id for _, id in model.waiting]
            if word == "submit":
                queued = queue.submit(SMALL, priority=number, front=bool(other))
                assert queued.position == model.submit(number, queued.id, bool(other))
            elif word == "reopen":
                queue.close()
                queue = RunQueue(folder, start=False)
            elif not ids:
                continue
            elif word == "start":
                taken = queue._state.take("cpu")
                assert taken is not None
                assert taken.id == model.waiting.pop(0)[1]
                queue._state.finish(taken, "done", None, [])
            elif word == "cancel":
                assert queue.cancel(ids[number % len(ids)]).state == "cancelled"
                del model.waiting[number % len(ids)]
            else:
                before = None if other is None else ids[other % len(ids)]
                model.move(ids[number % len(ids)], before)
                moved = queue.move(ids[number % len(ids)], before=before)
                assert moved.position == [id for _, id in model.waiting].index(moved.id)
            waiting = queue.runs("queued", limit=100)
            assert [(run.priority, run.id) for run in waiting] == model.waiting
            assert [run.position for run in waiting] == list(range(len(waiting)))
            assert queue.status().pending == len(waiting)
        queue.close()


def test_a_run_is_moved_between_two_others_any_number_of_times(tmp_path: Path) -> None:
    with RunQueue(tmp_path / "home", start=False) as queue:
        top, first, second, third = (queue.submit(SMALL).id for _ in range(4))
        for number in range(80):  # the places of two runs come closer until there is no number between them
            queue.move((second, third)[number % 2], before=(third, second)[number % 2])
            assert [run.id for run in queue.runs("queued")[:2]] == [top, first]
        queue.move(third)
        assert [run.id for run in queue.runs("queued")] == [third, top, first, second]


def crash(queue: RunQueue) -> None:
    """End a queue as a kill does: nothing more is written."""
    queue._state.database.close()
    queue._lock.close()


def start(queue: RunQueue) -> RunningRun:
    running = queue._state.take("cpu")
    assert running is not None
    return running


def test_a_run_that_the_server_left_is_interrupted_and_can_be_repeated(tmp_path: Path) -> None:
    queue = RunQueue(tmp_path / "home", start=False)
    queue.submit(SMALL, document="doc", priority=3)
    waiting = queue.submit(SMALL)
    running = start(queue)
    crash(queue)
    with RunQueue(tmp_path / "home", start=False) as queue:
        snapshot = queue.run(running.id)
        assert snapshot.summary.state == "interrupted"
        assert [problem["code"] for problem in snapshot.problems] == ["interrupted"]
        assert [run.id for run in queue.runs("queued")] == [waiting.id]
        again = queue.retry(running.id)
        repeated = queue.run(again.id)
        assert repeated.graph == snapshot.graph
        summary = repeated.summary
        assert (summary.document, summary.priority, summary.retry_of) == ("doc", 3, running.id)
        assert again.position == 0


def test_by_setting_it_goes_back_to_the_front_but_not_forever(tmp_path: Path) -> None:
    limits = QueueLimits(after_restart="requeue", max_attempts=2)
    queue = RunQueue(tmp_path / "home", limits=limits, start=False)
    first, second = queue.submit(SMALL).id, queue.submit(SMALL).id
    for state in ("queued", "interrupted"):
        assert start(queue).id == first
        crash(queue)
        queue = RunQueue(tmp_path / "home", limits=limits, start=False)
        assert queue.run(first).summary.state == state
        if state == "queued":
            assert [run.id for run in queue.runs("queued")] == [first, second]
    queue.close()


def test_a_pause_holds_after_a_restart(tmp_path: Path) -> None:
    with RunQueue(tmp_path / "home", start=False) as queue:
        queue.submit(SMALL)
        queue.pause("cleaning up")
        assert queue._state._take("cpu") is None
    with RunQueue(tmp_path / "home", start=False) as queue:
        assert queue.status().paused == "cleaning up"
        queue.resume()
        assert queue.status().paused is None
        start(queue)


def test_runs_are_listed_by_page_and_state(tmp_path: Path) -> None:
    with RunQueue(tmp_path / "home", start=False) as queue:
        ids = [queue.submit(request("Add", title=f"t{n}")).id for n in range(5)]
        queue.cancel(ids[1])
        first = queue.runs(limit=2)
        assert [run.id for run in first] == [ids[4], ids[3]]
        assert [run.id for run in queue.runs(before=first[-1].number)] == ids[2::-1]
        assert [run.id for run in queue.runs("cancelled")] == [ids[1]]
        assert [run.title for run in queue.runs(["cancelled", "queued"], limit=2)] == ["t4", "t3"]
        with pytest.raises(GraphError) as error:
            queue.move(ids[1])
        assert error.value.problems[0].code == "not_queued"


def test_the_states_of_steps_are_kept_for_the_latest_runs(tmp_path: Path) -> None:
    with RunQueue(tmp_path / "home", limits=QueueLimits(detailed_runs=3), start=False) as queue:
        ids = [queue.submit(SMALL).id for _ in range(8)]
        for id in ids:
            running = start(queue)
            running.progress.take(Started("node"))
            running.progress.take(Metrics("node", ({"loss": 1.0},)))
            queue._state.finish(running, "done", None, [])
            assert queue.run(id).nodes["node"].state == "cancelled"
        assert [bool(queue.run(id).nodes) for id in ids] == [False] * 5 + [True] * 3
        assert [bool(queue.metrics(id)) for id in ids] == [False] * 5 + [True] * 3


def test_runs_with_metrics_alone_can_be_listed(tmp_path: Path) -> None:
    with RunQueue(tmp_path / "home", start=False) as queue:
        ids = [queue.submit(SMALL).id for _ in range(4)]
        for number in range(3):
            running = start(queue)
            if number != 1:
                running.progress.take(Metrics("node", ({"loss": 1.0}, {"loss": 0.5})))
            queue._state.finish(running, "cancelled" if number == 2 else "done", None, [])
        assert [run.id for run in queue.runs(has_metrics=True)] == [ids[2], ids[0]]
        assert [run.id for run in queue.runs("done", has_metrics=True)] == [ids[0]]
        assert [run.id for run in queue.runs(has_metrics=True, limit=1)] == [ids[2]]
