"""The test kit for node authors: what it runs, what it says, and that it fails when it should."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest
from pydantic import ValidationError

from engine.errors import GraphError
from engine.node import Node
from engine.testing import (
    assert_cached,
    cached,
    computed,
    load_pack,
    open_session,
    output,
    run_graph,
    run_node,
)
from engine.types.bad_node import BadNode
from engine.values import summary_of
from tests.engine.small_nodes import Broken, Lane, MakeThing, Mix, Settings, TakeThing, Thing

TYPES: list[type[Node]] = [Broken, Lane, MakeThing, Mix, TakeThing]
GRAPH: dict[str, Any] = {
    "safelight": 1,
    "inputs": {"a": {"type": "int", "default": 1}},
    "outputs": {"sum": {"from": "two.out"}},
    "nodes": {
        "one": {"type": "Mix@1", "inputs": {"a": 7}},
        "two": {"type": "Mix@1", "inputs": {"a": {"from": "one.out"}, "b": {"param": "a"}}},
    },
}


def test_a_node_alone() -> None:
    assert run_node(Mix(a=2, b=3, salt=1)) == {"out": 3 * 2 + 5 * 3 + 1}
    with open_session() as session:
        assert run_node(session, Settings(count=4)) == {"out": 4}


def test_common_mistakes_are_told_with_the_fix(tmp_path: Path) -> None:
    with pytest.raises(TypeError, match=r"write run_node\(Mix\(\.\.\.\)\)"):
        run_node(Mix)  # type: ignore[call-overload]
    with open_session() as session:
        with pytest.raises(TypeError, match=r"write run_node\(Mix\(\.\.\.\)\)"):
            run_node(session, Mix)  # type: ignore[call-overload]
        with pytest.raises(TypeError, match="a session and a node"):
            run_node(session)  # type: ignore[call-overload]
    with pytest.raises(TypeError, match=r"Mix\(a=..., b=..., salt=...\)"):
        Mix(1)  # type: ignore[call-arg]
    for wrong in ({"aa": 1}, {}):
        with pytest.raises(ValidationError) as caught:
            TakeThing(**wrong)  # type: ignore[arg-type]
        assert "TakeThing(thing=..., other=...)" in caught.value.__notes__[0]
    with pytest.raises(ValidationError) as caught:
        Mix(a="text")  # type: ignore[arg-type]
    assert not hasattr(caught.value, "__notes__"), "the names are right"
    with pytest.raises(TypeError, match=r"a Path, not 'graph\.json'"):
        run_graph("graph.json")  # type: ignore[arg-type]


def test_a_graph_by_its_json_its_file_and_its_values(tmp_path: Path) -> None:
    file = tmp_path / "graph.json"
    file.write_text(json.dumps(GRAPH))
    for given in (GRAPH, file):
        assert output(run_graph(given, types=TYPES)) == 3 * 21 + 5
        assert output(run_graph(given, types=TYPES, values={"a": 2}), "sum") == 3 * 21 + 10
    assert run_graph(GRAPH, types=TYPES, targets=["one"]).nodes.keys() == {"one"}


def test_computed_and_cached_list_the_nodes(tmp_path: Path) -> None:
    first = run_graph(GRAPH, home=tmp_path, types=TYPES)
    assert (computed(first), cached(first)) == ({"one", "two"}, set())
    with pytest.raises(AssertionError, match="one is done: no result for these inputs"):
        assert_cached(first)
    assert_cached(run_graph(GRAPH, home=tmp_path, types=TYPES))
    other = run_graph(GRAPH, home=tmp_path, types=TYPES, values={"a": 2})
    assert computed(other) == {"two"}
    assert_cached(other, "one")
    with pytest.raises(AssertionError, match="two is done"):
        assert_cached(other, "one", "two")
    with pytest.raises(AssertionError, match="there is no node three in this run"):
        assert_cached(other, "three")


def test_run_graph_without_a_home_stores_no_results() -> None:
    assert (
        computed(run_graph(GRAPH, types=TYPES)) == computed(run_graph(GRAPH, types=TYPES)) == {"one", "two"}
    )


def test_a_failure_is_told_with_its_traceback() -> None:
    tree = {**GRAPH, "nodes": {**GRAPH["nodes"], "two": {"type": "Broken@1", "inputs": {}}}}
    report = run_graph(tree, types=TYPES)
    with pytest.raises(AssertionError, match=r"NodeError: it is broken"):
        output(report)
    with pytest.raises(AssertionError, match="two is failed"):
        assert_cached(report)
    with pytest.raises(AssertionError, match="there is no output nothing; the outputs are sum"):
        output(run_graph(GRAPH, types=TYPES), "nothing")
    with pytest.raises(GraphError, match="the node type 'Mix' does not exist"):
        run_graph(GRAPH)


def test_a_pack_is_loaded_as_safelight_would(tmp_path: Path) -> None:
    (tmp_path / "good.py").write_text("from engine.node import Node\n\n\nclass Good(Node):\n    pass\n")
    assert load_pack(tmp_path / "good.py").Good.__name__ == "Good"
    (tmp_path / "bad.py").write_text("from engine.node import Node\n\n\nclass Bad(Node):\n    a = 3\n")
    with pytest.raises(BadNode, match=r"Bad\.a: it has no annotation"):
        load_pack(tmp_path / "bad.py")


class Rude(Thing, wire="RudeThing"):
    def summary(self) -> str:
        raise RuntimeError("none of your business")


@pytest.mark.parametrize(
    ("value", "said"),
    [
        (Thing("x"), "SmallThing"),
        ([Thing("x"), Thing("y")], "2 x SmallThing"),
        (Rude("x"), "RudeThing"),
        ([], "[]"),
        ({"a": [1, "é"]}, '{"a": [1, "é"]}'),
        ("x" * 100, '"' + "x" * 58 + "…"),
        ([*range(100), object()], "[0, 1, 2, 3, 4, 5, 6, 7, 8, 9, 10, 11, 12, 13, 14, 15, 16, …"),
        (float("nan"), "NaN"),
        (object(), "object"),
    ],
)
def test_a_summary_is_short_and_never_fails(value: object, said: str) -> None:
    assert summary_of(value) == said
