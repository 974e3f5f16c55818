"""Random seeds: every place that may hold one gets a number, and nothing else changes."""

from __future__ import annotations

import itertools
from collections.abc import Callable
from dataclasses import replace
from pathlib import Path
from typing import Any

import pytest

from engine.check.check import check, check_within
from engine.check.inline import ReplacedNode
from engine.document import reader, writer
from engine.document.graph import Entry, Graph, Literal, no_files
from engine.document.random_seeds import Drawn, draw, is_random
from engine.document.sweep import Sweep
from engine.node import Node
from engine.packs.registry import Registry
from engine.widgets import Seed, Text


class Noise(Node):
    seed: Seed = 0
    seeds: list[Seed] = []  # noqa: RUF012
    prompt: Text = ""
    steps: int = 1

    def run(self, ctx: object) -> int:
        return self.seed


REGISTRY = Registry([Noise])


def seed_inputs(entry: Entry) -> list[str]:
    kind = REGISTRY.types.get(entry.name)
    return [name for name, item in kind.inputs.items() if item.is_seed] if kind else []


def drawn(graph: Graph, values: Any = None, read: Callable[..., Graph] = no_files) -> Drawn:
    counter = itertools.count(100)
    return draw(graph, values or {}, seed_inputs, read, lambda: next(counter))


def graph_of(nodes: dict[str, Any], **more: Any) -> Graph:
    return reader.from_json({"safelight": 1, "nodes": nodes, **more})


def test_only_seed_inputs_are_drawn() -> None:
    inputs = {"seed": "random", "seeds": [1, "random", "random"], "prompt": "random", "steps": "random"}
    graph = graph_of({"a": {"type": "Noise@1", "inputs": inputs}, "b": {"type": "Noise"}})
    before = writer.dump(graph)
    result = drawn(graph)
    assert result.graph.nodes["a"].inputs == {
        "seed": Literal(100),
        "seeds": Literal([1, 101, 102]),
        "prompt": Literal("random"),
        "steps": Literal("random"),
    }
    assert result.seeds == {"a.seed": [100], "a.seeds": [101, 102]}
    assert result.graph.nodes["b"] is graph.nodes["b"]
    assert writer.dump(graph) == before, "the document itself is not changed"


def test_the_seeds_of_the_graph_s_inputs_become_values() -> None:
    inputs = {
        "seed": {"type": "seed", "default": "random"},
        "other": {"type": "seed", "default": 3},
        "swept": {"type": "seed", "default": ["random", 5], "sweep": 1},
        "words": {"type": "text", "default": "random"},
    }
    graph = graph_of({}, inputs=inputs)
    result = drawn(graph, {"other": Sweep(("random", "random"))})
    assert result.values == {"seed": 100, "other": Sweep((101, 102)), "swept": Sweep((103, 5))}
    assert result.graph == graph
    assert drawn(graph, {"seed": 9, "swept": 7}).values == {"seed": 9, "swept": 7}
    assert is_random(graph, {}, seed_inputs, no_files)
    assert not is_random(graph, {"seed": 9, "swept": 7}, seed_inputs, no_files)


def test_subgraphs_are_drawn_too(tmp_path: Path) -> None:
    inner = {
        "inputs": {"seed": {"type": "seed", "default": "random"}, "name": {"type": "text"}},
        "nodes": {"n": {"type": "Noise", "inputs": {"seed": "random"}}},
        "outputs": {"out": {"from": "n.out"}},
    }
    use = {"name": "random", "seed": "random"}
    graph = graph_of(
        {"a": {"type": "#in", "inputs": use}, "b": {"type": "./in.json", "inputs": use}}, graphs={"in": inner}
    )
    filed = reader.from_json({"safelight": 1, **inner})
    result = drawn(graph, None, lambda name, folder: replace(filed, folder=tmp_path))
    for node in ("a", "b"):
        bound = result.graph.nodes[node].inputs
        assert bound["name"] == Literal("random")
        assert isinstance(bound["seed"], Literal)
        assert type(bound["seed"].value) is int
    assert type(result.graph.graphs["in"].inputs["seed"].default) is int
    read = result.read("./in.json", None)
    assert read is result.read("./in.json", None), "used twice, it has the same seeds"
    assert "random" not in writer.dump(replace(read, nodes={"n": read.nodes["n"]}))
    assert len({number for numbers in result.seeds.values() for number in numbers}) == 6


@pytest.mark.parametrize("seeds", ["random", [1, "random"]])
def test_the_check_accepts_a_random_seed_that_is_not_yet_drawn(seeds: Any) -> None:
    inputs = {"s": {"type": "seed", "default": seeds}}
    nodes = {
        "a": {"type": "Noise", "inputs": {"seed": seeds, "steps": {"param": "s"}}},
        "b": {"type": "Noise", "inputs": {"seed": {"param": "s"}}},
    }
    graph = graph_of(nodes, inputs=inputs)
    assert check(graph, REGISTRY).problems == []
    assert check(drawn(graph).graph, REGISTRY, drawn(graph).values).problems == []


@pytest.mark.parametrize(
    ("name", "value"), [("steps", "random"), ("seed", "Random"), ("seed", ["random", "x"])]
)
def test_only_a_seed_may_be_random(name: str, value: Any) -> None:
    graph = graph_of({"a": {"type": "Noise", "inputs": {name: value}}})
    (problem,) = check(graph, REGISTRY).problems
    assert (problem.code, problem.place) == ("type_mismatch", f"a.{name}")
    graph = graph_of({}, inputs={"n": {"type": "int", "default": "random"}})
    assert [problem.code for problem in check(graph, REGISTRY).problems] == ["invalid_value"]


def test_a_graph_that_a_node_returns_may_not_hold_a_random_seed() -> None:
    """Its seeds are drawn by nobody, since it must be the same each time."""
    graph = graph_of({"a": {"type": "Noise", "inputs": {"seed": "random"}}})
    checked = check_within(graph, ReplacedNode("outer", {}), {}, REGISTRY, no_files)
    assert [problem.code for problem in checked.problems] == ["type_mismatch"]
