"""Runs that are repeated until they are stopped, also beyond the end of the server."""

from __future__ import annotations

import time
from pathlib import Path

from engine.queue import RunQueue
from engine.queue.snapshot import QueuedRun
from engine.server.repeats import Repeats
from engine.server.submission import Submission
from tests.engine.queue.thread_worker import ThreadWorker
from tests.engine.queue.trial_pack import make_home, request
from tests.engine.queue.waiting import until, wait

SUBMISSION = Submission(
    graph={"nodes": {}}, inputs={"seed": "random"}, sweep={"a": [1, 2]}, targets=("node",), notes={"api": "x"}
)


class Server:
    """A queue with its repetitions; each run adds 1 to the number of runs before it."""

    def __init__(self, home: Path, *, start: bool = True) -> None:
        self.queue = RunQueue(home, {"device": "cpu"}, worker=ThreadWorker, start=start)
        self.repeats = Repeats(self.queue, self.submit)
        self.repeats.resume()

    def submit(self, submission: Submission) -> QueuedRun:
        assert submission.as_json() == SUBMISSION.as_json()
        number = len(self.queue.runs(limit=500))
        return self.queue.submit(request("Add", a=number), key=submission.key, fingerprint="same")

    def count(self) -> int:
        return sum(row.count for row in self.repeats.rows())

    def close(self) -> None:
        self.repeats.close()
        self.queue.close(6)


def test_a_repetition_goes_on_after_a_restart_and_ends_when_it_is_stopped(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    first = Server(home)
    id = first.queue.submit(request("Add", a=0)).id
    first.repeats.add(id, SUBMISSION)
    until(lambda: first.count() > 2)
    first.close()
    second = Server(home)
    before = second.count()
    until(lambda: second.count() > before + 1)
    second.repeats.stop(id)
    until(lambda: not second.queue.status().running and not second.queue.status().pending)
    second.close()
    third = Server(home)
    assert third.repeats.rows() == []
    runs = third.queue.runs(limit=500)  # a run that was being submitted during `stop` may be among them
    assert {run.state for run in runs} <= {"done", "cancelled", "interrupted"}
    time.sleep(0.1)
    assert len(third.queue.runs(limit=500)) == len(runs)
    third.close()


def test_a_server_that_is_killed_after_a_submission_does_not_submit_it_twice(tmp_path: Path) -> None:
    home = make_home(tmp_path / "home")
    first = Server(home)
    id = first.queue.submit(request("Add", a=0)).id
    wait(first.queue, id)
    first.queue.repeats.add(id, SUBMISSION.as_json())
    second_run = first.queue.submit(request("Add", a=9), key=f"repeat:{id}:2", fingerprint="same").id
    first.close()
    second = Server(home, start=False)  # no worker, so that the second run stays
    until(lambda: second.count() == 2)
    assert [row.run for row in second.repeats.rows()] == [second_run]
    assert len(second.queue.runs(limit=500)) == 2
    second.close()


def test_a_repetition_ends_with_a_run_that_fails(tmp_path: Path) -> None:
    server = Server(make_home(tmp_path / "home"))
    id = server.queue.submit(request("Die", how="raise")).id
    server.repeats.add(id, SUBMISSION)
    until(lambda: server.repeats.rows() == [])
    assert len(server.queue.runs()) == 1
    server.close()
