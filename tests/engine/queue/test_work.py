"""What a queue keeps of its runs: outputs, metrics, samples, previews and checkpoints.

The worker is a thread of this process, because no node here ends its process.
"""

from __future__ import annotations

import hashlib
import itertools
import random
import shutil
import time
from collections import deque
from collections.abc import Callable, Iterator
from contextlib import suppress
from pathlib import Path
from unittest import mock

import pytest

from engine.document.graph import Entry, From, Graph, GraphInput, Param
from engine.document.run_request import RunRequest
from engine.document.sweep import Sweep
from engine.errors import GraphError
from engine.queue import QueueLimits, RunQueue
from engine.queue.stream_events import NodePreview
from engine.settings import load
from tests.counts import short_and_full
from tests.engine.queue.thread_worker import ThreadWorker
from tests.engine.queue.trial_pack import chain, chained, make_home, request
from tests.engine.queue.waiting import is_running, until, wait
from tests.faults.small_disk import small_disk


def opened(home: Path, limits: QueueLimits | None = None) -> RunQueue:
    return RunQueue(home, {"device": "cpu"}, limits, worker=ThreadWorker)


@pytest.fixture(scope="module")
def queue(tmp_path_factory: pytest.TempPathFactory) -> Iterator[RunQueue]:
    with opened(make_home(tmp_path_factory.mktemp("work") / "home")) as queue:
        yield queue


def swept(values: list[int]) -> RunRequest:
    """A run of several parts: one file for each value."""
    node = Entry("Make@1", {"seed": Param("seed")})
    inputs = {"seed": GraphInput("int", 0, required=False)}
    graph = Graph({"node": node}, inputs, {"data": From("node", "out")}, title="a sweep")
    return RunRequest(graph, {"seed": Sweep(tuple(values))})


def test_written_outputs_are_kept_with_the_digest_of_their_files(queue: RunQueue) -> None:
    reader = queue.events.subscribe()
    run = wait(queue, queue.submit(chain(7)).id)
    (output,) = run.outputs
    made = chained(7)
    assert output.path.read_bytes() == made
    assert (output.digest, output.size) == (hashlib.sha256(made).hexdigest(), len(made))
    assert (output.media, output.type, output.index) == ("application/octet-stream", "trial/Bytes", ())
    assert queue.outputs.by_digest(output.digest) == output
    (event,) = [event for event in reader.take(1000) if event.type == "run.output"]
    data = event.as_json()["data"]
    assert isinstance(data, dict)
    assert (data["id"], data["path"], event.node) == (output.id, "n2", "n2")


def test_steps_with_equal_results_have_the_same_key_in_every_run(queue: RunQueue) -> None:
    first, again, other = [
        wait(queue, queue.submit(chain(number)).id).nodes["n2"].key for number in (7, 7, 8)
    ]
    assert first is not None
    assert (first == again, first == other) == (True, False)


def test_a_sweep_is_one_run_with_many_parts(queue: RunQueue) -> None:
    run = wait(queue, queue.submit(swept([3, 4, 5])).id)
    assert run.summary.state == "done"
    assert run.sweeps == {"seed": [3, 4, 5]}
    parts = [(output.index, output.values) for output in run.outputs]
    assert sorted(parts) == [((0,), {"seed": 3}), ((1,), {"seed": 4}), ((2,), {"seed": 5})]
    assert {path for path in run.nodes if path.startswith("node[")} == {"node[0]", "node[1]", "node[2]"}


def test_outputs_are_searched_starred_and_tagged(queue: RunQueue) -> None:
    made = [wait(queue, queue.submit(chain(number)).id).outputs[0] for number in (20, 21)]
    assert [item.id for item in queue.outputs.find(q="CHAIN 21")] == [made[1].id]
    assert queue.outputs.find(q="chain 100%") == []
    assert [item.id for item in queue.outputs.find(limit=2)] == [made[1].id, made[0].id]
    assert queue.outputs.find(before=made[0].id, limit=1)[0].id < made[0].id
    assert queue.outputs.find(run=made[0].run) == [made[0]]
    marked = queue.outputs.mark(made[0].id, star=True, tags=["blue", "é", "blue"])
    assert (marked.star, marked.tags) == (True, ("blue", "é"))
    assert [item.id for item in queue.outputs.find(star=True)] == [made[0].id]
    assert [item.id for item in queue.outputs.find(q="é")] == [made[0].id]
    assert queue.outputs.mark(made[0].id, star=False).tags == ("blue", "é")
    with pytest.raises(GraphError) as error:
        queue.outputs.mark(10**9, star=True)
    assert error.value.problems[0].code == "unknown_output"
    with pytest.raises(GraphError) as error:
        queue.outputs.mark(made[0].id, tags=["x" * 1000])
    assert error.value.problems[0].code == "bad_tags"


def test_metrics_samples_and_previews_of_a_training(queue: RunQueue) -> None:
    reader = queue.events.subscribe()
    id = queue.submit(request("Learn", steps=60)).id
    until(lambda: is_running(queue, id) and queue.run(id).nodes["node"].preview)
    preview = queue.run(id).nodes["node"].preview
    assert preview is not None
    queue.ask(id, "node", "sample")
    run = wait(queue, id)
    assert run.values == {"value": 60}
    assert [row["step"] for row in queue.metrics(id)["node"]] == list(range(60))
    thinned = queue.metrics(id, 10)["node"]
    assert len(thinned) <= 10
    assert thinned[-1]["step"] == 59
    (sample,) = queue.samples(id)
    assert sample.data == b""
    picture = queue.outputs.sample(sample.digest)
    assert picture is not None
    assert hashlib.sha256(picture.data).hexdigest() == sample.digest
    events = [event for event in reader.take(10_000) if event.run == id]
    previews = [event for event in events if isinstance(event.data, NodePreview)]
    assert len(previews) == 1, "a newer preview replaces the older one"
    assert {"train.metrics", "train.sample", "train.checkpoint"} <= {event.type for event in events}
    for asked, code in ((("node", "dance"), "unknown_request"), (("node", "stop"), "not_running")):
        with pytest.raises(GraphError) as error:
            queue.ask(id, *asked)
        assert error.value.problems[0].code == code


def test_samples_outlive_the_cache_and_the_published_files(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    with opened(home) as queue:
        id = queue.submit(request("Learn", steps=60)).id
        until(lambda: is_running(queue, id) and queue.run(id).nodes["node"].preview)
        queue.ask(id, "node", "sample")
        wait(queue, id)
        (sample,) = queue.samples(id)
    shutil.rmtree(load(home).store_folder)
    with opened(home) as queue:
        assert not any(file.path.exists() for file in queue.published(id))
        assert queue.samples(id) == [sample]
        picture = queue.outputs.sample(sample.digest)
        assert picture is not None
        assert hashlib.sha256(picture.data).hexdigest() == sample.digest


@pytest.mark.parametrize("after_restart", ["interrupt", "requeue"])
def test_a_training_that_the_server_stops_continues_from_its_checkpoint(
    tmp_path: Path, after_restart: str
) -> None:
    home = make_home(tmp_path / "home")
    limits = QueueLimits(after_restart=after_restart)  # type: ignore[arg-type]
    queue = opened(home, limits)
    id = queue.submit(request("Learn", steps=40, seconds=0.02)).id
    until(lambda: is_running(queue, id) and queue.metrics(id))
    queue.close(6)
    with opened(home, limits) as queue:
        if after_restart == "interrupt":
            before = queue.run(id)
            assert before.summary.state == "interrupted"
            again = queue.retry(id).id
        else:
            again = id
        after = wait(queue, again)
        assert (after.summary.state, after.values) == ("done", {"value": 40})
        rows = [row["step"] for run in dict.fromkeys([id, again]) for row in queue.metrics(run)["node"]]
        assert rows == list(range(40)), "no step was trained twice"


@short_and_full("count", 20, 200)
def test_a_run_is_cancelled_at_any_moment_and_the_next_one_runs(
    queue: RunQueue, count: int, figures: Callable[..., None]
) -> None:
    acknowledged: list[float] = []
    stopped: list[float] = []
    for seed in range(count):
        chance = random.Random(seed)
        first = queue.submit(request("Learn", steps=4 + seed % 3, seconds=0.005)).id
        second = queue.submit(request("Wait", seconds=0.02)).id
        time.sleep(chance.uniform(0, 0.05))
        for id in chance.sample([first, second], 2):
            asked = time.monotonic()
            assert queue.cancel(id).state in ("running", "cancelled", "done")
            acknowledged.append(time.monotonic() - asked)
            until(lambda id=id: queue.run(id).summary.finished)  # type: ignore[misc]
            stopped.append(time.monotonic() - asked)
        assert wait(queue, first).summary.state in ("cancelled", "done")
        assert wait(queue, second).summary.state in ("cancelled", "done")
        for id in (first, second):
            states = {node.state for node in queue.run(id).nodes.values()}
            assert states <= {"cancelled", "done", "cached", "skipped"}, seed
        assert wait(queue, queue.submit(request("Add", a=seed)).id).values == {"value": seed + 1}
    status = queue.status()
    assert (status.running, status.pending) == (0, 0)
    p95 = {
        name: round(sorted(times)[int(0.95 * len(times))] * 1e3, 1)
        for name, times in (("answer_p95_ms", acknowledged), ("stop_p95_ms", stopped))
    }
    figures(cancels=len(stopped), **p95)


@pytest.mark.parametrize("hours", [1.0, -1.0])
def test_a_clock_that_jumps_keeps_the_order_and_stops_nothing(tmp_path: Path, hours: float) -> None:
    """The clock jumps between any two readings of it, to and fro."""
    real, readings = time.time, itertools.count()

    def jumping() -> float:
        return real() + 3600 * hours * (next(readings) % 2)

    limits = QueueLimits(hang_timeout=5.0)
    with mock.patch("time.time", jumping), opened(make_home(tmp_path / "home"), limits) as queue:
        reader = queue.events.subscribe()
        ids = [queue.submit(chain(number)).id for number in range(8)]
        for id in ids:
            assert wait(queue, id).summary.state == "done"
        started = [event.run for event in reader.take(10_000) if event.type == "run.started"]
        assert started == ids
        assert [run.id for run in queue.runs()] == ids[::-1]
        assert [output.run for output in queue.outputs.find()] == ids[::-1]


def test_a_full_disk_pauses_the_queue_until_there_is_room(queue: RunQueue) -> None:
    reader = queue.events.subscribe()
    usage = shutil.disk_usage(queue.home)
    with mock.patch("engine.queue.state.shutil.disk_usage", return_value=usage._replace(free=1 << 20)):
        id = queue.submit(chain(30)).id
        until(lambda: queue.status().paused)
        assert queue.run(id).summary.state == "queued"
    assert wait(queue, id).summary.state == "done"
    assert queue.status().paused is None
    paused = [event.data.paused for event in reader.take(1000) if event.type == "queue.changed"]  # type: ignore[union-attr]
    assert paused[-1] is None


def test_a_small_disk_that_fills_up_loses_nothing(tmp_path: Path) -> None:
    with small_disk(tmp_path, "6m"):
        home = make_home(tmp_path / "home")
        with opened(home, QueueLimits(min_free_bytes=1 << 20)) as queue:
            wait(queue, queue.submit(chain(1)).id)
            filler = tmp_path / "filler"
            with suppress(OSError), filler.open("wb") as file:
                file.write(b"x" * (8 << 20))
            with pytest.raises(GraphError) as error:
                deque((queue.submit(chain(number)) for number in range(2, 500)), 0)
            assert error.value.problems[0].code == "disk_full"
            until(lambda: queue.status().paused)
            filler.unlink()
            more = queue.submit(chain(500))
            run = wait(queue, more.id)
            assert run.summary.state == "done"
            assert run.outputs[0].path.read_bytes() == chained(500)
            states = {summary.state for summary in queue.runs(limit=1000)}
            assert states == {"done"}
        assert list(home.rglob("*.part")) == []
