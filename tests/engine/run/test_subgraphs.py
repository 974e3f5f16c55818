"""Graphs as nodes, nodes that are off, and nodes that return graphs."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.check import check as checking
from engine.check.bundle import bundled
from engine.context import Context
from engine.document import reader, writer
from engine.document.graph import Entry, From, Graph, GraphInput, Literal, Param
from engine.document.reader import from_json
from engine.errors import GraphError
from engine.node import Node
from engine.packs.registry import Registry
from engine.sources.source import subgraph_reader
from tests.engine.run.wide_nodes import WIDE
from tests.engine.small_nodes import CALLS, Bench, called


class Sneaky(Node, returns_graph=True):
    """Return a graph with side effects, or lacks an output, or never ends."""

    how: str

    def run(self, ctx: Context) -> int:
        called(ctx)
        graph = Graph()
        match self.how:
            case "ping" | "pong":
                other = "pong" if self.how == "ping" else "ping"
                graph.nodes["more"] = Entry("Sneaky", {"how": Literal(other)})
                graph.outputs["out"] = From("more", "out")
            case "acts":
                graph.nodes["act"] = Entry("Act", {})
                graph.outputs["out"] = From("act", "out")
            case "endless":
                graph.nodes["more"] = Entry("Sneaky", {"how": Param("how")})
                graph.outputs["out"] = From("more", "out")
            case "other":
                graph.nodes["thing"] = Entry("MakeThing", {})
                graph.outputs["out"] = From("thing", "out")
            case "wrong":
                graph.nodes["mix"] = Entry("Mix", {"a": Literal("one")})
                graph.outputs["out"] = From("mix", "out")
        return ctx.expand(graph)  # type: ignore[no-any-return]


MORE: list[Any] = [*(kind.cls for kind in WIDE.types.values()), Sneaky]
REGISTRY = Registry(MORE)


@pytest.fixture
def bench() -> Bench:
    CALLS.clear()
    return Bench(registry=REGISTRY)


TWICE: dict[str, Any] = {
    "inputs": {"x": {"type": "int"}, "salt": {"type": "int", "default": 1}},
    "outputs": {"out": {"from": "double.out"}, "half": {"from": "mix.out"}},
    "passes": {"out": "x"},
    "nodes": {
        "mix": {"type": "Mix", "inputs": {"a": {"param": "x"}, "salt": {"param": "salt"}}},
        "double": {"type": "Double", "inputs": {"x": {"from": "mix.out"}}},
    },
}


def using(kind: str, more: dict[str, Any] | None = None, **inputs: Any) -> dict[str, Any]:
    return {
        "safelight": 1,
        "outputs": {"out": {"from": "after.out"}},
        "nodes": {
            "before": {"type": "Mix", "inputs": {"a": 2}},
            "twice": {"type": kind, "inputs": {"x": {"from": "before.out"}, **inputs}, **(more or {})},
            "after": {"type": "Mix", "inputs": {"a": {"from": "twice.out"}}},
        },
        "graphs": {"twice": TWICE},
    }


def codes(graph: Graph, registry: Registry = REGISTRY) -> list[tuple[str, str | None]]:
    return [(problem.code, problem.node) for problem in checking.check(graph, registry).problems]


def test_a_graph_is_a_node(bench: Bench) -> None:
    report = bench.run(from_json(using("#twice")))
    assert report.outputs["out"].meta == 3 * 2 * (3 * 6 + 1)
    assert set(report.nodes) == {"before", "twice/mix", "twice/double", "after"}


def test_its_steps_have_the_keys_that_they_would_have_outside(bench: Bench) -> None:
    inside = bench.plan(from_json(using("#twice", salt=5))).steps
    flat = from_json(
        {
            "safelight": 1,
            "outputs": {"out": {"from": "after.out"}},
            "nodes": {
                "before": {"type": "Mix", "inputs": {"a": 2}},
                "mix": {"type": "Mix", "inputs": {"a": {"from": "before.out"}, "salt": 5}},
                "double": {"type": "Double", "inputs": {"x": {"from": "mix.out"}}},
                "after": {"type": "Mix", "inputs": {"a": {"from": "double.out"}}},
            },
        }
    )
    outside = bench.plan(flat).steps
    assert inside["twice/mix"].key == outside["mix"].key
    assert inside["after"].key == outside["after"].key


def test_a_target_may_be_a_subgraph_or_a_node_in_it(bench: Bench) -> None:
    graph = from_json(using("#twice"))
    assert set(bench.plan(graph, ["twice"]).steps) == {"before", "twice/mix", "twice/double"}
    assert set(bench.plan(graph, ["twice/mix"]).steps) == {"before", "twice/mix"}
    with pytest.raises(GraphError, match="twice/mixx"):
        bench.plan(graph, ["twice/mixx"])


def test_lists_go_through_a_subgraph(bench: Bench) -> None:
    graph = from_json(using("#twice", salt=[1, 2]))
    assert bench.run(graph).outputs["out"].meta == [6 * 19, 6 * 20]


def test_a_lift_that_has_no_effect_is_told() -> None:
    graph = Graph(graphs={"twice": from_json({"safelight": 1, **TWICE})})
    graph.nodes["a"] = Entry("#twice", {"x": Literal([1, 2]), "salt": Literal([3, 4])}, lift="cross")
    (problem,) = checking.check(graph, REGISTRY).problems
    assert (problem.code, problem.node, problem.severity) == ("no_lift", "a", "warning")


def test_problems_in_a_subgraph_name_the_inner_node() -> None:
    tree = using("#twice")
    tree["graphs"]["twice"] = {**TWICE, "nodes": {**TWICE["nodes"], "bad": {"type": "Nothing"}}}
    assert codes(from_json(tree)) == [("unknown_type", "twice/bad")]


def test_problems_of_subgraph_inputs_name_the_outer_node() -> None:
    tree = using("#twice", salt="much", extra=1)
    del tree["nodes"]["twice"]["inputs"]["x"]
    assert sorted(codes(from_json(tree)), key=str) == [
        ("invalid_value", "twice"),
        ("missing_input", "twice"),
        ("unknown_input", "twice"),
    ]
    tree = using("#twice")
    tree["nodes"]["after"]["inputs"]["a"] = {"from": "twice.quarter"}
    assert codes(from_json(tree)) == [("dangling_link", "after")]
    assert codes(from_json(using("#thrice"))) == [("unknown_type", "twice"), ("is_off", "after")][:1]


def test_a_failure_inside_names_the_inner_node(bench: Bench) -> None:
    tree = using("#twice")
    tree["graphs"]["twice"]["nodes"]["double"]["type"] = "Broken"
    tree["graphs"]["twice"]["nodes"]["double"]["inputs"] = {"a": {"from": "mix.out"}}
    try:
        report = bench.run(from_json(tree))
    finally:
        tree["graphs"]["twice"]["nodes"]["double"].update(type="Double", inputs={"x": {"from": "mix.out"}})
    problem = report.nodes["twice/double"].problem
    assert problem is not None
    assert problem.node == "twice/double"
    assert report.nodes["after"].reason == "twice/double failed"


def test_a_graph_that_contains_itself_is_a_problem_with_the_path(tmp_path: Path) -> None:
    inner = {**TWICE, "nodes": {**TWICE["nodes"], "again": {"type": "./one.json", "inputs": {"x": 1}}}}
    (tmp_path / "two.json").write_text(writer.dump(from_json({"safelight": 1, **inner})))
    one = {"nodes": {"two": {"type": "./two.json", "inputs": {"x": 1}}}, "inputs": {"x": {"type": "int"}}}
    (tmp_path / "one.json").write_text(writer.dump(from_json({"safelight": 1, **one})))
    read = subgraph_reader(tmp_path, local=True)
    graph = from_json({"safelight": 1, "nodes": {"start": {"type": "./one.json", "inputs": {"x": 1}}}})
    (problem,) = checking.check(graph, REGISTRY, None, read).problems
    assert (problem.code, problem.node) == ("recursion", "start/two/again")
    assert "./one.json → ./two.json → ./one.json" in problem.message
    own = from_json(
        {"safelight": 1, "graphs": {"a": {"nodes": {"b": {"type": "#a"}}}}, "nodes": {"n": {"type": "#a"}}}
    )
    assert codes(own) == [("recursion", "n/b")]


def test_a_graph_in_a_file_is_found_beside_the_graph_that_names_it(bench: Bench, tmp_path: Path) -> None:
    folder = tmp_path / "parts"
    folder.mkdir()
    part = from_json({"safelight": 1, **TWICE})
    (folder / "twice.json").write_text(writer.dump(part))
    graph = from_json(using("./parts/twice.json"))
    read = subgraph_reader(tmp_path, local=True)
    checked = checking.check(graph, REGISTRY, None, read)
    assert not checked.problems
    assert {"twice/mix", "twice/double"} <= checked.steps.keys()
    (missing,) = checking.check(from_json(using("./parts/twize.json")), REGISTRY, None, read).problems[:1]
    assert missing.code == "missing_graph"
    assert missing.hint == "did you mean ./parts/twice.json?"

    whole = bundled(graph, read)
    assert reader.parse(writer.dump(whole)) == whole
    assert bench.run(whole).outputs["out"].meta == bench.run(from_json(using("#twice"))).outputs["out"].meta


@pytest.mark.parametrize("name", ["../secret.json", "./parts/../../secret.json", "./link/secret.json"])
def test_no_graph_outside_the_folder_is_read_for_a_client(tmp_path: Path, name: str) -> None:
    (tmp_path / "secret.json").write_text(writer.dump(from_json({"safelight": 1, **TWICE})))
    root = tmp_path / "graphs"
    (root / "parts").mkdir(parents=True)
    (root / "link").symlink_to(tmp_path)
    problems = checking.check(
        from_json(using(name)), REGISTRY, None, subgraph_reader(root, local=False)
    ).problems
    assert problems[0].code == "forbidden"
    assert not checking.check(
        from_json(using("../secret.json")), REGISTRY, None, subgraph_reader(root, True)
    ).problems


def test_a_graph_that_takes_values_is_for_use_inside_others() -> None:
    tree = {
        "safelight": 1,
        "inputs": {"thing": {"type": "SmallThing"}},
        "nodes": {"take": {"type": "TakeThing", "inputs": {"thing": {"param": "thing"}}}},
        "outputs": {"name": {"from": "take.out"}},
    }
    assert [problem[0] for problem in codes(from_json(tree))] == ["needs_wire"]
    inner = {key: value for key, value in tree.items() if key != "safelight"}
    around = {
        "safelight": 1,
        "graphs": {"take": inner},
        "nodes": {
            "make": {"type": "MakeThing"},
            "taken": {"type": "#take", "inputs": {"thing": {"from": "make.out"}}},
        },
        "outputs": {"name": {"from": "taken.name"}},
    }
    assert codes(from_json(around)) == []


def test_too_deep_and_too_large_is_refused() -> None:
    deep: dict[str, Any] = {"nodes": {"n": {"type": "Mix"}}}
    for _ in range(14):
        deep = {"graphs": {"g": deep}, "nodes": {"n": {"type": "#g"}}}
    assert codes(from_json({"safelight": 1, **deep})) == []
    wide: dict[str, Any] = {"nodes": {f"n{n}": {"type": "Mix"} for n in range(100)}}
    for _ in range(3):
        wide = {"graphs": {"g": wide}, "nodes": {f"n{n}": {"type": "#g"} for n in range(100)}}
    assert codes(from_json({"safelight": 1, **wide})) == [("too_many", None)]


# Off.


def test_a_node_that_is_off_hands_on_what_it_is_given(bench: Bench) -> None:
    graph = from_json(using("Double", {"off": True}))
    assert bench.run(graph).outputs["out"].meta == 3 * 6
    assert CALLS["twice"] == 0
    bypassed = bench.plan(graph).steps["after"].key
    graph.nodes["after"].inputs["a"] = From("before", "out")
    del graph.nodes["twice"]
    assert bench.plan(graph).steps["after"].key == bypassed, "as if it were not there"


def test_a_subgraph_that_is_off_hands_on_what_it_says(bench: Bench) -> None:
    assert bench.run(from_json(using("#twice", {"off": True}))).outputs["out"].meta == 3 * 6


def test_off_after_off_and_off_with_a_literal(bench: Bench) -> None:
    tree = using("Double", {"off": True}, x=5)
    tree["nodes"]["more"] = {"type": "Double", "off": True, "inputs": {"x": {"from": "twice.out"}}}
    tree["nodes"]["after"]["inputs"]["a"] = {"from": "more.out"}
    assert bench.run(from_json(tree)).outputs["out"].meta == 15


def test_off_without_anything_to_hand_on_is_a_problem_where_it_is_needed() -> None:
    tree = using("Split", {"off": True})
    tree["nodes"]["twice"]["inputs"] = {"a": 1}
    tree["nodes"]["after"]["inputs"]["a"] = {"from": "twice.low"}
    assert codes(from_json(tree)) == [("is_off", "after")]
    tree["outputs"]["low"] = {"from": "twice.low"}
    tree["nodes"]["after"]["inputs"] = {}
    assert codes(from_json(tree)) == [("is_off", None)]


def test_an_unknown_node_that_is_off_harms_nothing() -> None:
    tree = using("Mix")
    tree["nodes"]["twice"]["inputs"] = {"a": 1}
    tree["nodes"]["lost"] = {"type": "NotInstalled@3", "off": True, "inputs": {"x": 1}}
    assert codes(from_json(tree)) == []


def test_a_circle_of_nodes_that_are_off_is_no_endless_loop() -> None:
    tree = using("Double", {"off": True}, x={"from": "more.out"})
    tree["nodes"]["more"] = {"type": "Double", "off": True, "inputs": {"x": {"from": "twice.out"}}}
    assert [code for code, _ in codes(from_json(tree))] == ["cycle"]


# Graphs that nodes return.


def test_a_loop_is_made_of_graphs_that_nodes_return(bench: Bench) -> None:
    tree = using("Again", times=3)
    report = bench.run(from_json(tree))
    assert report.outputs["out"].meta == 3 * 6 * 2**3
    assert report.nodes["twice/more/more/once"].state == "done"
    CALLS.clear()
    assert bench.run(from_json(using("Again", times=4))).outputs["out"].meta == 3 * 6 * 2**4
    assert sum(count for node, count in CALLS.items() if node.endswith("once")) == 1, (
        "three are there already"
    )
    CALLS.clear()
    bench.run(from_json(using("Again", times=4)))
    assert not CALLS


def test_an_expanded_step_has_the_key_that_it_would_have_outside(bench: Bench) -> None:
    planned = bench.plan(from_json(using("Again", times=1)))
    bench.run_plan(planned)
    outside = bench.plan(from_json(using("Double")))
    assert planned.steps["twice/once"].key == outside.steps["twice"].key


@pytest.mark.parametrize(
    ("how", "code"),
    [
        ("acts", "bad_expansion"),
        ("other", "bad_expansion"),
        ("none", "bad_expansion"),
        ("endless", "recursion"),
    ],
)
def test_a_returned_graph_that_cannot_be_is_a_failure_of_its_node(bench: Bench, how: str, code: str) -> None:
    report = bench.run(
        from_json({"safelight": 1, "nodes": {"n": {"type": "Sneaky", "inputs": {"how": how}}}})
    )
    assert report.state == "failed"
    found = [told.problem for told in report.nodes.values() if told.problem is not None]
    assert [problem.code for problem in found] == [code]


def test_graphs_within_graphs_end_somewhere(bench: Bench) -> None:
    report = bench.run(from_json(using("Again", times=65)))
    (problem,) = [told.problem for told in report.nodes.values() if told.problem is not None]
    assert problem.code == "too_deep"
    assert bench.run(from_json(using("Again", times=64))).state == "done"


@pytest.mark.parametrize("workers", [1, 4])
def test_graphs_that_come_down_to_one_another_fail(workers: int) -> None:
    """Each of the two waits for the other, and what is beside them is done."""
    CALLS.clear()
    graph = Graph(outputs={"ping": From("ping", "out"), "beside": From("beside", "out")})
    graph.nodes["ping"] = Entry("Sneaky", {"how": Literal("ping")})
    graph.nodes["pong"] = Entry("Sneaky", {"how": Literal("pong")})
    graph.nodes["beside"] = Entry("Double", {"x": From("pong", "out")})
    graph.nodes["apart"] = Entry("Double", {"x": Literal(4)})
    graph.outputs["apart"] = From("apart", "out")
    report = Bench(registry=REGISTRY, workers=workers).run(graph)
    assert report.state == "failed"
    assert {node: told.state for node, told in report.nodes.items() if told.problem} == {
        "ping": "failed",
        "pong/more": "failed",
    }
    problem = report.nodes["ping"].problem
    assert problem is not None
    assert problem.code == "recursion"
    assert {name: packed.meta for name, packed in report.outputs.items()} == {"apart": 8}
    assert CALLS == {"ping": 1, "pong": 1, "apart": 1}


def test_problems_in_a_returned_graph_name_its_node(bench: Bench) -> None:
    report = bench.run(
        from_json({"safelight": 1, "nodes": {"n": {"type": "Sneaky", "inputs": {"how": "wrong"}}}})
    )
    problem = report.nodes["n"].problem
    assert problem is not None
    assert (problem.node, problem.input, problem.code) == ("n/mix", "a", "type_mismatch")


def test_a_graph_input_of_its_own_type_is_checked() -> None:
    graph = from_json(using("#twice"))
    graph.inputs["x"] = GraphInput("int", 3, False)
    graph.nodes["twice"].inputs["x"] = Param("x")
    assert codes(graph) == []
