"""A queue over a home of its own, whose pack has nodes that wait, print, crash and exit."""

from __future__ import annotations

import os
import resource
from collections.abc import Callable, Iterator
from contextlib import contextmanager
from pathlib import Path

import pytest

from engine.errors import GraphError
from engine.queue import QueueFull, QueueLimits, RunQueue
from engine.settings import load
from tests.counts import short_and_full
from tests.engine.queue.trial_pack import make_home, request
from tests.engine.queue.waiting import is_running, until, wait

SECRET = "sk-0123456789-abcdef"


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunQueue]:
    folder = tmp_path_factory.mktemp("queue")
    os.environ["SAFELIGHT_SECRET_TRIAL"] = SECRET
    limits = QueueLimits(cancel_grace=0.5, hang_timeout=4.0)
    with (
        (folder / "log").open("ab") as log,
        RunQueue(make_home(folder / "home"), {"device": "cpu"}, limits, log=log) as queue,
    ):
        yield queue


def test_a_run_goes_from_queued_to_done_with_its_events(queue: RunQueue) -> None:
    reader = queue.events.subscribe()
    queued = queue.submit(request("Add", a=2, b=3), document="doc")
    assert queued.is_new
    snapshot = wait(queue, queued.id)
    assert snapshot.summary.state == "done"
    assert snapshot.values == {"value": 5}
    assert snapshot.nodes["node"].state == "done"
    events = []
    for event in reader.follow(30):
        events += [event] if event.run == queued.id else []
        if event.type == "run.finished":
            break
    types = [event.type for event in events]
    assert [name for name in types if name.startswith("run.")] == [
        "run.queued",
        "run.started",
        "run.plan",
        "run.finished",
    ]
    assert [name for name in types if name.startswith("node.")] == ["node.started", "node.done"]
    assert {event.document for event in events} == {"doc"}
    pid = queue.status().devices[0].pid
    assert pid is not None
    assert os.getpgid(pid) != os.getpgid(0), "Ctrl-C in a terminal does not reach the worker"
    again = wait(queue, queue.submit(request("Add", a=2, b=3)).id)
    assert again.nodes["node"].state == "cached"


def test_the_same_key_gives_the_same_run(queue: RunQueue) -> None:
    first = queue.submit(request("Add", a=1), key="k")
    second = queue.submit(request("Add", a=1), key="k")
    assert (second.id, second.is_new) == (first.id, False)
    with pytest.raises(GraphError) as error:
        queue.submit(request("Add", a=2), key="k")
    assert error.value.problems[0].code == "key_reused"


def test_a_graph_with_errors_is_refused_with_its_problems(queue: RunQueue) -> None:
    snapshot = wait(queue, queue.submit(request("Unknown")).id)
    assert snapshot.summary.state == "refused"
    assert snapshot.problems[0]["code"] == "unknown_type"


def test_runs_are_cancelled_in_every_state(queue: RunQueue) -> None:
    running = queue.submit(request("Wait"))
    waiting = queue.submit(request("Add", a=9))
    until(
        lambda: (
            queue.run(running.id).nodes.get("node") is not None
            and queue.run(running.id).nodes["node"].state == "running"
        )
    )
    assert queue.cancel(waiting.id).state == "cancelled"
    queue.cancel(running.id)
    assert wait(queue, running.id).summary.state == "cancelled"
    assert queue.cancel(running.id).state == "cancelled"
    done = queue.submit(request("Add", a=9))
    assert wait(queue, done.id).summary.state == "done"
    assert queue.cancel(done.id).state == "done"
    with pytest.raises(GraphError) as error:
        queue.cancel("nothing")
    assert error.value.problems[0].code == "unknown_run"


def test_a_node_that_ignores_a_cancellation_costs_its_worker(queue: RunQueue) -> None:
    run = queue.submit(request("Die", how="hang"))
    until(lambda: is_running(queue, run.id))
    before = queue.status().devices[0].pid
    queue.cancel(run.id)
    assert wait(queue, run.id).summary.state == "cancelled"
    assert wait(queue, queue.submit(request("Add", a=4)).id).summary.state == "done"
    assert queue.status().devices[0].pid != before


def test_a_run_whose_worker_dies_starts_again_once(queue: RunQueue, tmp_path: Path) -> None:
    reader = queue.events.subscribe()
    once = queue.submit(request("Die", how="kill", once=str(tmp_path / "once")))
    always = queue.submit(request("Die", how="exit"))
    after = queue.submit(request("Add", a=5))
    assert wait(queue, once.id).values == {"value": 1}
    failed = wait(queue, always.id)
    assert failed.summary.state == "failed"
    assert failed.problems[0]["code"] == "worker_died"
    assert failed.nodes["node"].state == "cancelled"
    assert wait(queue, after.id).summary.state == "done"
    retried = [event.run for event in reader.take(1000) if event.type == "run.retried"]
    assert retried == [once.id, always.id]


@short_and_full("deaths", 1, 20)
def test_a_worker_that_dies_is_replaced(
    queue: RunQueue, tmp_path: Path, deaths: int, figures: Callable[..., None]
) -> None:
    seconds: list[float] = []
    for number in range(deaths):
        reader = queue.events.subscribe()
        how = ("segfault", "exit", "kill")[number % 3]
        run = queue.submit(request("Die", how=how, once=str(tmp_path / f"once {number}")))
        assert wait(queue, run.id).values == {"value": 1}
        times = {event.type: event.ts for event in reader.take(1000)}  # the latest of each type
        seconds.append(times["node.started"] - times["run.retried"])
    figures(deaths=deaths, respawn_p95_ms=round(sorted(seconds)[int(0.95 * deaths)] * 1e3))


def test_a_node_that_needs_more_memory_than_there_is_fails_alone(queue: RunQueue) -> None:
    failed = wait(queue, queue.submit(request("Fill", limit=64)).id)
    assert failed.summary.state == "failed"
    assert failed.problems[0]["code"] == "out_of_memory"
    assert wait(queue, queue.submit(request("Add", a=11)).id).summary.state == "done"


@pytest.mark.slow
def test_a_worker_that_the_system_kills_for_its_memory_is_replaced(queue: RunQueue) -> None:
    with limited_memory(512 << 20) as take:
        reader = queue.events.subscribe()
        pid = queue.status().devices[0].pid
        assert pid is not None
        take(pid)
        run = wait(queue, queue.submit(request("Fill"), front=True).id, 120)
        assert run.summary.state == "done"  # the second worker is not in the group
        assert [event.run for event in reader.take(1000) if event.type == "run.retried"] == [run.summary.id]
    assert wait(queue, queue.submit(request("Add", a=12)).id).summary.state == "done"


@contextmanager
def limited_memory(most: int) -> Iterator[Callable[[int], None]]:
    """A group of processes with little memory; skips the test where none can be made."""
    group = Path("/sys/fs/cgroup/memory") / f"safelight-test-{os.getpid()}"
    try:
        group.mkdir()
    except OSError as error:
        pytest.skip(f"a group with limited memory cannot be made here: {error}")
    try:
        (group / "memory.limit_in_bytes").write_text(str(most))

        def take(pid: int) -> None:
            (group / "cgroup.procs").write_text(str(pid))

        yield take
    finally:
        for pid in (group / "cgroup.procs").read_text().split():
            (group.parent / "cgroup.procs").write_text(pid)
        group.rmdir()


def test_a_run_that_gives_no_sign_of_life_fails(queue: RunQueue) -> None:
    hung = wait(queue, queue.submit(request("Die", how="hang")).id)
    assert hung.summary.state == "failed"
    assert hung.problems[0]["code"] == "run_hung"


def test_a_node_that_raises_fails_with_its_place(queue: RunQueue) -> None:
    failed = wait(queue, queue.submit(request("Die", how="raise")).id)
    assert failed.summary.state == "failed"
    assert (failed.problems[0]["code"], failed.problems[0]["node"]) == ("node_failed", "node")
    assert "the node raises" in (failed.nodes["node"].trace or "")


def test_a_secret_is_known_by_its_name_only(queue: RunQueue) -> None:
    reader = queue.events.subscribe()
    failed = wait(queue, queue.submit(request("Tell", key="trial")).id)
    assert "<secret trial>" in failed.problems[0]["message"]
    texts = [event.text for event in reader.take(1000) if event.run == failed.summary.id]
    shown = [text for text in texts if "<secret trial>" in text]
    assert len(shown) == 4, "printed, warned, and twice failed"
    queue.home.joinpath("seen").write_text(repr(failed) + "".join(texts))
    for path in (*queue.home.rglob("*"), queue.home.parent / "log"):
        assert not path.is_file() or SECRET.encode() not in path.read_bytes(), path
    missing = wait(queue, queue.submit(request("Tell", key="other")).id)
    assert missing.problems[0]["code"] == "missing_secret"
    wrong = wait(queue, queue.submit(request("Tell", key=SECRET)).id)
    assert wrong.problems[0]["code"] == "bad_name"
    assert SECRET not in wrong.problems[0]["message"]


def test_the_limits_come_from_the_settings_of_the_home(tmp_path: Path) -> None:
    (tmp_path / "settings.json").write_text(
        '{"after_restart": "requeue", "max_queued": 7, "hang_timeout": 60}'
    )
    limits = QueueLimits.of(load(tmp_path))
    assert limits == QueueLimits(after_restart="requeue", max_queued=7, hang_timeout=60)


@short_and_full("count", 200, 10_000)
def test_a_burst_is_accepted_in_order_up_to_the_limit_in_bounded_memory(tmp_path: Path, count: int) -> None:
    with RunQueue(tmp_path / "home", limits=QueueLimits(max_queued=count), start=False) as queue:
        large = request("Add", title="x" * 10_000)
        queue.submit(large)
        before = resident()
        ids = [queue.submit(large).id for _ in range(count - 1)]
        for _ in range(3):
            with pytest.raises(QueueFull) as error:
                queue.submit(large)
            assert error.value.problems[0].code == "queue_full"
        # The requests are in the database; the events that can be replayed are what stays in memory.
        assert resident() - before < count * 2000 + (4 << 20)
        assert [run.id for run in queue.runs("queued", limit=100)][1:] == ids[:99]
        assert queue.status().pending == count
        queue.cancel(ids[0])
        queue.submit(large)


def resident() -> int:
    """The memory of this process in bytes."""
    return int(Path("/proc/self/statm").read_text().split()[1]) * resource.getpagesize()
