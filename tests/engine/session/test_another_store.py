"""A store of another kind in place of `Disk`: a dict that outlives the sessions."""

from __future__ import annotations

from collections.abc import Sequence
from functools import cached_property
from pathlib import Path

import pytest

from engine import session as sessions
from engine import settings
from engine.cli import main
from engine.context import Context
from engine.document.graph import Graph
from engine.node import Node
from engine.packing import pack, unpack
from engine.packs.registry import Registry
from engine.session import Session
from engine.store.memory import Memory
from engine.store.store import Result, Store, StoredResult
from engine.store.tiered import Tiered
from engine.values import Packed
from tests.engine.small_nodes import CALLS, Mix, called, graph_of
from tests.engine.store.kept_values import Note


class Write(Node):
    """Write a number down."""

    number: int

    def run(self, ctx: Context) -> Note:
        called(ctx)
        return Note(str(self.number), (b"page",))


class Read(Node):
    """Read the number that is written down."""

    note: Note
    add: int = 0

    def run(self, ctx: Context) -> int:
        called(ctx)
        return int(self.note.text) + self.add


class Table(Store):
    """The least that a store needs."""

    def __init__(self, rows: dict[str, tuple[dict[str, Packed], float, float]]) -> None:
        self.rows = rows

    def where(self, keys: Sequence[str]) -> dict[str, StoredResult]:
        return {key: StoredResult("disk", *self.rows[key][1:]) for key in keys if key in self.rows}

    def load(self, key: str) -> Result | None:
        if key not in self.rows:
            return None
        outputs, seconds, made = self.rows[key]
        values = {
            name: unpack(packed.type, packed.meta, {part.name: part.data for part in packed.parts})
            for name, packed in outputs.items()
        }
        return Result(values, seconds, made)

    def packed(self, key: str, output: str) -> Packed | None:
        return self.rows[key][0][output] if key in self.rows else None

    def save(self, key: str, result: Result) -> None:
        outputs = {name: pack(value) for name, value in result.outputs.items()}
        self.rows.setdefault(key, (outputs, result.seconds, result.made))


class TableSession(Session):
    """A session whose results are kept in a table of the class."""

    table = Table({})

    @cached_property
    def store(self) -> Tiered:
        return Tiered(Memory(self.settings.memory_budget), self.table)


@pytest.fixture
def session(tmp_path: Path) -> TableSession:
    TableSession.table = Table({})
    CALLS.clear()
    return again(tmp_path)


def again(home: Path) -> TableSession:
    """A session of a later process."""
    return TableSession(settings.load(home, device="cpu"), registry=Registry([Mix, Write, Read]))


def graph(add: int = 0) -> Graph:
    nodes: dict[str, tuple[str, dict[str, object]]] = {
        "mix": ("Mix", {"a": 2}),
        "write": ("Write", {"number": {"from": "mix.out"}}),
        "read": ("Read", {"note": {"from": "write.out"}, "add": add}),
    }
    return graph_of(nodes, {"number": "read.out"})


def test_a_later_session_finds_the_results(session: TableSession, tmp_path: Path) -> None:
    with session:
        report = session.run(graph())
        assert {node.cache for node in report.nodes.values()} == {"none"}
        assert session.run(graph()).nodes["read"].cache == "memory"
    with again(tmp_path) as later:
        report = later.run(graph())
        assert (report["number"], report.nodes["read"].cache) == (6, "disk")
        assert later.run(graph(add=1))["number"] == 7
    assert CALLS == {"mix": 1, "write": 1, "read": 2}


def test_a_lost_result_is_computed_again(session: TableSession, tmp_path: Path) -> None:
    with session:
        session.run(graph())
        keys = {id: str(step.key) for id, step in session.plan(graph()).steps.items()}
    del TableSession.table.rows[keys["read"]]
    with again(tmp_path) as later:
        assert later.run(graph())["number"] == 6
    assert CALLS == {"mix": 1, "write": 1, "read": 2}
    with again(tmp_path) as later:
        plan = later.plan(graph(add=1))
        assert [step.id for step in plan.to_run] == ["read"]
        del TableSession.table.rows[keys["write"]]  # the plan wants to reuse it
        assert later.run_plan(plan).state == "done"
    assert CALLS == {"mix": 1, "write": 2, "read": 3}
    assert keys["write"] in TableSession.table.rows


def test_safelight_cache_says_that_there_is_no_folder(
    session: TableSession, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, capsys: pytest.CaptureFixture[str]
) -> None:
    monkeypatch.setattr(sessions, "Session", TableSession)
    assert main(["cache", "--home", str(tmp_path)]) == 1
    assert "Table" in capsys.readouterr().err
