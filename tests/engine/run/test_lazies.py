"""What a lazy input leads to runs only when it is asked for."""

from __future__ import annotations

from typing import Any

import pytest

from engine.context import Context
from engine.document.graph import From, Graph, GraphInput
from engine.errors import GraphError
from engine.lazy import Lazy
from engine.node import Node
from engine.packs.registry import Registry
from tests.engine.run.wide_nodes import WIDE
from tests.engine.small_nodes import CALLS, Bench, called, graph_of


class Forgetful(Node):
    """Read what it did not ask for."""

    x: Lazy[int]

    def asks(self) -> list[str]:
        return []

    def run(self, ctx: Context) -> int:
        called(ctx)
        return self.x.get()


class Strange(Node):
    """Ask for what there is not."""

    x: Lazy[int]

    def asks(self) -> list[str]:
        return ["y"]

    def run(self, ctx: Context) -> int:
        return 0


MORE: list[Any] = [*(kind.cls for kind in WIDE.types.values()), Forgetful, Strange]


@pytest.fixture
def bench() -> Bench:
    CALLS.clear()
    return Bench(registry=Registry(MORE))


def choosing(which: object) -> Graph:
    return graph_of(
        {
            "one": ("Mix", {"a": 1}),
            "far": ("Mix", {"a": 7}),
            "two": ("Double", {"x": {"from": "far.out"}}),
            "switch": ("Switch", {"which": which, "a": {"from": "one.out"}, "b": {"from": "two.out"}}),
        },
        {"out": "switch.out"},
        {"which": GraphInput("bool", True, False)},
    )


def test_a_branch_that_is_not_taken_is_not_planned(bench: Bench) -> None:
    planned = bench.plan(choosing({"param": "which"}))
    assert set(planned.steps) == {"one", "switch"}
    assert bench.run_plan(planned).outputs["out"].meta == 3
    other = bench.plan(choosing({"param": "which"}), values={"which": False})
    assert set(other.steps) == {"far", "two", "switch"}
    assert bench.run_plan(other).outputs["out"].meta == 42


@pytest.mark.parametrize(("number", "expected", "ran"), [(2, 3, "one"), (3, 42, "two")])
def test_a_choice_that_is_made_while_it_runs(bench: Bench, number: int, expected: int, ran: str) -> None:
    graph = choosing({"from": "even.out"})
    graph.nodes["even"] = graph_of({"even": ("Even", {"x": number})}).nodes["even"]
    report = bench.run(graph)
    assert report.outputs["out"].meta == expected
    assert (CALLS["one"], CALLS["two"]) == (int(ran == "one"), int(ran == "two"))
    left = "two" if ran == "one" else "one"
    assert report.nodes[left].state == "skipped"
    assert report.nodes[left].reason == "runs only if a lazy input needs it"
    CALLS.clear()
    assert bench.run(graph).outputs["out"].meta == expected
    assert not CALLS


def test_a_branch_that_is_not_taken_has_no_part_in_the_key(bench: Bench) -> None:
    first = bench.plan(choosing(True)).steps["switch"].key
    graph = choosing(True)
    graph.nodes["far"].inputs["a"] = graph_of({"x": ("Mix", {"a": 8})}).nodes["x"].inputs["a"]
    assert bench.plan(graph).steps["switch"].key == first
    graph.nodes["one"].inputs["a"] = graph.nodes["far"].inputs["a"]
    assert bench.plan(graph).steps["switch"].key != first


def test_a_branch_that_fails_fails_only_when_it_is_taken(bench: Bench) -> None:
    graph = choosing({"param": "which"})
    graph.nodes["two"].type = "Fragile"
    graph.nodes["far"].inputs["a"] = graph_of({"x": ("Mix", {"a": 1})}).nodes["x"].inputs["a"]
    assert bench.run(graph).state == "done"
    report = bench.run(graph, values={"which": False})
    assert report.nodes["two"].state == "failed"
    assert report.nodes["switch"].state == "skipped"


def test_both_sides_have_one_type(bench: Bench) -> None:
    graph = choosing(True)
    graph.nodes["two"].type = "Even"
    (problem,) = [problem for problem in bench.problems(graph) if problem.severity == "error"]
    assert (problem.code, problem.node, problem.input) == ("type_mismatch", "switch", "b")
    assert "int" in problem.message
    assert "bool" in problem.message


def test_a_list_of_choices_chooses_for_each(bench: Bench) -> None:
    report = bench.run(choosing([True, False, True]))
    assert report.outputs["out"].meta == [3, 42, 3]
    assert CALLS["switch[2]"] == 0, "equal to the first"


def test_reading_a_lazy_input_that_was_not_asked_for_fails(bench: Bench) -> None:
    report = bench.run(graph_of({"n": ("Forgetful", {"x": 3})}, {"o": "n.out"}))
    problem = report.nodes["n"].problem
    assert problem is not None
    assert problem.code == "not_asked"
    with pytest.raises(GraphError, match="asks"):
        bench.run(graph_of({"n": ("Strange", {"x": 3})}, {"o": "n.out"}))


@pytest.mark.parametrize("through", ["act.out", "double.out"])
def test_an_impure_node_runs_once_even_if_asked_for_late(bench: Bench, through: str) -> None:
    """A result that nobody but a lazy input may still take is kept for it."""
    nodes: dict[str, Any] = {
        "act": ("Act", {"a": 1}),
        "even": ("Even", {"x": {"from": "act.out"}}),
        "switch": (
            "Switch",
            {"which": {"from": "even.out"}, "a": {"from": through}, "b": {"from": "act.out"}},
        ),
        "double": ("Double", {"x": {"from": "act.out"}}),
    }
    report = bench.run(graph_of(nodes, {"out": "switch.out"}), targets=["switch"])
    assert report.outputs["out"].meta == (4 if through == "double.out" else 2)
    assert max(CALLS.values()) == 1
    assert CALLS["act"] == 1


def actions(bench: Bench, graph: Graph) -> dict[str, str]:
    return {node: step.action for node, step in bench.plan(graph).steps.items()}


def test_a_plan_says_which_steps_may_run(bench: Bench) -> None:
    graph = choosing({"from": "even.out"})
    graph.nodes["even"] = graph_of({"even": ("Even", {"x": 2})}).nodes["even"]
    graph.nodes["after"] = graph_of({"after": ("Double", {"x": {"from": "switch.out"}})}).nodes["after"]
    graph.outputs["after"] = From("after", "out")
    branches = dict.fromkeys(["one", "far", "two"], "may_run")
    late = dict.fromkeys(["switch", "after"], "may_run")
    assert actions(bench, graph) == {**branches, **late, "even": "run"}
    bench.run(graph)
    assert actions(bench, graph) == {**branches, "one": "reuse", **late, "even": "reuse"}
    CALLS.clear()
    bench.run(graph)
    assert not CALLS, "all that may run turned out to be there"


def test_a_step_that_another_needs_for_certain_runs(bench: Bench) -> None:
    graph = choosing({"from": "even.out"})
    graph.nodes["even"] = graph_of({"even": ("Even", {"x": {"from": "far.out"}})}).nodes["even"]
    assert actions(bench, graph) == {
        "one": "may_run",
        "far": "run",
        "even": "run",
        "two": "may_run",
        "switch": "may_run",
    }


@pytest.mark.parametrize("which", [True, False, "even"])
@pytest.mark.parametrize("between", [True, False])
def test_an_impure_node_runs_only_if_its_branch_is_taken(bench: Bench, which: Any, between: bool) -> None:
    nodes: dict[str, Any] = {
        "even": ("Even", {"x": 3}),
        "act": ("Act", {"a": 1}),
        "double": ("Double", {"x": {"from": "act.out"}}),
        "other": ("Act", {"a": 2}),
        "switch": (
            "Switch",
            {
                "which": {"from": "even.out"} if which == "even" else which,
                "a": {"from": "double.out" if between else "act.out"},
                "b": {"from": "other.out"},
            },
        ),
    }
    if not between:
        del nodes["double"]
    report = bench.run(graph_of(nodes, {"out": "switch.out"}))
    taken = which is True
    assert report.outputs["out"].meta == ((4 if between else 2) if taken else 3)
    assert (CALLS["act"], CALLS["other"]) == (int(taken), int(not taken))
    nodes["end"] = ("Act", {"a": {"from": "act.out"}})
    CALLS.clear()
    bench.run(graph_of(nodes, {"out": "switch.out"}))
    assert CALLS["act"] == CALLS["end"] == 1, "another node needs it in any case"
