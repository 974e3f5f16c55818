"""Random graphs against a naive evaluator: same values, nothing twice, nothing needless."""

from __future__ import annotations

from dataclasses import replace
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.document.graph import Entry, From, Graph, Literal
from engine.store.store import Store
from tests.engine.small_nodes import CALLS, Bench

OUTPUTS = {"Split": ["low", "high"]}


@st.composite
def graphs(draw: st.DrawFn, kinds: str = "Mix Mix Mix Lane Split Act Broken") -> Graph:
    """A random graph; few distinct literals, so that equal steps are common."""
    graph = Graph()
    ends: list[From] = []
    for n in range(draw(st.integers(1, 14))):
        kind = draw(st.sampled_from(kinds.split()))
        names = ["a", "b"] if kind in ("Mix", "Lane") else ["a"]
        inputs: dict[str, Any] = {}
        for name in names:
            literals: list[Any] = [Literal(number) for number in range(3)]
            inputs[name] = draw(st.sampled_from(literals + ends * 3))
        graph.nodes[f"n{n}"] = Entry(kind, inputs)
        ends += [From(f"n{n}", output) for output in OUTPUTS.get(kind, ["out"])]
    for n, node in enumerate(draw(st.lists(st.sampled_from(sorted(graph.nodes)), max_size=3, unique=True))):
        graph.outputs[f"o{n}"] = draw(st.sampled_from([end for end in ends if end.node == node]))
    return graph


class Naive:
    """What a graph means: every node from its inputs, recursively, with a failure passed on as None."""

    def __init__(self, graph: Graph) -> None:
        self.graph = graph
        self.known: dict[str, dict[str, int] | None] = {}

    def node(self, node: str) -> dict[str, int] | None:
        if node not in self.known:
            self.known[node] = self.fresh(self.graph.nodes[node])
        return self.known[node]

    def fresh(self, entry: Entry) -> dict[str, int] | None:
        given: dict[str, Any] = {"a": 0, "b": 0}
        for name, binding in entry.inputs.items():
            if isinstance(binding, From):
                made = self.node(binding.node)
                if made is None:
                    return None
                given[name] = made[binding.output]
            elif isinstance(binding, Literal):
                given[name] = binding.value
        a, b = given["a"], given["b"]
        match entry.name:
            case "Mix":
                return {"out": (3 * a + 5 * b) % 1_000_003}
            case "Lane":
                return {"out": a - b}
            case "Act":
                return {"out": a + 1}
            case "Split":
                return {"low": a % 1000, "high": a // 1000}
        return None


def ancestors(graph: Graph, targets: tuple[str, ...]) -> set[str]:
    found = set(targets)
    for node in reversed(graph.nodes):  # parents come first in these graphs
        if node in found:
            found |= {item.node for item in graph.nodes[node].inputs.values() if isinstance(item, From)}
    return found


@settings(max_examples=150, deadline=None)
@given(graphs(), st.sampled_from([1, 4]))
def test_a_run_means_what_the_naive_evaluator_means(graph: Graph, workers: int) -> None:
    CALLS.clear()
    bench, naive = Bench(workers=workers), Naive(graph)
    planned = bench.plan(graph)
    report = bench.run_plan(planned)
    needed = ancestors(graph, planned.targets)

    assert set(report.nodes) == needed
    for node, told in report.nodes.items():
        fine = {"done", "cached"} if naive.node(node) is not None else {"failed", "skipped"}
        assert told.state in fine, (node, told)
    for name, link in graph.outputs.items():
        made = naive.node(link.node)
        assert (name in report.outputs) == (made is not None)
        if made is not None:
            assert report.outputs[name].meta == made[link.output]
    assert report.state == ("failed" if any(naive.node(node) is None for node in needed) else "done")
    assert set(CALLS) <= needed
    assert max(CALLS.values(), default=0) <= 1
    ran = [planned.steps[node].key for node in CALLS]
    assert len(ran) == len(set(ran)), "equal steps ran twice"

    CALLS.clear()
    again = bench.run(graph)
    assert {name: packed.meta for name, packed in again.outputs.items()} == {
        name: packed.meta for name, packed in report.outputs.items()
    }
    for node in CALLS:  # a repeated call has side effects, a parent with side effects, or no stored result
        step = planned.steps[node]
        assert not step.storable or naive.node(node) is None
    assert {node: told.state in ("done", "cached") for node, told in again.nodes.items()} == {
        node: told.state in ("done", "cached") for node, told in report.nodes.items()
    }


@settings(max_examples=60, deadline=None)
@given(graphs("Mix Lane Split Act"), st.randoms(use_true_random=False))
def test_keys_ignore_names_order_titles_and_layout(graph: Graph, random: Any) -> None:
    """Nodes renamed, shuffled, titled and moved about keep their keys."""
    new = {node: f"m{random.randrange(10**9)}-{n}" for n, node in enumerate(graph.nodes)}
    shuffled = sorted(graph.nodes, key=lambda _: random.random())
    other = Graph(title="other", doc="other", layout={new[node]: [1, 2] for node in graph.nodes})
    for node in shuffled:
        entry = graph.nodes[node]
        inputs = {
            name: From(new[item.node], item.output) if isinstance(item, From) else item
            for name, item in reversed(entry.inputs.items())
        }
        other.nodes[new[node]] = Entry(f"{entry.type}@1", inputs, title=f"titled {node}")
    bench = Bench()
    everything = tuple(graph.nodes)
    one, two = bench.plan(graph, everything), bench.plan(other, [new[node] for node in everything])
    for node, step in one.steps.items():
        if step.storable:
            assert two.steps[new[node]].key == step.key


class Liar(Store):
    """A store that says it holds what it does not, or loses it between two looks."""

    def __init__(self, inner: Any, lost: set[str], forgets: bool) -> None:
        self.inner, self.lost, self.forgets = inner, lost, forgets

    def where(self, keys: Any) -> Any:
        return self.inner.where(keys)

    def load(self, key: str) -> Any:
        return None if key in self.lost else self.inner.load(key)

    def packed(self, key: str, output: str) -> Any:
        return None if key in self.lost else self.inner.packed(key, output)

    def save(self, key: str, result: Any) -> None:
        if not self.forgets:
            self.lost.discard(key)
            self.inner.save(key, result)


@settings(max_examples=150, deadline=None)
@given(graphs("Mix Mix Lane Split Act"), st.data(), st.booleans(), st.sampled_from([1, 4]))
def test_a_store_that_lies_costs_time_and_never_a_value(
    graph: Graph, data: st.DataObject, forgets: bool, workers: int
) -> None:
    honest = Bench()
    honest.run(graph, targets=tuple(data.draw(st.sets(st.sampled_from(sorted(graph.nodes)), min_size=1))))
    steps = honest.plan(graph, tuple(graph.nodes)).steps
    # Nodes are drawn, not keys: Hypothesis replays, and a node with side effects has a new key each time.
    lost = {str(steps[node].key) for node in data.draw(st.sets(st.sampled_from(sorted(graph.nodes))))}
    bench = replace(honest, store=Liar(honest.store, lost, forgets), workers=workers)
    CALLS.clear()
    report = bench.run(graph)
    naive = Naive(graph)
    assert report.state == "done"
    assert {name: packed.meta for name, packed in report.outputs.items()} == {
        name: (naive.node(link.node) or {})[link.output] for name, link in graph.outputs.items()
    }
