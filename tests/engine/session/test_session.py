"""Tests of Session.run: values, files, warnings, seeds and cancelling, as a script or a server uses them."""

from __future__ import annotations

import errno
import io
import json
import os
import threading
import time
from collections.abc import Iterable, Iterator, Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

import pytest
from PIL import Image as pillow

from engine import settings, whole_file
from engine.cancel import Cancel
from engine.context import Context
from engine.document import reader, writer
from engine.document.graph import GraphInput
from engine.document.run_request import RunRequest
from engine.document.sweep import Sweep
from engine.errors import GraphError
from engine.events import Done, Event, OutputSummary, OutputWritten, Preview, Warned, from_json
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.picture_text import png
from engine.session import Session
from engine.store.tiered import Tiered
from engine.values import Json, Packed, Part, Value
from engine.widgets import Seed
from tests.engine.small_nodes import graph_of


@dataclass(frozen=True)
class Grey(Value, wire="SessionGrey"):
    """A small grey picture."""

    tone: int

    def pack(self) -> Packed:
        file = io.BytesIO()
        pillow.new("L", (4, 4), self.tone).save(file, "PNG")
        return Packed(self.wire, self.tone, (Part("0", "image/png", file.getvalue()),))

    @classmethod
    def unpack(cls, meta: Json, parts: Mapping[str, bytes]) -> Grey:
        assert isinstance(meta, int)
        return cls(meta)

    def preview(self) -> object:
        return pillow.new("L", (2, 2), self.tone)


class Tone(Node):
    """Paint a picture; a tone above 250 is a warning."""

    tone: int = 0

    def run(self, ctx: Context) -> Grey:
        ctx.preview(Grey(self.tone))
        if self.tone > 250:
            ctx.warn("very bright")
        return Grey(self.tone)


class NoPaint(Node):
    """Fail."""

    def run(self, ctx: Context) -> Grey:
        raise ValueError("there is no paint")


class Draw(Node):
    """Return the seed."""

    seed: Seed = 0

    def run(self, ctx: Context) -> int:
        return self.seed


STARTED = threading.Semaphore(0)


class Slow(Node):
    """Work until cancelled, or for a while."""

    a: int
    seconds: float = 30.0

    def run(self, ctx: Context) -> int:
        STARTED.release()
        for _ in ctx.track(int(self.seconds * 100)):
            time.sleep(0.01)
        return self.a


@pytest.fixture
def session(tmp_path: Path) -> Iterator[Session]:
    registry = Registry([Tone, NoPaint, Draw, Slow])
    with Session(settings.load(tmp_path / "home", device="cpu"), registry=registry) as session:
        yield session


GRAPH_OUT = {"image": "tone.out"}
GRAPH = graph_of(
    {"tone": ("Tone", {"tone": {"param": "tone"}})},
    GRAPH_OUT,
    {"tone": GraphInput("int", 3, False)},
)
GRAPH.title = "Grey"


def test_a_script_gets_values_back_and_files_where_it_asked(session: Session, tmp_path: Path) -> None:
    report = session.run(GRAPH, {"tone": 7}, out=tmp_path / "here")
    assert report.state == "done"
    assert report["image"] == Grey(7)
    assert report.values == {"tone": 7}
    assert report.files == {"image": (tmp_path / "here" / "grey-image-0001.png",)}
    assert [path.name for path in (tmp_path / "here").iterdir()] == ["grey-image-0001.png"]
    with pytest.raises(KeyError, match="did you mean image"):
        report["imag"]


def test_an_output_that_a_failed_run_lacks_is_an_error_with_the_reason(session: Session) -> None:
    graph = graph_of({"tone": ("NoPaint", {})}, {"image": "tone.out"})
    report = session.run(graph)
    assert report.state == "failed"
    with pytest.raises(KeyError) as raised:
        report["image"]
    assert "there is no paint" in raised.value.args[0]


def test_the_content_of_a_graph_file_is_as_good_as_a_graph(session: Session) -> None:
    assert session.run(json.loads(writer.dump(GRAPH)), {"tone": 4})["image"] == Grey(4)


def test_no_file_is_written_unless_asked_for(session: Session) -> None:
    outputs = session.settings.home / "outputs"
    assert session.run(GRAPH)["image"] == Grey(3)
    assert not outputs.exists()
    session.run(GRAPH, write=True)
    assert [path.name for path in outputs.iterdir()] == ["grey-image-0001.png"]
    session.run(RunRequest(GRAPH, title="Another"))
    session.run(GRAPH, title="Third", write=True)
    assert {path.name for path in outputs.iterdir()} == {
        f"{title}-image-0001.png" for title in ("grey", "another", "third")
    }


def test_a_path_or_a_name_is_as_good_as_a_graph(session: Session, tmp_path: Path) -> None:
    path = tmp_path / "saved.json"
    untitled = graph_of({"tone": ("Tone", {"tone": 5})}, {"image": "tone.out"})
    path.write_text(writer.dump(untitled))
    (session.settings.home / "graphs").mkdir(parents=True)
    (session.settings.home / "graphs" / "mine.json").write_text(writer.dump(untitled))
    for graph, name in ((path, "saved"), (str(path), "saved"), ("mine", "mine")):
        report = session.run(graph, out=tmp_path / "out")
        assert report["image"] == Grey(5)
        assert [file.name for file in report.files["image"]] == [f"{name}-image-0001.png"]
    with pytest.raises(GraphError) as raised:
        session.run("nobody")
    assert [problem.code for problem in raised.value.problems] == ["unknown_graph"]
    for nothing in ("", Path()):
        with pytest.raises(GraphError) as raised:
            session.run(nothing)
        assert [problem.code for problem in raised.value.problems] == ["bad_use"]


def test_a_session_opens_with_a_home_and_a_device(tmp_path: Path) -> None:
    with Session.open(str(tmp_path), "cpu", workers=2) as session:
        assert (session.settings.home, session.device, session.settings.workers) == (tmp_path, "cpu", 2)


def test_a_picture_carries_its_graph_with_the_versions_that_ran(session: Session, tmp_path: Path) -> None:
    graph = graph_of({"tone": ("Tone", {"tone": {"param": "tone"}})}, GRAPH_OUT, GRAPH.inputs)
    report = session.run(graph, {"tone": 9}, out=tmp_path)
    carried = reader.parse(png.read_text(report.files["image"][0].read_bytes())["safelight"])
    assert carried.inputs["tone"].default == 9
    assert carried.nodes["tone"].type == "Tone@1"
    assert carried.made_with == report.made_with
    assert "safelight" in report.made_with
    again = session.run(carried, out=tmp_path)
    assert again.files == report.files


def test_kept_warnings_are_repeated_and_reported(session: Session) -> None:
    for _ in range(2):
        events: list[Event] = []
        report = session.run(GRAPH, {"tone": 255}, emit=events.append)
        assert report.warnings == {"tone": ["very bright"]}
        assert [event for event in events if isinstance(event, Warned)] == [Warned("very bright", "tone")]


def test_warnings_of_the_check_are_heard_and_reported(session: Session) -> None:
    heard: list[str] = []
    unused = graph_of({"tone": ("Tone", {})}, GRAPH_OUT, {"unused": GraphInput("int", 1, False)})
    report = session.run(unused, warn=heard.append)
    assert heard == [str(problem) for problem in report.remarks]


def test_events_tell_of_outputs_and_of_previews_only_if_wanted(session: Session, tmp_path: Path) -> None:
    events: list[Event] = []
    report = session.run(GRAPH, {"tone": Sweep((1, 2))}, out=tmp_path, emit=events.append, previews=True)
    written = [event for event in events if isinstance(event, OutputWritten)]
    assert [(event.output, event.index, dict(event.values)) for event in written] == [
        ("image", (0,), {"tone": 1}),
        ("image", (1,), {"tone": 2}),
    ]
    assert [file for event in written for file in event.files] == list(map(str, report.files["image"]))
    assert report["image"] == [Grey(1), Grey(2)]
    assert any(isinstance(event, Preview) for event in events)
    events.clear()
    session.run(GRAPH, {"tone": 4}, emit=events.append)
    assert not any(isinstance(event, Preview) for event in events)


def test_details_of_finished_steps_are_sent_only_if_wanted(session: Session) -> None:
    nodes = {"one": ("Tone", {"tone": 5}), "seed": ("Draw", {"seed": 9})}
    graph = graph_of(nodes, {"a": "one.out", "b": "seed.out"})
    events: list[Event] = []
    session.run(graph, emit=events.append, details=True)
    found = {event.node: event.outputs for event in events if isinstance(event, Done)}
    grey = (OutputSummary("out", "SessionGrey", "SessionGrey"),)
    assert found == {"one": grey, "seed": (OutputSummary("out", "int", "9"),)}
    assert [from_json(event.as_json()) for event in events] == events
    other = graph_of({"seed": ("Draw", {"seed": 10})}, {"c": "seed.out"})
    events.clear()
    session.run(other, emit=events.append)
    assert [event.outputs for event in events if isinstance(event, Done)] == [()]


def test_a_random_seed_is_drawn_for_each_run_and_recorded(session: Session) -> None:
    nodes: dict[str, tuple[str, dict[str, Any]]] = {
        "draw": ("Draw", {"seed": {"param": "seed"}}),
        "own": ("Draw", {"seed": "random"}),
    }
    graph = graph_of(
        nodes, {"drawn": "draw.out", "own": "own.out"}, {"seed": GraphInput("seed", "random", False)}
    )
    reports = [session.run(graph) for _ in range(3)]
    assert all(report.values == {"seed": report["drawn"]} for report in reports)
    assert len({report["drawn"] for report in reports}) == 3
    assert len({report["own"] for report in reports}) == 3
    assert session.run(graph, {"seed": 5}).values == {"seed": 5}
    swept = session.run(graph, {"seed": Sweep((1, "random"))})
    assert swept.values == {"seed": swept["drawn"]}
    assert graph.inputs["seed"].default == "random"


def slow(a: int, seconds: float) -> RunRequest:
    return RunRequest(graph_of({"slow": ("Slow", {"a": a, "seconds": seconds})}, {"a": "slow.out"}))


ENDLESS = 100_000.0
"""Seconds that no test waits: such a run ends only by a cancel."""
HANGS = 600.0
"""Seconds after which a test counts as hanging; a busy machine may take long for a step."""


class Started(threading.Thread):
    """A run in a thread of its own, which has begun its step."""

    def __init__(self, session: Session, request: RunRequest, cancel: Cancel | None = None) -> None:
        super().__init__()
        self._session, self._request, self._cancel = session, request, cancel
        self.state = ""
        while STARTED.acquire(blocking=False):  # starts that no test waited for
            pass
        self.start()
        assert STARTED.acquire(timeout=HANGS)

    def run(self) -> None:
        self.state = self._session.run(self._request, cancel=self._cancel).state

    def end(self) -> str:
        self.join(timeout=HANGS)
        return self.state


def test_cancelling_one_run_leaves_the_other_alone(session: Session) -> None:
    cancel = Cancel()
    stopped, other = Started(session, slow(1, ENDLESS), cancel), Started(session, slow(2, 1), Cancel())
    cancel.ask()
    assert stopped.end() == "cancelled"
    assert other.end() == "done"
    assert Started(session, slow(3, 0.01)).end() == "done"


def test_a_session_cancels_all_its_runs(session: Session) -> None:
    runs = [Started(session, slow(a, ENDLESS)) for a in (4, 5)]
    session.cancel()
    assert [run.end() for run in runs] == ["cancelled", "cancelled"]
    assert Started(session, slow(6, 0.01)).end() == "done"


class Length(Node):
    """Return the size of a file."""

    file: str

    def fingerprint(self, files: Files) -> Json:
        return files.digest(Path(self.file))

    def run(self, ctx: Context) -> int:
        return Path(self.file).stat().st_size


def test_a_cancel_ends_the_reading_of_a_large_file_before_the_run(tmp_path: Path) -> None:
    large = tmp_path / "large.bin"
    large.write_bytes(b"x" * (65 << 20))
    cancel = Cancel()
    cancel.ask()
    graph = graph_of({"length": ("Length", {"file": str(large)})}, {"bytes": "length.out"})
    place = settings.load(tmp_path / "home", device="cpu")
    with Session(place, registry=Registry([Length])) as session:
        report = session.run(graph, cancel=cancel)
        assert (report.state, report.nodes) == ("cancelled", {}), "not even planned"
        assert session.run(graph)["bytes"] == 65 << 20


def test_a_full_disk_costs_the_results_of_other_runs_first(
    session: Session, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    spared: list[list[str]] = []

    def free_disk(store: Tiered, place: Path, size: int, last: Sequence[str] = ()) -> bool:
        spared.append(sorted(last))
        return True

    def put(data: bytes, names: Iterable[Path], *, share: bool = False) -> Path:
        if not spared:
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(data, names, share=share)

    real = whole_file.put
    monkeypatch.setattr(Tiered, "free_disk", free_disk)
    monkeypatch.setattr(whole_file, "put", put)
    tones = {"a": ("Tone", {"tone": 1}), "b": ("Tone", {"tone": 2})}
    graph = graph_of(tones, {"first": "a.out", "second": "b.out"})
    report = session.run(graph, out=tmp_path / "out")
    assert report.state == "done"
    assert spared == [sorted(str(step.key) for step in session.plan(graph).steps.values())]


def test_a_run_has_at_most_as_many_steps_as_the_setting_allows(tmp_path: Path) -> None:
    place = settings.load(tmp_path, device="cpu", max_steps=3)
    graph = graph_of({f"n{n}": ("Draw", {"seed": n}) for n in range(4)}, {"last": "n3.out"})
    with Session(place, registry=Registry([Draw])) as session:
        assert session.run(graph).state == "done", "one step is enough for this output"
        with pytest.raises(GraphError) as caught:
            session.run(graph, targets=list(graph.nodes))
    assert caught.value.problems[0].code == "too_many"


def test_the_folders_for_files_are_created_once_they_are_asked_for(tmp_path: Path) -> None:
    home = tmp_path / "new"
    with Session(settings.load(home, device="cpu")) as session:
        assert not home.exists(), "opening a home writes nothing"
        session.create_folders()
        assert {"graphs", "inputs", "models", "nodes"} <= {path.name for path in home.iterdir()}
        made = {path.name for path in (home / "models").iterdir()}
        assert {"checkpoints", "controlnet", "embeddings", "hypernetworks", "loras", "unet", "vae"} <= made
        (home / "models" / "loras" / "mine.safetensors").write_bytes(b"x")
        session.create_folders()
        assert session.files.find("loras", "mine.safetensors").read_bytes() == b"x"


def test_folders_that_cannot_be_created_are_no_error(tmp_path: Path) -> None:
    (tmp_path / "graphs").write_bytes(b"")
    with Session(settings.load(tmp_path, device="cpu")) as session:
        session.create_folders()
    assert list(tmp_path.iterdir()) == [tmp_path / "graphs"]
