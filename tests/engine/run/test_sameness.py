"""A cached result is the fresh one: what is read, run, and handed on is what the key says."""

from __future__ import annotations

import os
import sys
import time
from pathlib import Path
from typing import Any

import pytest
import torch

from engine.cancel import Cancel
from engine.context import Context
from engine.devices.compute import ComputeSettings
from engine.devices.residency import Residency
from engine.errors import Cancelled, NodeError
from engine.events import Event, Failed, Warned
from engine.files import Files
from engine.node import Node
from engine.observe.journal import Journal
from engine.packing import pack, unpack
from engine.packs.registry import Registry
from engine.run.report import Report
from engine.store.disk import Disk
from engine.store.memory import Memory
from engine.store.tiered import Tiered
from engine.values import Json, Value
from tests.engine.small_nodes import Bench, PlainDigests, Thing, graph_of


class ReadText(Node):
    """Read a text, slowly enough for somebody to change it meanwhile."""

    name: str
    before: str = ""

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("texts", self.name))

    def run(self, ctx: Context) -> str:
        return ctx.files.find("texts", self.name).read_text()


class Pairs(Node):
    """Give a tuple where a list was declared, and whole numbers for floats."""

    def run(self, ctx: Context) -> list[float]:
        return (1, 2)  # type: ignore[return-value]


class Total(Node):
    """Add them up."""

    numbers: list[float]

    def run(self, ctx: Context) -> float:
        return sum(self.numbers)


class Table(Node):
    """Give a table whose keys are no text."""

    def run(self, ctx: Context) -> dict[str, Any]:
        return {1: "a"}  # type: ignore[dict-item]


REGISTRY = Registry([ReadText, Pairs, Total, Table])


def fresh(bench: Bench, tmp_path: Path) -> Bench:
    """The same disk, seen by another process."""
    disk = Disk(tmp_path / "store", 1 << 24, pytest.fail)
    return Bench(Tiered(Memory(1 << 20), disk), REGISTRY, tmp_path)


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    (tmp_path / "texts").mkdir()
    return fresh(Bench(), tmp_path)


def state(report: Report, node: str) -> tuple[str, str]:
    problem = report.nodes[node].problem
    return report.nodes[node].state, problem.code if problem else ""


def test_a_file_changed_between_plan_and_run_is_kept_under_no_key(bench: Bench, tmp_path: Path) -> None:
    text = tmp_path / "texts" / "a.txt"
    graph = graph_of({"read": ("ReadText", {"name": "a.txt"})}, {"x": "read.out"})
    text.write_text("red")
    plan = bench.plan(graph)
    text.write_text("blue")
    assert state(bench.run_plan(plan), "read") == ("failed", "changed_file")


@pytest.mark.parametrize("how", ["another file in its place", "another content"])
def test_a_file_that_is_changed_while_a_node_reads_it_and_then_restored_is_noticed(
    how: str, bench: Bench, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    """The digest is the same before and after, and yet the node has read something else."""
    text, other, aside = (tmp_path / "texts" / name for name in ("a.txt", "b.txt", "c.txt"))
    text.write_text("good")
    other.write_text("evil")
    before = text.stat()
    reading = ReadText.run

    def swapped(node: ReadText, ctx: Context) -> str:
        time.sleep(0.02)  # a tick of the file system's clock
        if how == "another file in its place":
            text.rename(aside)
            other.rename(text)
        else:
            text.write_text("evil")
        found = reading(node, ctx)
        if how == "another file in its place":
            text.rename(other)
            aside.rename(text)
        else:
            text.write_text("good")
        os.utime(text, ns=(before.st_atime_ns, before.st_mtime_ns))
        return found

    monkeypatch.setattr(ReadText, "run", swapped)
    graph = graph_of({"read": ("ReadText", {"name": "a.txt"})}, {"x": "read.out"})
    assert state(bench.run(graph), "read") == ("failed", "changed_file")
    monkeypatch.setattr(ReadText, "run", reading)
    assert bench.run(graph).outputs["x"].meta == "good"
    text.write_text("red")
    report = bench.run(graph)
    assert state(report, "read") == ("done", "")
    assert report.outputs["x"].meta == "red"


def test_a_computed_value_equals_the_value_read_from_disk(bench: Bench, tmp_path: Path) -> None:
    nodes = {"pairs": ("Pairs", {}), "total": ("Total", {"numbers": {"from": "pairs.out"}})}
    first = bench.run(graph_of(nodes, {"x": "total.out", "y": "pairs.out"}))
    bench.store.flush()
    second = fresh(bench, tmp_path).run(graph_of(nodes, {"x": "total.out", "y": "pairs.out"}))
    for report in (first, second):
        assert report.state == "done"
        assert repr(report.outputs["x"].meta) == "3.0"
        assert repr(report.outputs["y"].meta) == "[1.0, 2.0]"


def test_a_table_that_json_cannot_say_is_refused(bench: Bench) -> None:
    report = bench.run(graph_of({"table": ("Table", {})}, {"x": "table.out"}))
    assert "the key 1 of a dict is not text" in report.nodes["table"].reason


def test_lists_in_lists_of_values_come_back() -> None:
    nested = [[Kept("a")], [], [Kept("b"), Kept("c")]]
    packed = pack(nested)
    assert unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts}) == nested


class Kept(Value, wire="KeptText"):
    """A text as a value."""

    def __init__(self, text: str) -> None:
        self.text = text

    def __eq__(self, other: object) -> bool:
        return isinstance(other, Kept) and other.text == self.text

    __hash__ = None  # type: ignore[assignment]

    def pack(self) -> Any:
        from engine.values import Packed, Part

        return Packed(self.wire, None, (Part("text", "text/plain", self.text.encode()),))

    @classmethod
    def unpack(cls, meta: Json, parts: Any) -> Kept:
        return cls(parts["text"].decode())


def test_a_pack_cannot_redeclare_another_pack_s_wire_type(tmp_path: Path) -> None:
    (tmp_path / "thief.py").write_text(
        "from engine.values import Value\nclass Thing(Value, wire='SmallThing'):\n    pass\n"
    )
    registry = Registry.find([tmp_path])
    assert ["the wire type SmallThing is" in problem.message for problem in registry.problems] == [True]
    assert Value.types["SmallThing"] is Thing


PACK = """
from engine.context import Context
from engine.node import Node
{more}
class Told(Node):
    def run(self, ctx: Context) -> int:
        return {value}
"""


@pytest.mark.parametrize("packaged", [False, True], ids=["file", "package"])
def test_the_code_that_runs_is_the_code_that_was_digested(
    tmp_path: Path, monkeypatch: pytest.MonkeyPatch, packaged: bool
) -> None:
    monkeypatch.setattr(sys, "dont_write_bytecode", False)
    if packaged:
        (tmp_path / "told").mkdir()
        (tmp_path / "told" / "__init__.py").write_text(PACK.format(more="from .inner import N", value="N"))
        changing, line = tmp_path / "told" / "inner.py", "N = {}\n"
    else:
        changing, line = tmp_path / "told.py", PACK.replace("{value}", "{}").replace("{more}", "")
    codes, values = set(), []
    for value in (2, 3):
        changing.write_text(line.format(value))
        os.utime(changing, (1_000_000_000, 1_000_000_000))  # Python would take its bytecode for fresh
        told = Registry.find([tmp_path]).types["Told"]
        codes.add(told.code)
        bench = Bench(registry=Registry([told.cls]))
        values.append(bench.run(graph_of({"told": ("Told", {})}, {"x": "told.out"})).outputs["x"].meta)
    assert len(codes) == 2
    assert values == [2, 3]


def context(cancel: Cancel, events: list[Event], tmp_path: Path) -> Context:
    files = Files(lambda kind: [], PlainDigests(), tmp_path)
    return Context("node", events.append, cancel, files, Residency(0), ComputeSettings())


def test_a_cancel_during_the_last_piece_of_work_keeps_it(tmp_path: Path) -> None:
    cancel, made = Cancel(), []

    def work() -> Any:
        for n in range(3):
            if n == 2:
                cancel.ask()
            made.append(n)
            yield n

    assert list(context(cancel, [], tmp_path).track(work(), 3)) == [0, 1, 2]
    with pytest.raises(Cancelled):
        list(context(cancel, [], tmp_path).track(work(), 3))
    assert made == [0, 1, 2]


def test_work_that_continues_counts_what_is_done(tmp_path: Path) -> None:
    events: list[Any] = []
    tracking = context(Cancel(), events, tmp_path)
    for items in (tracking.track([15, 16], 17, done=15), tracking.track(17, done=15)):
        assert list(items) == [15, 16]
        assert (events[-1].value, events[-1].total) == (17, 17)
        events.clear()


def test_work_names_its_unit_and_its_stage(tmp_path: Path) -> None:
    events: list[Any] = []
    tracking = context(Cancel(), events, tmp_path)
    assert [*tracking.track("ab", unit="pictures", stage="encoding"), *tracking.track(1)] == ["a", "b", 0]
    assert [(event.unit, event.stage) for event in events] == [("pictures", "encoding"), (None, None)]


def test_the_rate_leaves_out_the_first_piece_of_work(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    clock = iter([0.0, 60.0, 62.0, 64.0])
    monkeypatch.setattr("engine.context.time.perf_counter", lambda: next(clock))
    events: list[Any] = []
    assert list(context(Cancel(), events, tmp_path).track(3)) == [0, 1, 2]
    assert [event.rate for event in events] == [None, 0.5, 0.5]


def test_a_message_that_is_no_text_harms_nothing(tmp_path: Path) -> None:
    events: list[Event] = []
    context(Cancel(), events, tmp_path).warn(ValueError("hm"))  # type: ignore[arg-type]
    problem = NodeError(FileNotFoundError("gone"), hint=tmp_path).problem("n")  # type: ignore[arg-type]
    with Journal(tmp_path / "journal", pytest.fail) as journal:
        for event in (*events, Failed("n", 0.0, problem)):
            journal(event)
    assert isinstance(events[0], Warned)
    assert events[0].message == "hm"
    assert problem.message == "gone"


WRONG = """
from typing import Annotated
from engine.context import Context
from engine.node import Node
from engine.widgets import Range
class Wrong(Node):
    steps: Annotated[int, Range(1, 10)] = 99
    def run(self, ctx: Context) -> int:
        return 1
"""


def test_a_default_that_its_own_input_refuses_is_found_at_import(tmp_path: Path) -> None:
    (tmp_path / "wrong.py").write_text(WRONG)
    (problem,) = Registry.find([tmp_path]).problems
    assert problem.code == "broken_pack"
    assert "Wrong.steps" in problem.message


def test_a_node_that_inherits_its_run_is_a_node_of_its_own() -> None:
    class More(Total, version=7):
        """Add up, and say more."""

        more: int = 5

    assert More.node_type.id == "More@7"
    assert list(More.node_type.inputs) == ["numbers", "more"]
    assert Total.node_type.id == "Total@1"


class Plain(Value, wire="PlainTensor"):
    """A tensor as a value."""

    def __init__(self, tensor: torch.Tensor) -> None:
        self.tensor = tensor


class MakePlain(Node):
    """Make one."""

    def run(self, ctx: Context) -> Plain:
        return Plain(torch.zeros(4, dtype=torch.bfloat16))


class ScribbleUnseen(Node):
    """Write into it where torch does not look."""

    a: Plain

    def run(self, ctx: Context) -> int:
        self.a.tensor.view(torch.uint8).numpy()[:] = 5
        return 1


def test_checked_mode_sees_a_write_behind_the_tensor_s_back() -> None:
    bench = Bench(registry=Registry([MakePlain, ScribbleUnseen]))
    nodes = {"make": ("MakePlain", {}), "bad": ("ScribbleUnseen", {"a": {"from": "make.out"}})}
    assert state(bench.run(graph_of(nodes)), "bad") == ("failed", "wrote_input")
