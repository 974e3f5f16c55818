"""Nodes that take one thing go through lists of it, each element on its own."""

from __future__ import annotations

from collections import Counter
from collections.abc import Mapping
from dataclasses import replace
from types import ModuleType
from typing import Any

import pytest

from engine.check import literals
from engine.context import Context
from engine.document import reader, writer
from engine.document.graph import Graph, GraphInput, Literal
from engine.document.sweep import Sweep
from engine.errors import GraphError
from engine.node import Node
from engine.packs.registry import Registry
from engine.plan import known_lists
from engine.run.report import Report
from tests.engine.run.test_run_random import Liar
from tests.engine.run.wide_nodes import WIDE
from tests.engine.small_nodes import CALLS, Bench, graph_of


@pytest.fixture
def bench() -> Bench:
    CALLS.clear()
    return Bench(registry=WIDE)


def results(report: Report) -> dict[str, Any]:
    return {name: packed.meta for name, packed in report.outputs.items()}


def mixed(inputs: Mapping[str, Any], **more: Any) -> Graph:
    nodes = {"mix": ("Mix", inputs), "double": ("Double", {"x": {"from": "mix.out"}})}
    return graph_of({**nodes, **more}, {"out": "double.out"})


def problems(bench: Bench, graph: Graph) -> list[tuple[str, str | None, str]]:
    return [(problem.code, problem.node, problem.message) for problem in bench.problems(graph)]


def test_a_list_runs_the_node_per_element(bench: Bench) -> None:
    report = bench.run(mixed({"a": [1, 2, 3]}))
    assert results(report) == {"out": [6, 12, 18]}
    assert {node: told.state for node, told in report.nodes.items() if "[" not in node} == {
        "mix": "done",
        "double": "done",
    }


def test_one_more_element_computes_one_element(bench: Bench) -> None:
    bench.run(mixed({"a": [1, 2, 3]}))
    CALLS.clear()
    assert results(bench.run(mixed({"a": [3, 1, 9, 2]}))) == {"out": [18, 6, 54, 12]}
    assert CALLS == {"mix[2]": 1, "double[2]": 1}


def test_an_element_has_the_key_that_it_has_alone(bench: Bench) -> None:
    bench.run(mixed({"a": 2}))
    CALLS.clear()
    bench.run(mixed({"a": [1, 2]}))
    assert CALLS == {"mix[0]": 1, "double[0]": 1}


def test_equal_elements_are_computed_once(bench: Bench) -> None:
    assert results(bench.run(mixed({"a": [5, 5, 5]}))) == {"out": [30, 30, 30]}
    assert CALLS == {"mix[0]": 1, "double[0]": 1}


def test_an_empty_list_makes_an_empty_list(bench: Bench) -> None:
    report = bench.run(mixed({"a": []}))
    assert results(report) == {"out": []}
    assert report.state == "done"
    assert not CALLS


def test_two_lists_go_side_by_side(bench: Bench) -> None:
    assert results(bench.run(mixed({"a": [1, 2], "b": [10, 20], "salt": 1}))) == {"out": [108, 214]}


def test_lists_of_different_lengths_are_a_problem_that_names_both(bench: Bench) -> None:
    ((code, node, message),) = problems(bench, mixed({"a": [1, 2, 3], "b": [10, 20]}))
    assert (code, node) == ("uneven_lists", "mix")
    assert "'a' has 3 elements and 'b' has 2" in message


def test_lists_cross_on_request(bench: Bench) -> None:
    graph = mixed({"a": [1, 2, 3], "b": [10, 20]})
    graph.nodes["mix"].lift = "cross"
    assert results(bench.run(graph)) == {"out": [[2 * (3 * a + 5 * b) for b in (10, 20)] for a in (1, 2, 3)]}


def test_lists_that_crossed_stay_aligned(bench: Bench) -> None:
    """What was crossed with a list goes side by side with it, whichever comes first."""
    rows = {"rows": ("Double", {"x": [1, 2]})}
    graph = mixed({"a": {"from": "rows.out"}, "b": [10, 20, 30]}, **rows)
    graph.nodes["mix"].lift = "cross"
    graph.nodes["double"].type = "Mix"
    graph.nodes["double"].lift = "cross"
    graph.nodes["double"].inputs = {
        "a": graph.nodes["double"].inputs["x"],
        "b": graph.nodes["mix"].inputs["a"],
    }
    expected = [[3 * (3 * row + 5 * b) + 5 * row for b in (10, 20, 30)] for row in (2, 4)]
    assert results(bench.run(graph)) == {"out": expected}


def test_a_list_does_not_cross_itself_and_a_warning_says_so(bench: Bench) -> None:
    rows = ("Double", {"x": [1, 2]})
    graph = mixed({"a": {"from": "rows.out"}, "b": {"from": "rows.out"}}, rows=rows)
    graph.nodes["mix"].lift = "cross"
    (warning,) = bench.problems(graph)
    assert (warning.code, warning.node, warning.severity) == ("no_lift", "mix", "warning")
    assert results(bench.run(graph)) == {"out": [2 * 8 * row for row in (2, 4)]}
    twice = mixed({"a": {"from": "rows.out"}, "b": {"from": "again.out"}}, rows=rows, again=rows)
    twice.nodes["mix"].lift = "cross"
    assert bench.problems(twice) == []
    assert results(bench.run(twice)) == {"out": [[2 * (3 * a + 5 * b) for b in (2, 4)] for a in (2, 4)]}


def test_nested_lists_keep_their_shape(bench: Bench) -> None:
    assert results(bench.run(mixed({"a": [[1, 2], [3], []]}))) == {"out": [[6, 12], [18], []]}


def test_an_input_that_takes_a_list_gathers(bench: Bench) -> None:
    graph = graph_of(
        {"double": ("Double", {"x": [1, 2, 3]}), "sum": ("Sum", {"xs": {"from": "double.out"}})},
        {"sum": "sum.out"},
    )
    assert results(bench.run(graph)) == {"sum": 12}
    nested = graph_of(
        {"double": ("Double", {"x": [[1, 2], [3]]}), "sum": ("Sum", {"xs": {"from": "double.out"}})},
        {"sum": "sum.out"},
    )
    assert results(bench.run(nested)) == {"sum": [6, 6]}


def test_a_single_thing_becomes_a_list_of_one_where_a_list_is_taken(bench: Bench) -> None:
    graph = graph_of(
        {"one": ("Double", {"x": 4}), "sum": ("Sum", {"xs": {"from": "one.out"}})}, {"s": "sum.out"}
    )
    assert results(bench.run(graph)) == {"s": 8}


def test_a_list_that_is_made_is_gone_through(bench: Bench) -> None:
    graph = graph_of(
        {
            "upto": ("Upto", {"n": 3}),
            "double": ("Double", {"x": {"from": "upto.out"}}),
            "sum": ("Sum", {"xs": {"from": "double.out"}}),
        },
        {"doubles": "double.out", "sum": "sum.out"},
    )
    assert results(bench.run(graph)) == {"doubles": [0, 2, 4], "sum": 6}
    CALLS.clear()
    assert results(bench.run(graph)) == {"doubles": [0, 2, 4], "sum": 6}
    assert not CALLS
    graph.nodes["upto"].inputs["n"] = Literal(2)
    assert results(bench.run(graph)) == {"doubles": [0, 2], "sum": 2}
    assert CALLS == {"upto": 1, "sum": 1}, "elements are known by what they are, not by the list around them"


def test_rows_that_one_node_made_are_told_apart(bench: Bench) -> None:
    """A node that takes a list, and goes through a list of them, has one key for each."""
    nodes: dict[str, Any] = {
        "table": ("Table", {"n": 3}),
        "sum": ("Sum", {"xs": {"from": "table.out"}}),
        "each": ("Each", {"xs": {"from": "table.out"}}),
    }
    graph = graph_of(nodes, {"sum": "sum.out", "each": "each.out"})
    expected = {"sum": [0, 3, 7], "each": [[], [6], [6, 8]]}
    assert results(bench.run(graph)) == expected
    CALLS.clear()
    assert results(bench.run(graph)) == expected
    assert not CALLS


def test_a_list_that_depends_on_the_world_is_made_once(bench: Bench) -> None:
    """It is not kept for later runs, and nothing takes it while its length is found out."""
    nodes: dict[str, Any] = {
        "act": ("Act", {"a": 2}),
        "upto": ("Upto", {"n": {"from": "act.out"}}),
        "mix": ("Mix", {"a": {"from": "upto.out"}, "b": {"from": "act.out"}}),
    }
    report = bench.run(graph_of(nodes, {"out": "mix.out"}), targets=["mix"])
    assert results(report) == {"out": [15, 18, 21]}
    assert max(CALLS.values()) == 1


@pytest.mark.parametrize("forgets", [False, True])
def test_lost_elements_are_made_again_for_what_gathers_them(bench: Bench, forgets: bool) -> None:
    nodes: dict[str, Any] = {
        "mix": ("Mix", {"a": [1, 2, 3]}),
        "sum": ("Sum", {"xs": {"from": "mix.out"}}),
        "act": ("Act", {"a": {"from": "sum.out"}}),
    }
    graph = graph_of(nodes, {"out": "act.out"})
    planned = bench.plan(graph)
    bench.run_plan(planned)
    CALLS.clear()
    lost = {str(step.key) for step in planned.steps.values()}
    report = replace(bench, store=Liar(bench.store, lost, forgets)).run(graph)
    assert report.state == "done"
    assert results(report) == {"out": 19}
    assert max(CALLS.values()) == 1


@pytest.mark.parametrize("forgets", [False, True])
def test_a_lost_list_is_made_again_to_find_out_how_long_it_is(bench: Bench, forgets: bool) -> None:
    act: dict[str, Any] = {"act": ("Act", {"a": 2})}
    more: dict[str, Any] = {
        "upto": ("Upto", {"n": 3}),
        "mix": ("Mix", {"a": {"from": "upto.out"}, "b": {"from": "act.out"}}),
    }
    graph = graph_of(act | more, {"out": "mix.out"})
    planned = bench.plan(graph)
    bench.run_plan(planned)
    CALLS.clear()
    lost = {str(planned.steps["upto"].key)}
    report = replace(bench, store=Liar(bench.store, lost, forgets)).run(graph)
    assert results(report) == {"out": [15, 18, 21]}
    assert max(CALLS.values()) == 1


@pytest.mark.parametrize("forgets", [False, True])
def test_lost_elements_are_made_again_for_the_output(bench: Bench, forgets: bool) -> None:
    """Once, even if the store keeps forgetting them."""
    graph = graph_of({"mix": ("Mix", {"a": [1, 2, 3]})}, {"out": "mix.out"})
    planned = bench.plan(graph)
    bench.run_plan(planned)
    CALLS.clear()
    lost = {str(step.key) for step in planned.steps.values()}
    report = replace(bench, store=Liar(bench.store, lost, forgets)).run(graph)
    assert results(report) == {"out": [3, 6, 9]}
    assert CALLS == {"mix[0]": 1, "mix[1]": 1, "mix[2]": 1}


def test_lists_that_turn_out_uneven_fail_their_node_alone(bench: Bench) -> None:
    graph = graph_of(
        {
            "upto": ("Upto", {"n": 3}),
            "mix": ("Mix", {"a": {"from": "upto.out"}, "b": [1, 2]}),
            "other": ("Double", {"x": {"from": "upto.out"}}),
        },
        {"mix": "mix.out", "other": "other.out"},
    )
    for _ in range(2):  # the second time the list is known before anything runs
        report = bench.run(graph)
        assert results(report) == {"other": [0, 2, 4]}
        problem = report.nodes["mix"].problem
        assert problem is not None
        assert problem.code == "uneven_lists"
        assert "'a' has 3 elements and 'b' has 2" in problem.message


def test_an_element_that_fails_takes_what_needs_it_and_nothing_else(bench: Bench) -> None:
    graph = graph_of(
        {
            "fragile": ("Fragile", {"x": [1, 3, 5]}),
            "double": ("Double", {"x": {"from": "fragile.out"}}),
            "sum": ("Sum", {"xs": {"from": "double.out"}}),
        },
        {"sum": "sum.out"},
    )
    report = bench.run(graph)
    states = {node: told.state for node, told in report.nodes.items()}
    assert [states[f"double[{n}]"] for n in range(3)] == ["done", "skipped", "done"]
    assert (states["fragile"], states["sum"]) == ("failed", "skipped")
    problem = report.nodes["fragile"].problem
    assert problem is not None
    assert problem.node == "fragile[1]"


def test_a_bad_element_is_named(bench: Bench) -> None:
    ((code, node, message),) = problems(bench, mixed({"a": [1, "two"]}))
    assert (code, node) == ("type_mismatch", "mix")
    assert "'two'" in message
    ((code, node, _),) = problems(bench, mixed({"a": [1, [2]]}))
    assert (code, node) == ("type_mismatch", "mix")


def swept() -> Graph:
    graph = graph_of(
        {
            "mix": ("Mix", {"a": {"param": "p"}, "b": {"param": "q"}}),
            "back": ("Mix", {"a": {"param": "q"}, "b": {"from": "mix.out"}}),
        },
        {"out": "back.out", "mix": "mix.out"},
        {"p": GraphInput("int", 1, False), "q": GraphInput("int", 2, False)},
    )
    return graph


def test_sweeps_combine_and_stay_aligned_with_themselves(bench: Bench) -> None:
    for names in (("p", "q"), ("q", "p")):
        values = {"p": Sweep((1, 2)), "q": Sweep((5, 6, 7))}
        given = {name: values[name] for name in names}
        report = bench.run(swept(), values=given)  # type: ignore[arg-type]
        found = results(report)["out"]
        for i, p in enumerate((1, 2)):
            for j, q in enumerate((5, 6, 7)):
                element = found[i][j] if names == ("p", "q") else found[j][i]
                assert element == 3 * q + 5 * (3 * p + 5 * q)


@pytest.mark.parametrize("swept", ["a", "b"])
@pytest.mark.parametrize("which", [True, False])
def test_a_sweep_goes_through_a_choice(bench: Bench, which: bool, swept: str) -> None:
    """Whichever branch it comes by, and whichever is taken, there is one result for each value."""
    plain = "b" if swept == "a" else "a"
    nodes: dict[str, Any] = {
        "far": ("Mix", {"a": {"param": "p"}}),
        "near": ("Mix", {"a": 7}),
        "switch": ("Switch", {"which": which, swept: {"from": "far.out"}, plain: {"from": "near.out"}}),
        "end": ("Mix", {"a": {"from": "switch.out"}, "b": {"param": "p"}}),
    }
    graph = graph_of(nodes, {"out": "end.out"}, {"p": GraphInput("int")})
    swept_values: Any = {"p": Sweep((1, 2, 3))}
    report = bench.run(graph, values=swept_values)
    taken = swept == ("a" if which else "b")
    assert results(report) == {"out": [3 * (3 * p if taken else 21) + 5 * p for p in (1, 2, 3)]}


def test_a_choice_takes_swept_values_themselves(bench: Bench) -> None:
    choice = {"which": {"param": "q"}, "a": {"param": "p"}, "b": 5}
    graph = graph_of(
        {"switch": ("Switch", choice)},
        {"out": "switch.out"},
        {"p": GraphInput("int"), "q": GraphInput("bool")},
    )
    swept_values: Any = {"p": Sweep((1, 2)), "q": Sweep((True, False))}
    report = bench.run(graph, values=swept_values)
    assert results(report) == {"out": [[1, 5], [2, 5]]}


def test_a_graph_may_say_itself_what_is_swept(bench: Bench) -> None:
    """As a picture carries it that a sweep came together in; a value given for it takes its place."""
    graph = swept().with_defaults({"p": [1, 2], "q": [5, 6, 7]}, ["q", "p"])
    given = {"q": Sweep((5, 6, 7)), "p": Sweep((1, 2))}
    read = reader.parse(writer.dump(graph))
    assert results(bench.run(read)) == results(bench.run(swept(), values=given))  # type: ignore[arg-type]
    assert results(bench.run(read, values={"q": 5}))["mix"] == [3 + 25, 6 + 25]


def test_nodes_outside_a_sweep_run_once(bench: Bench) -> None:
    graph = swept()
    graph.nodes["mix"].inputs["b"] = Literal(9)
    graph.nodes["back"].inputs["b"] = Literal(9)
    bench.run(graph, values={"q": Sweep((5, 6, 7))})  # type: ignore[dict-item]
    assert CALLS == {"mix": 1, "back[0]": 1, "back[1]": 1, "back[2]": 1}


def test_a_sweep_is_checked_value_by_value(bench: Bench) -> None:
    with pytest.raises(GraphError) as caught:
        bench.run(swept(), values={"p": Sweep((1, "two"))})  # type: ignore[dict-item]
    assert [problem.code for problem in caught.value.problems][:1] == ["invalid_value"]


def test_ten_thousand_elements_are_gone_through(bench: Bench) -> None:
    report = bench.run(mixed({"a": list(range(10_000))}))
    assert results(report) == {"out": [6 * n for n in range(10_000)]}


def test_too_many_elements_are_refused(bench: Bench) -> None:
    graph = mixed({"a": list(range(400)), "b": list(range(400))})
    graph.nodes["mix"].lift = "cross"
    with pytest.raises(GraphError, match="more than 100,000 steps"):
        bench.run(graph)


class Count(Node):
    """Count to a number."""

    n: int

    def run(self, ctx: Context) -> list[int]:
        return list(range(self.n))


def test_a_list_of_a_million_is_refused_before_its_elements_are_looked_at(
    bench: Bench, monkeypatch: pytest.MonkeyPatch
) -> None:
    looked: Counter[str] = Counter()

    def counting(module: ModuleType, name: str) -> None:
        real = getattr(module, name)

        def counted(*args: Any) -> Any:
            looked[name] += 1
            return real(*args)

        monkeypatch.setattr(module, name, counted)

    counting(literals, "_single")
    counting(known_lists, "pack")
    written = mixed({"a": list(range(1_000_000))})
    with pytest.raises(GraphError) as caught:
        bench.plan(written)
    assert [(problem.code, problem.node) for problem in caught.value.problems] == [("too_many", "mix")]
    bench = Bench(registry=Registry([Count, *(kind.cls for kind in WIDE.types.values())]))
    report = bench.run(mixed({"a": {"from": "rows.out"}}, rows=("Count", {"n": 100_001})), ("mix",))
    problem = report.nodes["mix"].problem
    assert problem is not None
    assert problem.code == "too_many"
    assert len(report.nodes) < 10, "no step was made for an element"
    assert looked["_single"] < 10
    assert looked["pack"] == 0


def test_a_product_of_lists_is_refused_before_it_takes_memory(bench: Bench) -> None:
    graph = mixed({"a": list(range(100_000)), "b": list(range(100_000))})
    graph.nodes["mix"].lift = "cross"
    with pytest.raises(GraphError) as caught:
        bench.plan(graph)
    assert caught.value.problems[0].code == "too_many"
    assert caught.value.problems[0].node == "mix"


def test_lists_that_nest_without_end_are_refused(bench: Bench) -> None:
    nodes = {f"n{n}": ("Mix", {"a": {"from": f"n{n - 1}.out"} if n else [1], "b": [1]}) for n in range(100)}
    graph = graph_of(nodes, {"out": "n99.out"})
    for entry in graph.nodes.values():
        entry.lift = "cross"
    assert problems(bench, graph)[0][:2] == ("too_deep", "n15")


def chosen(which: Any, a: Any, b: Any, lift: str = "zip") -> Graph:
    """A choice between two branches, by a node of each kind of input."""
    nodes: dict[str, Any] = {
        "rows": ("Upto", {"n": 3}),
        "other": ("Double", {"x": {"from": "rows.out"}}),
        "even": ("Even", {"x": {"from": "rows.out"}}),
        "switch": ("Switch", {"which": which, "a": a, "b": b}),
    }
    graph = graph_of(nodes, {"out": "switch.out"})
    graph.nodes["switch"].lift = lift
    return graph


ROWS, OTHER, EVEN = {"from": "rows.out"}, {"from": "other.out"}, {"from": "even.out"}


@pytest.mark.parametrize(
    ("which", "a", "b", "result"),
    [
        (EVEN, ROWS, OTHER, [0, 2, 2]),
        ([True, False, True], ROWS, OTHER, [0, 2, 2]),
        (EVEN, [7, 8, 9], OTHER, [7, 2, 9]),
        (EVEN, ROWS, 5, [0, 5, 2]),
        (EVEN, 5, ROWS, [5, 1, 5]),
        ([[True, False], [True]], [[1, 2], [3]], [[4, 5], [6]], [[1, 5], [3]]),
        (True, ROWS, OTHER, [0, 1, 2]),
        (False, ROWS, [5], [5]),
        (EVEN, [[1], [2], [3]], [[4], [5], [6]], [[1], [5], [3]]),
    ],
)
def test_switch_with_a_list_at_select_chooses_element_by_element(
    bench: Bench, which: Any, a: Any, b: Any, result: Any
) -> None:
    assert results(bench.run(chosen(which, a, b))) == {"out": result}


def test_a_choice_of_lists_of_other_lengths_is_a_problem(bench: Bench) -> None:
    ((code, node, _),) = problems(bench, chosen([True, False], [1, 2, 3], 4))
    assert (code, node) == ("uneven_lists", "switch")


def test_an_element_that_is_not_chosen_is_not_computed(bench: Bench) -> None:
    graph = chosen([True, False, True], ROWS, OTHER)
    assert results(bench.run(graph)) == {"out": [0, 2, 2]}
    assert {name for name in CALLS if name.startswith("other")} == {"other[1]"}


def test_a_choice_takes_the_whole_list_for_each_swept_value(bench: Bench) -> None:
    graph = chosen({"param": "p"}, ROWS, OTHER)
    graph.inputs["p"] = GraphInput("bool")
    swept_values: Any = {"p": Sweep((True, False))}
    assert results(bench.run(graph, values=swept_values)) == {"out": [[0, 1, 2], [0, 2, 4]]}


def test_switch_with_lift_cross_gives_lists_of_lists(bench: Bench) -> None:
    graph = chosen([True, False], [1, 2, 3], 4, "cross")
    assert results(bench.run(graph)) == {"out": [[1, 2, 3], [4, 4, 4]]}
