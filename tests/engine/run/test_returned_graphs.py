"""A graph that a node returned is kept, and its steps are planned anew in each run."""

from __future__ import annotations

from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.context import Context
from engine.document.graph import Entry, From, Graph, Literal, Param
from engine.files import Files
from engine.node import Node
from engine.packs.registry import Registry
from engine.values import Json
from tests.engine.run.test_run_random import Liar
from tests.engine.small_nodes import CALLS, Bench, Mix, called, graph_of


class Length(Node):
    """The length of a file."""

    name: str
    salt: int = 0

    def fingerprint(self, files: Files) -> Json:
        return files.digest(files.find("texts", self.name))

    def run(self, ctx: Context) -> int:
        called(ctx)
        return ctx.files.find("texts", self.name).stat().st_size + self.salt


class Measure(Node, returns_graph=True):
    """The length of a file and a bit, by returning a graph."""

    name: str = "a.txt"
    salt: int = 0

    def run(self, ctx: Context) -> int:
        called(ctx)
        graph = Graph()
        graph.nodes["length"] = Entry("Length", {"name": Param("name"), "salt": Param("salt")})
        graph.nodes["mix"] = Entry("Mix", {"a": From("length", "out"), "salt": Literal(1)})
        graph.nodes["unneeded"] = Entry("Length", {"name": Literal("nowhere.txt")})
        graph.outputs["out"] = From("mix", "out")
        return ctx.expand(graph)  # type: ignore[no-any-return]


class Undeclared(Node):
    """Return a graph without saying so."""

    def run(self, ctx: Context) -> int:
        return ctx.expand(Graph())  # type: ignore[no-any-return]


@pytest.fixture
def bench(tmp_path: Path) -> Bench:
    CALLS.clear()
    (tmp_path / "texts").mkdir()
    (tmp_path / "texts" / "a.txt").write_text("12345")
    return Bench(registry=Registry([Mix, Length, Measure, Undeclared]), folder=tmp_path)


def measuring(**inputs: Any) -> Graph:
    after = ("Mix", {"a": {"from": "measure.out"}})
    return graph_of({"measure": ("Measure", inputs), "after": after}, {"x": "after.out"})


def x(bench: Bench, graph: Graph) -> Json:
    report = bench.run(graph)
    assert report.state == "done", report.nodes
    return report.outputs["x"].meta


def test_the_steps_of_a_kept_graph_are_part_of_the_plan(bench: Bench) -> None:
    graph = measuring()
    assert set(bench.plan(graph).steps) == {"measure", "after"}
    assert x(bench, graph) == 48
    planned = bench.plan(graph)
    assert {node: step.action for node, step in planned.steps.items()} == dict.fromkeys(
        ["measure/length", "measure/mix", "measure", "after"], "reuse"
    )
    report = bench.run_plan(planned)
    assert {item.state for item in report.nodes.values()} == {"cached"}
    assert report.outputs["x"].meta == 48
    assert CALLS == {"measure": 1, "measure/length": 1, "measure/mix": 1, "after": 1}


def test_a_file_that_an_inner_step_reads_may_change(bench: Bench, tmp_path: Path) -> None:
    graph = measuring()
    x(bench, graph)
    (tmp_path / "texts" / "a.txt").write_text("1234567")
    planned = bench.plan(graph)
    assert {step.id for step in planned.to_run} == {"measure/length", "measure/mix", "after"}
    assert bench.run_plan(planned).outputs["x"].meta == 66
    assert CALLS == {"measure": 1, "measure/length": 2, "measure/mix": 2, "after": 2}
    (tmp_path / "texts" / "a.txt").write_text("12345")
    assert x(bench, graph) == 48, "the results for the old content are still kept"
    assert CALLS["after"] == 2


def test_the_code_of_an_inner_node_may_change(bench: Bench) -> None:
    graph = measuring()
    x(bench, graph)
    length = bench.registry.types["Length"]
    bench.registry.types["Length"] = replace(length, code="other")
    assert {step.id for step in bench.plan(graph).to_run} == {"measure/length", "measure/mix", "after"}
    bench.registry.types["Length"] = length
    assert bench.plan(graph).to_run == []


def test_a_kept_graph_that_no_longer_works_runs_again_and_fails(bench: Bench) -> None:
    graph = measuring()
    x(bench, graph)
    del bench.registry.types["Length"]
    planned = bench.plan(graph)
    actions = {node: step.action for node, step in planned.steps.items()}
    assert actions == {"measure": "run", "after": "may_run"}
    report = bench.run_plan(planned)
    problem = report.nodes["measure"].problem
    assert problem is not None
    assert (problem.code, problem.node) == ("unknown_type", "measure/length")
    assert report.nodes["after"].state == "skipped"


def test_an_input_that_another_step_makes_may_change(bench: Bench) -> None:
    def of(salt: int) -> Graph:
        nodes: dict[str, Any] = {
            "salt": ("Mix", {"salt": salt}),
            "measure": ("Measure", {"salt": {"from": "salt.out"}}),
            "after": ("Mix", {"a": {"from": "measure.out"}}),
        }
        return graph_of(nodes, {"x": "after.out"})

    assert [x(bench, of(salt)) for salt in (1, 2, 1, 2)] == [57, 66, 57, 66]
    assert CALLS["measure"] == CALLS["measure/length"] == CALLS["after"] == 2


def test_elements_that_return_graphs(bench: Bench, tmp_path: Path) -> None:
    graph = measuring(salt=[1, 2])
    assert x(bench, graph) == [57, 66]
    assert bench.plan(graph).to_run == []
    (tmp_path / "texts" / "a.txt").write_text("1234567")
    assert x(bench, graph) == [75, 84]
    assert CALLS["measure[0]"] == 1
    assert CALLS["measure[0]/length"] == CALLS["after[0]"] == 2


def test_a_result_that_an_inner_step_has_lost_is_computed_again(bench: Bench) -> None:
    graph = measuring()
    x(bench, graph)
    steps = bench.plan(graph).steps
    lost = {str(steps[node].key) for node in ("after", "measure/mix", "measure/length")}
    bench.store = Liar(bench.store, lost, forgets=False)
    assert bench.plan(graph).to_run == []
    assert x(bench, graph) == 48
    assert CALLS == {"measure": 1, "measure/length": 2, "measure/mix": 2, "after": 2}


def test_a_node_that_returns_a_graph_says_so(bench: Bench) -> None:
    report = bench.run(graph_of({"odd": ("Undeclared", {})}))
    problem = report.nodes["odd"].problem
    assert problem is not None
    assert (problem.code, problem.node) == ("bad_expansion", "odd")


def test_a_graph_with_a_value_that_is_not_json_fails(bench: Bench) -> None:
    class Odd(Node, returns_graph=True):
        """Put an object into a graph."""

        def run(self, ctx: Context) -> int:
            graph = Graph({"mix": Entry("Mix", {"a": Literal(object())})})  # type: ignore[arg-type]
            graph.outputs["out"] = From("mix", "out")
            return ctx.expand(graph)  # type: ignore[no-any-return]

    bench.registry.add(Odd)
    problem = bench.run(graph_of({"odd": ("Odd", {})})).nodes["odd"].problem
    assert problem is not None
    assert (problem.code, problem.node) == ("bad_expansion", "odd")


def test_a_node_on_the_accelerator_may_return_a_graph_with_others(bench: Bench) -> None:
    class Down(Node, accelerator=True, returns_graph=True):
        """Count down to zero, one step for each number."""

        number: int

        def run(self, ctx: Context) -> int:
            if not self.number:
                return 7
            graph = Graph({"next": Entry("Down", {"number": Literal(self.number - 1)})})
            graph.outputs["out"] = From("next", "out")
            return ctx.expand(graph)  # type: ignore[no-any-return]

    bench.registry.add(Down)
    report = bench.run(graph_of({"down": ("Down", {"number": 3})}))
    assert report.state == "done"
