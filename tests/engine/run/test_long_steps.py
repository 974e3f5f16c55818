"""Long steps: scratch folders that survive, published files, samples, metrics and requests."""

from __future__ import annotations

import errno
import json
import os
import shutil
import subprocess
import sys
import threading
from collections.abc import Callable, Iterator
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as pillow

from engine import settings, testing, whole_file
from engine.cancel import Cancel
from engine.context import Context
from engine.document.graph import Graph
from engine.document.reader import from_json
from engine.errors import Cancelled, GraphError, NodeError
from engine.events import Checkpoint, Event, Metrics, Planned, Published, Sample
from engine.node import Node
from engine.packs.registry import Registry
from engine.run.report import Report
from engine.session import Session
from engine.step_requests import Requests
from engine.store.disk import Disk
from engine.store.step_folders import StepFolder, StepFolders

AT: dict[str, Callable[[int, Context], None]] = {}
"""Called by `Train` before each of its steps: the test's way to stop it, to look, or to kill the process."""


class Train(Node, extends=("steps",)):
    """Count to `steps`, keeping the count in scratch; returns the steps that this attempt did itself."""

    name: str = "a"
    steps: int = 6
    publish: bool = False

    def run(self, ctx: Context) -> list[int]:
        state = ctx.scratch / "state"
        begun = int(state.read_text()) if state.exists() else 0
        if not begun and self.publish:
            saved = [file.name for file in ctx.lineage_files() if file.name.startswith("state-")]
            begun = max([int(name.removeprefix("state-")) for name in saved], default=0)
        done = []
        for step in range(begun, self.steps):
            if "step" in AT:
                AT["step"](step, ctx)
            if "stop" in ctx.requests():
                raise Cancelled
            done.append(step)
            whole_file.replace(state, str(step + 1).encode())
        if self.publish:
            ctx.publish(f"state-{self.steps}", b"state")
        return done


class Failing(Node):
    """Fail."""

    a: list[int]

    def run(self, ctx: Context) -> int:
        raise NodeError("it cannot be done")


def failing() -> Graph:
    """A training, and a node after it that fails."""
    nodes = {
        "a": {"type": "Train", "inputs": {"steps": 2, "publish": True}},
        "b": {"type": "Failing", "inputs": {"a": {"from": "a.out"}}},
    }
    return from_json({"safelight": 1, "nodes": nodes, "outputs": {"out": {"from": "b.out"}}})


class Acting(Node, pure=False):
    """Act on the world, with a scratch folder."""

    def run(self, ctx: Context) -> str:
        (ctx.scratch / "x").touch()
        ctx.publish("note.txt", b"note")
        return str(ctx.scratch)


class Show(Node):
    """Use everything that a long step may."""

    def run(self, ctx: Context) -> str:
        for step in range(3):
            ctx.metrics(step=step, loss=float("nan") if step == 1 else 0.5)
        picture = pillow.new("RGB", (4, 2))
        ctx.sample(picture, 100, "a cat")
        ctx.sample(picture, 100)
        ctx.sample(pillow.new("RGBA", (4, 2)), 200)
        ctx.checkpoint(200)
        big = ctx.scratch / "big"
        big.write_bytes(b"big")
        ctx.publish("checkpoints/big.bin", big)
        return ctx.lineage or ""


TYPES = (Train, Acting, Show)


@pytest.fixture(autouse=True)
def _nothing_happens() -> Iterator[None]:
    AT.clear()
    yield
    AT.clear()


@pytest.fixture
def home(tmp_path: Path) -> Path:
    return tmp_path / "home"


def session(home: Path, **given: Any) -> Session:
    return Session(settings.load(home, device="cpu", **given), registry=Registry(TYPES))


def graph(kind: str = "Train", **inputs: Any) -> Graph:
    return from_json(
        {
            "safelight": 1,
            "nodes": {"a": {"type": kind, "inputs": inputs}},
            "outputs": {"out": {"from": "a.out"}},
        }
    )


def run(home: Path, made: Graph | None = None, **given: Any) -> Report:
    with session(home) as opened:
        return opened.run(made or graph(), **given)


def scratches(home: Path) -> list[Path]:
    return sorted((home / "store" / "steps").glob("*/scratch"))


def out(report: Report) -> Any:
    return report.outputs["out"].meta


def test_scratch_is_gone_when_the_result_is_stored(home: Path) -> None:
    seen: list[Path] = []
    AT["step"] = lambda step, ctx: seen.append(ctx.scratch)
    with session(home) as opened:
        key = opened.plan(graph()).steps["a"].key
        assert out(opened.run(graph())) == [0, 1, 2, 3, 4, 5]
    assert set(seen) == {home / "store" / "steps" / str(key) / "scratch"}
    assert not any((home / "store" / "steps").iterdir())
    assert out(run(home)) == [0, 1, 2, 3, 4, 5], "from the store"


def fail(step: int, ctx: Context) -> None:
    if step == 3:
        raise ValueError("no")


def test_a_step_that_failed_goes_on_where_it_was(home: Path) -> None:
    AT["step"] = fail
    assert run(home).state == "failed"
    assert len(scratches(home)) == 1
    AT.clear()
    assert out(run(home)) == [3, 4, 5]
    assert scratches(home) == []


def test_a_step_that_was_cancelled_goes_on_where_it_was(home: Path) -> None:
    cancel = Cancel()

    def at_three(step: int, ctx: Context) -> None:
        if step == 3:
            cancel.ask()
        ctx.cancelled()

    AT["step"] = at_three
    assert run(home, cancel=cancel).state == "cancelled"
    AT.clear()
    assert out(run(home)) == [3, 4, 5]


def test_another_step_has_another_folder(home: Path) -> None:
    AT["step"] = fail
    run(home, graph(name="a"))
    run(home, graph(name="b"))
    assert len(scratches(home)) == 2


KILLED = """
import os, signal, sys
from pathlib import Path
from tests.engine.run.test_long_steps import AT, out, run
def kill(step, ctx):
    if step == int(sys.argv[2]):
        os.kill(os.getpid(), signal.SIGKILL)
AT["step"] = kill
print(out(run(Path(sys.argv[1]))))
"""


def process(home: Path, kill_at: int) -> subprocess.CompletedProcess[str]:
    command = [sys.executable, "-c", KILLED, str(home), str(kill_at)]
    return subprocess.run(command, capture_output=True, text=True, timeout=120, check=False)


def test_a_step_that_was_killed_goes_on_where_it_was(home: Path) -> None:
    assert process(home, 2).returncode == -9
    assert process(home, 4).returncode == -9
    assert process(home, -1).stdout.strip() == "[4, 5]"
    assert scratches(home) == []


WAITS = """
import sys
from pathlib import Path
from tests.engine.run.test_long_steps import AT, out, run
def wait(step, ctx):
    if step == 1:
        print("running", file=sys.__stdout__, flush=True)  # what nodes print goes to standard error
        sys.stdin.readline()
AT["step"] = wait
print(out(run(Path(sys.argv[1]))), flush=True)
"""


def test_two_processes_never_share_a_folder(home: Path) -> None:
    """One waits for the other if it sees its step lock; and if it does not, it gets a folder of its own."""
    command = [sys.executable, "-c", WAITS, str(home)]
    with subprocess.Popen(command, stdin=subprocess.PIPE, stdout=subprocess.PIPE, text=True) as other:
        assert other.stdin is not None
        assert other.stdout is not None
        assert other.stdout.readline() == "running\n"
        (theirs,) = scratches(home)
        with session(home) as opened:
            mine = opened.step_folders.open(theirs.parent.name)
            assert mine.scratch != theirs
            mine.close(stored=False)
        assert scratches(home) == [theirs]
        other.stdin.write("\n")
        other.stdin.flush()
        assert other.stdout.readline() == "[0, 1, 2, 3, 4, 5]\n"


def test_the_folder_of_a_step_without_a_lasting_result_goes_with_it(home: Path) -> None:
    with session(home) as opened:
        report = opened.run(graph("Acting"))
        assert not Path(out(report)).exists()
        (file,) = report.published["a"]
        assert file.path.read_bytes() == b"note"
    with session(home, disk_budget=0) as opened:
        report = opened.run(graph("Acting"))
        (file,) = report.published["a"]
        assert file.path.exists()
        assert not file.path.is_relative_to(home)
    assert not file.path.exists()


def test_published_files_are_listed_by_this_run_and_later_ones(home: Path) -> None:
    events: list[Event] = []
    with session(home) as opened:
        first = opened.run(graph("Show"), emit=events.append)
    names = ["checkpoints/big.bin", "samples/000100-2.jpeg", "samples/000100.jpeg", "samples/000200.png"]
    assert [file.name for file in first.published["a"]] == names
    assert [file.path.stat().st_size for file in first.published["a"]] == [
        file.size for file in first.published["a"]
    ]
    assert sorted(event.name for event in events if isinstance(event, Published)) == names
    again: list[Event] = []
    second = run(home, graph("Show"), emit=again.append)
    assert testing.cached(second) == {"a"}
    assert second.published == first.published
    assert not any(isinstance(event, Published) for event in again)
    first.published["a"][0].path.unlink()
    assert [file.name for file in run(home, graph("Show")).published["a"]] == names[1:]


def test_metrics_samples_and_checkpoints_are_events(home: Path) -> None:
    events: list[Event] = []
    run(home, graph("Show"), emit=events.append)
    rows = [row for event in events if isinstance(event, Metrics) for row in event.rows]
    assert rows == [{"step": 0, "loss": 0.5}, {"step": 1, "loss": None}, {"step": 2, "loss": 0.5}]
    samples = [event for event in events if isinstance(event, Sample)]
    assert [(event.step, event.caption, event.picture.media) for event in samples] == [
        (100, "a cat", "image/jpeg"),
        (100, "", "image/jpeg"),
        (200, "", "image/png"),
    ]
    assert [event.step for event in events if isinstance(event, Checkpoint)] == [200]
    json.dumps([event.as_json() for event in events])


@pytest.mark.parametrize("name", ["../out", "/etc/x", "", "a/../../b", "c:x", "a\0"])
def test_a_published_file_lies_in_the_folder_of_its_step(home: Path, name: str) -> None:
    class Bad(Node):
        """Publish under a bad name."""

        def run(self, ctx: Context) -> str:
            ctx.publish(name, b"")
            return ""

    with Session(settings.load(home, device="cpu"), registry=Registry([Bad])) as opened:
        problem = opened.run(graph("Bad")).nodes["a"].problem
    assert problem is not None
    assert problem.code == "bad_name"


def test_a_longer_step_continues_from_the_files_of_a_shorter_one(home: Path) -> None:
    assert out(run(home, graph(steps=3, publish=True))) == [0, 1, 2]
    assert out(run(home, graph(steps=5, publish=True))) == [3, 4]
    assert out(run(home, graph(steps=5, publish=True, name="b"))) == [0, 1, 2, 3, 4]


def test_the_lineage_leaves_out_the_inputs_that_extend(home: Path) -> None:
    found: list[str | None] = []
    AT["step"] = lambda step, ctx: found.append(ctx.lineage)
    for inputs in ({"steps": 1}, {"steps": 2}, {"steps": 1, "name": "b"}):
        run(home, graph(**inputs))
    assert found[0] == found[1] == found[2] != found[3]


def test_folders_not_used_for_longest_make_room(home: Path) -> None:
    with session(home, disk_budget=200_000) as opened:
        folders = opened.step_folders
        for number, key in enumerate("abcd"):
            folder = folders.open(key)
            (folder.scratch / "state").write_bytes(bytes(40_000))
            if key != "b":
                folder.close(stored=False)
                os.utime(folder.path / "lock", (number, number))
        assert {path.parent.name for path in scratches(home)} >= {"b", "d"}, "b runs, and d is the newest"
        folders.trim()
        assert [path.parent.name for path in scratches(home)] == ["b", "d"]


def test_files_published_where_the_home_is_full_stay(home: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    real, warnings = StepFolders._open_in, list[str]()

    def full(folders: StepFolders, root: Path, key: str | None, lineage: str | None) -> StepFolder:
        if home in root.parents:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(folders, root, key, lineage)

    monkeypatch.setattr(StepFolders, "_open_in", full)
    monkeypatch.setattr(Disk, "save", lambda *given: None)
    saved = settings.load(home, device="cpu")
    with Session(saved, registry=Registry([Train, Failing]), warn=warnings.append) as opened:
        report = opened.run(failing())
    (published,) = report.published["a"]
    assert published.path.read_bytes() == b"state"
    assert not (published.path.parents[1] / "scratch").exists()
    (warning,) = warnings
    assert str(published.path.parents[2]) in warning
    assert report.unsaved == ["a"]
    shutil.rmtree(published.path.parents[2])


def test_the_report_of_a_failed_run_knows_that_finished_steps_are_saved(home: Path) -> None:
    with Session(settings.load(home, device="cpu"), registry=Registry([Train, Failing])) as opened:
        report = opened.run(failing())
    assert (report.state, report.unsaved) == ("failed", [])


def test_unfinished_work_counts_in_the_disk_budget(home: Path) -> None:
    with session(home, disk_budget=4_000_000) as opened:
        folder = opened.step_folders.open("a")
        (folder.scratch / "state").write_bytes(bytes(3_900_000))
        opened.run(graph(steps=1))
        opened.store.close()
        assert opened.store.disk is not None
        folder.close(stored=False)
    assert sum(path.stat().st_size for path in home.rglob("*") if path.is_file()) <= 4_000_000


def test_requests_reach_the_running_node(home: Path) -> None:
    asked = threading.Event()
    ids: list[str] = []

    def wait(step: int, ctx: Context) -> None:
        if step == 2:
            opened.request(ids[0], "a", "stop")
            asked.set()

    def note(event: Event) -> None:
        if isinstance(event, Planned):
            ids.append(event.run)

    AT["step"] = wait
    with session(home) as opened:
        report = opened.run(graph(), emit=note)
        assert report.state == "cancelled"
        assert report.nodes["a"].state == "cancelled"
        for name, node, request, code in (
            (ids[0], "a", "stop", "unknown_run"),
            ("other", "a", "stop", "unknown_run"),
        ):
            with pytest.raises(GraphError) as caught:
                opened.request(name, node, request)
            assert [problem.code for problem in caught.value.problems] == [code]
    AT.clear()
    assert out(run(home)) == [2, 3, 4, 5]


def test_a_wrong_request_is_a_problem(home: Path) -> None:
    codes: list[str] = []
    ids: list[str] = []

    def ask(step: int, ctx: Context) -> None:
        for node, request in (("b", "stop"), ("a", "halt")):
            with pytest.raises(GraphError) as caught:
                opened.request(ids[0], node, request)
            codes.extend(problem.code for problem in caught.value.problems)

    AT["step"] = ask
    with session(home) as opened:
        opened.run(
            graph(steps=1), emit=lambda event: ids.append(event.run) if isinstance(event, Planned) else None
        )
    assert codes == ["unknown_node", "unknown_request"]


def test_a_request_is_seen_once_and_only_by_its_step() -> None:
    requests = Requests()
    requests.ask("a", "stop")
    begun = requests.count()
    requests.ask("a", "sample")
    requests.ask("b", "checkpoint")
    assert requests.since(begun, "a") == {"sample"}, "those made before it began are not for it"
    assert requests.since(begun, "a[3]") == {"sample"}
    assert requests.since(begun, "ab") == set()
    assert requests.since(requests.count(), "a") == set()


def test_the_test_kit_gives_a_folder_to_a_node() -> None:
    assert testing.run_node(Train(steps=2)) == {"out": [0, 1]}


def test_a_sample_must_be_a_picture(home: Path) -> None:
    class Wordy(Node):
        """Show a text as a sample."""

        def run(self, ctx: Context) -> str:
            ctx.sample("a cat", 1)
            return ""

    with pytest.raises(TypeError):
        testing.run_node(Wordy())
