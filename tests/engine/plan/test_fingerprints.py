"""What nodes read from the world is known before they run, wherever it can be."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.check.check import check
from engine.context import Context
from engine.errors import GraphError
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan.fingerprints import unreadable_files
from engine.values import Json
from tests.engine.small_nodes import CALLS, Bench, Mix, called, graph_of


class Prefix(Node):
    """Add the number in a file to one that a wire brings."""

    file: str
    number: int = 0

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("inputs", self.file))

    def run(self, ctx: Context) -> int:
        called(ctx)
        return int(ctx.files.find("inputs", self.file).read_text()) + self.number


class Chosen(Node):
    """Read the file that a number names."""

    number: int = 0

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("inputs", f"{self.number}.txt"))

    def run(self, ctx: Context) -> int:
        called(ctx)
        return int(ctx.files.find("inputs", f"{self.number}.txt").read_text())


class Clumsy(Node):
    """Fail in its own way while it says what it reads."""

    number: int = 0

    def fingerprint(self, files: Files) -> Json:
        return self.nothing  # type: ignore[attr-defined,no-any-return]

    def run(self, ctx: Context) -> int:
        return 0


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    CALLS.clear()
    (tmp_path / "inputs").mkdir()
    (tmp_path / "inputs" / "5.txt").write_text("7")
    return Bench(registry=Registry([Mix, Prefix, Chosen, Clumsy]), folder=tmp_path)


FIVE = ("Mix", {"salt": 5})


def test_a_node_whose_file_is_typed_in_has_its_key_before_anything_runs(bench: Bench) -> None:
    graph = graph_of(
        {"five": FIVE, "read": ("Prefix", {"file": "5.txt", "number": {"from": "five.out"}})},
        {"out": "read.out"},
    )
    planned = bench.plan(graph)
    assert not planned.steps["read"].key_unknown
    assert bench.run_plan(planned).outputs["out"].meta == 12
    again = bench.plan(graph)
    assert again.steps["read"].action == "reuse"
    assert again.steps["five"].action == "reuse"
    (bench.folder / "inputs" / "5.txt").write_text("8")
    changed = bench.plan(graph)
    assert (changed.steps["read"].action, changed.steps["five"].action) == ("run", "reuse")
    assert bench.run_plan(changed).outputs["out"].meta == 13


def test_a_missing_file_is_a_problem_although_another_input_is_wired(bench: Bench) -> None:
    graph = graph_of(
        {"five": FIVE, "read": ("Prefix", {"file": "6.txt", "number": {"from": "five.out"}})},
        {"out": "read.out"},
    )
    with pytest.raises(GraphError):
        bench.plan(graph)
    (problem,) = unreadable_files(check(graph, bench.registry), bench.files)
    assert problem.node == "read"


def test_a_missing_file_of_a_node_that_the_run_does_not_need_is_a_warning(bench: Bench) -> None:
    nodes: dict[str, Any] = {"five": FIVE, "read": ("Prefix", {"file": "6.txt"})}
    checked = check(graph_of(nodes, {"out": "five.out"}), bench.registry)
    (problem,) = unreadable_files(checked, bench.files)
    assert (problem.node, problem.severity) == ("read", "warning")
    assert bench.run(checked.graph).outputs["out"].meta == 5, "the oracle: the run does without it"
    (problem,) = unreadable_files(checked, bench.files, ["read"])
    assert (problem.node, problem.severity) == ("read", "error")
    with pytest.raises(GraphError):
        unreadable_files(checked, bench.files, ["nothing"])


def test_a_file_that_a_wire_names_is_known_while_it_runs(bench: Bench) -> None:
    graph = graph_of(
        {"five": FIVE, "read": ("Chosen", {"number": {"from": "five.out"}})}, {"out": "read.out"}
    )
    planned = bench.plan(graph)
    assert planned.steps["read"].key_unknown
    assert bench.run_plan(planned).outputs["out"].meta == 7
    assert unreadable_files(check(graph, bench.registry), bench.files) == []
    CALLS.clear()
    assert bench.run(graph).outputs["out"].meta == 7
    assert not CALLS


def test_two_steps_that_turn_out_equal_while_it_runs_are_computed_once(bench: Bench) -> None:
    graph = graph_of(
        {
            "five": FIVE,
            "one": ("Chosen", {"number": {"from": "five.out"}}),
            "two": ("Chosen", {"number": {"from": "five.out"}}),
        },
        {"one": "one.out", "two": "two.out"},
    )
    report = bench.run(graph)
    assert {name: packed.meta for name, packed in report.outputs.items()} == {"one": 7, "two": 7}
    assert CALLS["one"] + CALLS["two"] == 1


def test_a_fault_of_its_own_is_no_missing_wire(bench: Bench) -> None:
    graph = graph_of({"five": FIVE, "bad": ("Clumsy", {"number": {"from": "five.out"}})}, {"out": "bad.out"})
    with pytest.raises(GraphError, match="nothing"):
        bench.plan(graph)
