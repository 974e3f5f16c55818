"""A stranger's pack in a nodes folder: its own wire type, lists, a lazy choice, old graphs, hot reload."""

from __future__ import annotations

import shutil
from collections.abc import Mapping
from pathlib import Path
from typing import Any

import pytest

from engine.check.conversions import find, hint
from engine.check.deprecation import deprecation
from engine.document.reader import from_json
from engine.packs.registry import Registry
from engine.run.report import Report
from engine.testing import assert_cached, cached, computed, open_session, output, run_graph
from engine.types.wires import Wire
from engine.values import Value, summary_of

STEPS = [2, 2, 1]
TUNE = [40, 42, 44, 45]


@pytest.fixture
def home(tmp_path: Path) -> Path:
    ignored = shutil.ignore_patterns("__pycache__")
    shutil.copytree(Path(__file__).parent / "stranger", tmp_path / "nodes" / "stranger", ignore=ignored)
    return tmp_path


def graph(nodes: Mapping[str, Any], out: str) -> dict[str, Any]:
    compose = {"type": "Compose@1", "inputs": {"root": 40, "steps": STEPS}}
    return {"safelight": 1, "outputs": {"out": {"from": out}}, "nodes": {"compose": compose, **nodes}}


def notes(report: Report) -> list[int]:
    tune = output(report)
    assert type(tune).wire == "stranger/Tune"
    return list(tune.notes)


def node(kind: str, **inputs: Any) -> dict[str, Any]:
    return {"type": kind, "inputs": inputs}


FROM = {"from": "compose.out"}


def test_a_value_of_its_own_goes_to_disk_and_comes_back(home: Path) -> None:
    tree = graph({"up": node("Transpose@2", tune=FROM, by=5)}, "up.out")
    first = run_graph(tree, home=home)
    assert notes(first) == [note + 5 for note in TUNE]
    assert computed(first) == {"compose", "up"}
    again = run_graph(tree, home=home)
    assert_cached(again)
    assert notes(again) == [note + 5 for note in TUNE]
    assert output(again).beat == 0.5


def test_lists_map_and_gather_and_one_more_element_computes_one(home: Path) -> None:
    def chord(by: list[int]) -> dict[str, Any]:
        up = node("Transpose@2", tune=FROM, by={"from": "by.out"})
        listed = {"type": "StrangeNumbers@1", "inputs": {"numbers": by}}
        return graph(
            {"by": listed, "up": up, "all": node("Harmonize@1", tunes={"from": "up.out"})}, "all.out"
        )

    numbers = '''
from engine.context import Context
from engine.node import Node

class StrangeNumbers(Node):
    """Some numbers."""

    numbers: list[int]

    def run(self, ctx: Context) -> list[int]:
        return self.numbers
'''
    (home / "nodes" / "numbers.py").write_text(numbers)
    first = run_graph(chord([0, 4]), home=home)
    assert notes(first) == [note + by for note in TUNE for by in (0, 4)]
    more = run_graph(chord([0, 4, 7]), home=home)
    assert notes(more) == [note + by for note in TUNE for by in (0, 4, 7)]
    assert {one for one in computed(more) if one.startswith("up[")} == {"up[2]"}
    assert {"up[0]", "up[1]"} <= cached(more)
    assert "compose" not in computed(more)


@pytest.mark.parametrize("first", [True, False])
def test_only_the_requested_tune_is_computed(home: Path, first: bool) -> None:
    tree = graph(
        {
            "up": node("Transpose@2", tune=FROM, by=1),
            "down": node("Transpose@2", tune=FROM, by=-1),
            "ask": node("Ask@1", first_wanted=first, first={"from": "up.out"}, second={"from": "down.out"}),
        },
        "ask.out",
    )
    report = run_graph(tree, home=home)
    assert notes(report) == [note + (1 if first else -1) for note in TUNE]
    assert computed(report) == {"compose", "up" if first else "down", "ask"}


def test_a_graph_of_version_1_means_what_it_meant(home: Path) -> None:
    old = run_graph(graph({"up": node("Transpose@1", tune=FROM, octaves=1)}, "up.out"), home=home)
    assert notes(old) == [note + 12 for note in TUNE]
    assert_cached(run_graph(graph({"up": node("Transpose@2", tune=FROM, by=12)}, "up.out"), home=home))


def test_off_hands_the_tune_on(home: Path) -> None:
    off = {**node("Transpose@2", tune=FROM, by=5), "off": True}
    report = run_graph(
        graph({"up": off, "same": node("Slur@1", tune={"from": "up.out"})}, "same.out"), home=home
    )
    assert notes(report) == TUNE


def test_errors_of_a_foreign_pack_keep_their_messages(home: Path) -> None:
    tree = graph({"high": node("Compose@1", root=80, steps=[20])}, "high.out")
    report = run_graph(tree, home=home)
    assert report.state == "failed"
    assert str(report.nodes["high"].problem) == (
        "high.steps: it leaves the keyboard · hint: take smaller steps"
    )


def test_a_pack_offers_conversions_and_replacements(home: Path) -> None:
    registry = Registry.find([home / "nodes"])
    try:
        assert registry.problems == []
        chain = find(registry.types.values(), Wire("stranger/Tune"), Wire("float"))
        assert [kind.name for kind in chain] == ["Length"]
        assert "put a Length between them" in str(hint(chain))
        problem = deprecation(registry.types["Slur"], registry.types, "slur")
        assert problem is not None
        assert (problem.code, problem.node) == ("deprecated", "slur")
        assert "Transpose@2" in str(problem.hint)
        tune = Value.types["stranger/Tune"]((1, 2, 3))  # type: ignore[call-arg]
        assert summary_of(tune) == "3 notes, 1.5 s"
        assert tune.preview() == [1, 2, 3]
    finally:
        registry.close()


def test_a_module_deep_inside_it_is_hot(home: Path) -> None:
    tree = graph({"up": node("Transpose@2", tune=FROM, by=5)}, "up.out")
    file = home / "nodes" / "stranger" / "transpose.py"
    with open_session(home) as session:
        assert notes(session.run(from_json(tree))) == [note + 5 for note in TUNE]
        file.write_text(file.read_text().replace("note + self.by", "note - self.by"))
        assert notes(session.run(from_json(tree))) == [note - 5 for note in TUNE]
        file.write_text(file.read_text().replace("note - self.by", "note - self.by for"))
        session.registry.refresh()
        line = file.read_text().split("self.by for")[0].count("\n") + 1
        assert f"{file}, line {line}: SyntaxError" in session.registry.problems[0].message
        assert f"line {line}: SyntaxError" in (session.registry.near("Transpose") or "")
        file.write_text(file.read_text().replace("note - self.by for", "note + self.by"))
        assert_cached(session.run(from_json(tree)))
