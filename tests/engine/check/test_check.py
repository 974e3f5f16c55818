"""Every kind of problem, all at once, each with its place and a way out; and never an exception."""

from __future__ import annotations

from itertools import pairwise
from typing import Any

import networkx
import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.check.check import Checked, check
from engine.context import Context
from engine.document.graph import Graph, GraphInput, Literal
from engine.document.reader import from_json
from engine.errors import GraphError
from engine.node import Node
from engine.packs.registry import Registry
from engine.problem_list import MAX_PROBLEMS
from tests.engine.small_nodes import REGISTRY, graph_of


def found(checked: Checked) -> list[tuple[str, str | None, str | None]]:
    return [
        (problem.code, problem.node, problem.input)
        for problem in checked.problems
        if problem.severity == "error"
    ]


def test_check_reports_all_kinds_of_problems_at_once() -> None:
    tree = {
        "safelight": 1,
        "inputs": {
            "seed": {"type": "seed"},
            "mode": {"type": "choice", "choices": ["fast", 1], "default": True},
        },
        "outputs": {"a": {"from": "mixx.out"}, "b": {"from": "mix.outt"}},
        "nodes": {
            "unknown": {"type": "Mixx@1"},
            "newer": {"type": "Mix@2"},
            "mix": {"type": "Mix@1", "inputs": {"salty": 1, "a": {"from": "nowhere.out"}, "b": "text"}},
            "split": {"type": "Split"},
            "ranges": {"type": "Settings", "inputs": {"count": 0, "mode": "fats", "scale": True}},
            "wires": {"type": "TakeThing", "inputs": {"thing": {"from": "split.low"}, "other": "a thing"}},
            "params": {"type": "Mix", "inputs": {"a": {"param": "sead"}, "b": {"param": "seed"}}},
            "one": {"type": "Mix", "inputs": {"a": {"from": "two.out"}}},
            "two": {"type": "Mix", "inputs": {"a": {"from": "one.out"}}},
            "deaf": {"type": "Mix", "inputs": {"a": {"from": "unknown.out"}}},
            "good": {"type": "Mix", "inputs": {"a": 1}},
        },
    }
    checked = check(from_json(tree), REGISTRY, {"stray": 1})
    assert sorted(found(checked), key=str) == sorted(
        [
            ("unknown_param", None, None),
            ("missing_value", None, None),
            ("invalid_value", None, None),
            ("cycle", "one", None),
            ("unknown_type", "unknown", None),
            ("newer_type", "newer", None),
            ("unknown_input", "mix", "salty"),
            ("dangling_link", "mix", "a"),
            ("type_mismatch", "mix", "b"),
            ("missing_input", "split", "a"),
            ("out_of_range", "ranges", "count"),
            ("invalid_value", "ranges", "mode"),
            ("type_mismatch", "ranges", "scale"),
            ("type_mismatch", "wires", "thing"),
            ("type_mismatch", "wires", "other"),
            ("unknown_param", "params", "a"),
            ("dangling_link", None, None),
            ("dangling_link", None, None),
        ],
        key=str,
    )
    assert set(checked.steps) == {"good", "one", "two"}, "what is sound in itself, and nothing else, is bound"
    hints = {(problem.code, problem.place): problem.hint for problem in checked.problems}
    assert hints["unknown_type", "unknown"] == "did you mean Mix?"
    assert hints["out_of_range", "ranges.count"] == "use 1 to 150"
    assert hints["invalid_value", "ranges.mode"] == "did you mean fast?"
    assert hints["unknown_param", "params.a"] == "did you mean seed?"
    assert hints["unknown_input", "mix.salty"] == "did you mean salt?"
    assert all(problem.hint for problem in checked.problems if problem.code not in ("dangling_link", "cycle"))


@pytest.mark.parametrize(
    ("name", "value", "code"),
    [
        ("count", 151, "out_of_range"),
        ("count", 2.0, "type_mismatch"),
        ("count", True, "type_mismatch"),
        ("count", None, "type_mismatch"),
        ("scale", 10**400, "type_mismatch"),
        ("scale", float("nan"), "not_finite"),
        ("scale", float("inf"), "not_finite"),
        ("weights", [1, float("inf")], "not_finite"),
        ("weights", 1.0, "type_mismatch"),
        ("more", {"a": "b"}, "type_mismatch"),
        ("text", 1, "type_mismatch"),
        ("on", 0, "type_mismatch"),
    ],
)
def test_a_literal_that_does_not_fit(name: str, value: Any, code: str) -> None:
    checked = check(graph_of({"x": ("Settings", {name: {"value": value}})}), REGISTRY)
    assert found(checked) == [(code, "x", name)]
    assert checked.problems[0].hint


def test_a_value_of_the_graph_that_is_not_json() -> None:
    graph = from_json({"safelight": 1, "inputs": {"x": {"type": "json", "default": 1}}})
    for value in (float("nan"), [float("inf")], {1, 2}, object()):
        assert found(check(graph, REGISTRY, {"x": value})) == [("not_finite", None, None)]  # type: ignore[dict-item]


def test_a_choice_that_is_not_json_fits_nothing() -> None:
    graph = from_json(
        {"safelight": 1, "inputs": {"x": {"type": "choice", "choices": [float("inf"), 1], "default": 1}}}
    )
    assert found(check(graph, REGISTRY)) == []
    assert found(check(graph, REGISTRY, {"x": 2})) == [("invalid_value", None, None)]


def test_an_old_entry_is_upgraded_and_a_faulty_upgrade_is_a_problem() -> None:
    class Grown(Node, version=3):
        """Renamed an input, twice."""

        new: int

        @classmethod
        def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
            if version == 1:
                inputs["new"] = inputs.pop("old")
            if version == 2:
                inputs["new"] = 5
            return inputs

        def run(self, ctx: Context) -> int:
            return self.new

    registry = Registry([Grown])
    checked = check(graph_of({"x": ("Grown@1", {"old": 4}), "y": ("Grown@2", {})}), registry)
    assert [step.literals for step in checked.steps.values()] == [{"new": 4}, {"new": 5}]
    assert found(check(graph_of({"x": ("Grown@1", {})}), registry)) == [("bad_upgrade", "x", None)]

    class Careless(Node, version=2):
        """Gives an input a name that is none."""

        @classmethod
        def upgrade(cls, inputs: dict[str, Any], version: int) -> dict[str, Any]:
            return {7: 1}  # type: ignore[dict-item]

        def run(self, ctx: Context) -> int:
            return 0

    graph = graph_of({"x": ("Careless@1", {})})
    assert found(check(graph, Registry([Careless]))) == [("bad_upgrade", "x", None)]


@settings(max_examples=200, deadline=None)
@given(st.lists(st.tuples(st.integers(0, 7), st.integers(0, 7)), max_size=16))
def test_cycles_are_found_where_networkx_finds_them(wires: list[tuple[int, int]]) -> None:
    inputs: dict[int, dict[str, Any]] = {n: {} for n in range(8)}
    kept = []
    for source, into in wires:
        for name in ("a", "b"):
            if name not in inputs[into]:
                inputs[into][name] = {"from": f"n{source}.out"}
                kept.append((source, into))
                break
    graph = graph_of({f"n{n}": ("Mix", inputs[n]) for n in range(8)})
    oracle = networkx.DiGraph(kept)
    circles = [part for part in networkx.strongly_connected_components(oracle) if len(part) > 1]
    circles += [{node} for node, into in kept if node == into and [node] not in map(list, circles)]
    on_circle = {f"n{node}" for part in circles for node in part}
    checked = check(graph, REGISTRY)
    reported = [problem.message.partition(": ")[2].split(" → ") for problem in checked.problems]
    assert {path[0] for path in reported} <= on_circle
    assert (not on_circle) == checked.ok
    for path in reported:
        assert path[0] == path[-1]
        for one, other in pairwise(path):
            assert oracle.has_edge(int(one[1:]), int(other[1:]))
    order = list(checked.steps)
    assert set(order) == set(graph.nodes)
    for n, node in enumerate(order):
        parents = {link.node for link in checked.steps[node].links.values()}
        assert node in on_circle or parents <= set(order[:n])


names = st.sampled_from(["a", "b", "n0", "n1", "out", "low", "thing", "count", "scale", "mode", "x", "", "é"])
leaves = st.none() | st.booleans() | st.integers() | st.floats() | st.text(max_size=5)
literals: st.SearchStrategy[Any] = st.recursive(
    leaves,
    lambda inner: st.lists(inner, max_size=2) | st.dictionaries(names, inner, max_size=2),
    max_leaves=4,
)
bindings = (
    literals
    | st.builds(lambda node, output: {"from": f"{node}.{output}"}, names, names)
    | st.builds(lambda name: {"param": name}, names)
    | st.builds(lambda value: {"value": value}, literals)
)
kinds = st.sampled_from(
    [*REGISTRY.types, "Mix@1", "Mix@2", "Mixx", "Settings@1", "./x.json", "TakeThing@999999"]
)
documents = st.fixed_dictionaries(
    {
        "safelight": st.just(1),
        "nodes": st.dictionaries(
            names,
            st.fixed_dictionaries({"type": kinds, "inputs": st.dictionaries(names, bindings)}),
            max_size=5,
        ),
        "inputs": st.dictionaries(
            names,
            st.builds(
                lambda kind, default, choices: {
                    "type": kind,
                    "default": default,
                    **({"choices": choices} if kind == "choice" else {}),
                },
                st.sampled_from(["text", "seed", "int", "float", "bool", "choice", "file", "json"]),
                literals,
                st.lists(literals, min_size=1, max_size=2),
            ),
            max_size=3,
        ),
        "outputs": st.dictionaries(
            names, st.builds(lambda node, output: {"from": f"{node}.{output}"}, names, names), max_size=2
        ),
    }
)


@settings(max_examples=500, deadline=None)
@given(documents, st.dictionaries(names, literals, max_size=2))
def test_check_never_raises(tree: Any, values: dict[str, Any]) -> None:
    try:
        graph = from_json(tree)
    except GraphError:
        return
    checked = check(graph, REGISTRY, values)
    for problem in checked.problems:
        assert problem.code
        assert problem.message
        assert len(str(problem)) < 1000
    for name, step in checked.steps.items():  # a node is bound if and only if it can be built
        assert not [problem for problem in checked.problems if problem.node == name], problem
        if not step.links and step.lift is None:
            step.type.cls(**step.literals)


def test_problems_beyond_the_limit_are_only_counted() -> None:
    nodes = {f"n{n}": ("Mix", {"a": {"from": f"m{n}.out"}, "c": 1}) for n in range(5000)}
    problems = check(graph_of(nodes), REGISTRY).problems
    assert len(problems) == MAX_PROBLEMS + 1
    assert {problem.code for problem in problems[:-1]} == {"dangling_link", "unknown_input"}
    assert problems[-1].message == f"and {10_000 - MAX_PROBLEMS:,} more problems"
    nodes = {f"n{n}": ("Mix", {"c": 1}) for n in range(MAX_PROBLEMS)}
    assert {problem.code for problem in check(graph_of(nodes), REGISTRY).problems} == {"unknown_input"}


def test_an_empty_graph_is_sound() -> None:
    assert check(Graph(), REGISTRY).ok


def test_a_value_for_an_input_that_no_node_uses_is_a_warning() -> None:
    inputs = {"steps": GraphInput("int", 3, False)}
    graph = graph_of({"mix": ("Mix", {"a": {"param": "steps"}})}, inputs=inputs)
    assert check(graph, REGISTRY).problems == []
    graph.nodes["mix"].inputs["a"] = Literal(5)
    assert check(graph, REGISTRY).problems == [], "nobody gave it a value"
    (problem,) = check(graph, REGISTRY, {"steps": 4}).problems
    assert (problem.code, problem.severity) == ("unused_input", "warning")
    assert "'steps'" in problem.message
