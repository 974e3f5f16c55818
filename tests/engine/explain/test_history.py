"""How a graph was is remembered: faithfully, cheaply, boundedly, and never to the harm of a run."""

from __future__ import annotations

import os
import random
import threading
from collections.abc import Iterator
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.document.graph import Entry, From, Graph, Literal
from engine.explain import history, history_format
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan.plan import Plan
from engine.session import Session
from engine.values import canonical, sha256
from tests.engine.run.wide_nodes import WIDE
from tests.engine.small_nodes import Act, Broken, Mix, Settings, Split

NAME = "/graphs/mixing.json"
TYPES: list[type[Node]] = [Mix, Split, Act, Broken, Settings]


@pytest.fixture
def warnings() -> list[str]:
    return []


@pytest.fixture
def session(tmp_path: Path, warnings: list[str]) -> Iterator[Session]:
    with Session(settings.load(tmp_path), registry=Registry(TYPES), warn=warnings.append) as session:
        yield session


def mixing(salt: int = 1, **more: Entry) -> Graph:
    return Graph(
        {
            "one": Entry("Mix@1", {"salt": Literal(salt)}),
            "two": Entry("Split@1", {"a": From("one", "out")}),
            "three": Entry("Mix@1", {"a": From("two", "low"), "b": From("one", "out")}),
            **more,
        }
    )


def told(plan: Plan) -> dict[str, Any]:
    """What the record of a plan has to say, said by the plan itself."""
    return {
        node: (
            f"{step.bound.type.name}@{step.bound.type.version}",
            dict(step.bound.literals),
            {name: (link.node, link.output) for name, link in step.bound.links.items()},
            step.key if step.storable else None,
        )
        for node, step in plan.steps.items()
    }


def kept(session: Session, name: str = NAME) -> dict[str, Any]:
    return {
        node: (
            f"{was.type}@{was.version}",
            was.literals,
            {input: link[:2] for input, link in was.links.items()},
            was.key,
        )
        for node, was in session.history.record(name).nodes.items()
    }


def test_a_record_says_what_the_plan_was(session: Session) -> None:
    graph = mixing(7, act=Entry("Act@1", {"a": From("three", "out")}))
    plan = session.plan(graph, name=NAME)
    assert kept(session) == {}, "planning writes nothing"
    session.run_plan(plan)
    assert kept(session) == told(plan)
    assert kept(session)["act"][3] is None, "a step with side effects has no reusable key"


def test_a_graph_goes_by_its_name_and_else_by_its_title(session: Session) -> None:
    session.run(mixing(1), name="one")
    graph = mixing(2)
    session.run(graph)
    assert len(list(session.history.folder.iterdir())) == 1, "without name and title nothing is remembered"
    graph.title = "one"
    session.run(graph)
    assert kept(session, "one")["one"][1]["salt"] == 2


def test_a_run_of_a_part_leaves_the_rest_as_it_was(session: Session) -> None:
    session.run(mixing(1), name=NAME)
    plan = session.plan(mixing(2), targets=["two"], name=NAME)
    session.run_plan(plan)
    found = kept(session)
    assert {node: found[node] for node in ("one", "two")} == told(plan)
    assert found["three"] == told(session.plan(mixing(1)))["three"]
    left = mixing(2)
    del left.nodes["three"]
    session.run(left, targets=["one"], name=NAME)
    assert set(kept(session)) == {"one", "two"}, "a node that is gone from the graph is forgotten"


def test_the_record_is_written_only_when_something_is_different(session: Session) -> None:
    act = Entry("Act@1", {"a": From("three", "out")})
    session.run(mixing(1, act=act), name=NAME)
    (path,) = session.history.folder.iterdir()
    os.utime(path, (1, 1))
    session.run(mixing(1, act=act), name=NAME)
    with Session(session.settings, registry=Registry(TYPES)) as other:
        other.run(mixing(1, act=act), name=NAME)
    assert path.stat().st_mtime == 1, "neither this process nor another one wrote it again"
    session.run(mixing(2, act=act), name=NAME)
    assert path.stat().st_mtime > 1


def test_the_record_is_of_the_last_run_whoever_ran_it(session: Session) -> None:
    session.run(mixing(1), name=NAME)
    with Session(session.settings, registry=Registry(TYPES)) as other:
        other.run(mixing(2), name=NAME)
    assert kept(session)["one"][1]["salt"] == 2
    session.run(mixing(1), name=NAME)
    assert kept(session)["one"][1]["salt"] == 1
    (path,) = session.history.folder.iterdir()
    path.unlink()
    session.run(mixing(1), name=NAME)
    assert kept(session)["one"][1]["salt"] == 1


def test_how_a_node_ended_is_part_of_the_record(session: Session) -> None:
    broken = Entry("Broken@1", {"a": From("one", "out")})
    graph = mixing(1, bad=broken, after=Entry("Mix@1", {"a": From("bad", "out")}))
    graph.outputs = {"x": From("after", "out"), "y": From("three", "out")}
    session.run(graph, name=NAME)
    states = {node: was.state for node, was in session.history.record(NAME).nodes.items()}
    assert states == {"one": "", "two": "", "three": "", "bad": "failed", "after": "skipped"}


def test_history_keeps_digests_of_long_literals(session: Session) -> None:
    long = "x" * 100_000
    graph = Graph({"set": Entry("Settings@1", {"text": Literal(long), "count": Literal(3)})})
    session.run(graph, name=NAME)
    was = session.history.record(NAME).nodes["set"]
    assert was.literals["count"] == 3
    assert "text" not in was.literals
    assert was.long == {"text": sha256(canonical(long))[:32]}
    (path,) = session.history.folder.iterdir()
    assert path.stat().st_size < 10_000


def test_a_damaged_record_is_as_none_and_is_written_anew(session: Session, warnings: list[str]) -> None:
    plan = session.plan(mixing(), name=NAME)
    session.run_plan(plan)
    (path,) = session.history.folder.iterdir()
    whole = path.read_bytes()
    chance = random.Random(1)
    for _ in range(200):
        place, bit = chance.randrange(len(whole)), 1 << chance.randrange(8)
        path.write_bytes(whole[:place] + bytes([whole[place] ^ bit]) + whole[place + 1 :])
        assert kept(session) == {}, f"bit {bit} of byte {place}"
    for size in (0, 1, 30, len(whole) // 2, len(whole) - 1):
        path.write_bytes(whole[:size])
        assert kept(session) == {}
    with Session(session.settings, registry=Registry(TYPES), warn=warnings.append) as other:
        path.write_bytes(b"\0" * 100)
        other.run(mixing(), name=NAME)
        assert kept(other) == told(plan)
    assert warnings == []


def test_a_whole_record_of_other_columns_is_as_none(session: Session) -> None:
    session.run(mixing(), name=NAME)
    (path,) = session.history.folder.iterdir()
    for body in (b"[]", b"{}", b'{"nodes": 3}', b"[" * 100_000):
        path.write_bytes(history_format._header(b"0" * 64, body) + body)
        assert kept(session) == {}


def test_where_no_record_can_be_written_the_run_goes_on(session: Session, warnings: list[str]) -> None:
    session.history.folder.parent.mkdir(parents=True, exist_ok=True)
    session.history.folder.write_text("in the way")
    report = session.run(mixing(), name=NAME)
    assert report.state == "done"
    assert len(warnings) == 1
    assert "cannot be written" in warnings[0]
    os.unlink(session.history.folder)
    session.run(mixing(), name=NAME)
    assert set(kept(session)) == {"one", "two", "three"}


def test_the_newest_graphs_are_remembered(session: Session, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(history, "KEPT", 5)
    for n in range(9):
        session.run(mixing(), name=f"graph {n}")
        path = Path(session.history.record(f"graph {n}").path)
        os.utime(path, (n, n))
    assert [n for n in range(9) if kept(session, f"graph {n}")] == [4, 5, 6, 7, 8]
    assert len(list(session.history.folder.iterdir())) == 5


def test_runs_side_by_side_leave_a_whole_record(session: Session, warnings: list[str]) -> None:
    def often(first: int) -> None:
        with Session(session.settings, registry=Registry(TYPES), warn=warnings.append) as mine:
            for salt in range(first, first + 10):
                mine.run(mixing(salt), name=NAME)

    threads = [threading.Thread(target=often, args=[100 * n]) for n in range(3)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    salt = kept(session)["one"][1]["salt"]
    assert salt in {9, 109, 209}
    assert kept(session) == told(session.plan(mixing(salt)))
    assert [path.suffix for path in session.history.folder.iterdir()] == [".json"]
    assert warnings == []


def test_graphs_that_nodes_returned_are_remembered_while_they_are_not_needed(tmp_path: Path) -> None:
    graph = Graph({"loop": Entry("Again", {"x": Literal(1), "times": Literal(2)})})
    with Session(settings.load(tmp_path), registry=WIDE) as session:
        session.run(graph, name=NAME)
        first = kept(session)
        assert set(first) == {"loop", "loop/once", "loop/more", "loop/more/once", "loop/more/more"}
        for _ in range(3):
            session.run(graph, name=NAME)
            assert kept(session) == first
        graph.nodes["loop"].inputs["times"] = Literal(0)
        session.run(graph, name=NAME)
        assert kept(session)["loop"][1] == {"x": 1, "times": 0}
