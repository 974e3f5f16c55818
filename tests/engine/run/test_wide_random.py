"""Random graphs with lists, lazies, subgraphs, offs, failures and loops, against a naive evaluator."""

from __future__ import annotations

from collections import Counter
from dataclasses import dataclass, replace
from random import Random
from typing import Any

from hypothesis import given, settings
from hypothesis import strategies as st

from engine.document.graph import Entry, From, Graph, GraphInput, Literal, Param
from engine.errors import GraphError
from engine.plan import keys
from tests.engine.run.test_run_random import Liar
from tests.engine.run.wide_nodes import WIDE
from tests.engine.small_nodes import CALLS, Bench

INPUTS: dict[str, dict[str, str]] = {
    "Mix": {"a": "int", "b": "int"},
    "Lane": {"a": "int", "b": "int"},
    "Upto": {"n": "int"},
    "Table": {"n": "int"},
    "Sum": {"xs": "list"},
    "Each": {"xs": "list"},
    "Even": {"x": "int"},
    "Double": {"x": "int"},
    "Fragile": {"x": "int"},
    "Again": {"x": "int", "times": "small"},
    "#twice": {"x": "int"},
}
FAIL = object()


@dataclass(frozen=True)
class End:
    link: From
    kind: str
    depth: int


def sub() -> Graph:
    """Mix and double: a subgraph that hands its input on when it is off."""
    graph = Graph(inputs={"x": GraphInput("int")}, passes={"out": "x"})
    graph.nodes["mix"] = Entry("Mix", {"a": Param("x"), "b": Literal(1)})
    graph.nodes["double"] = Entry("Double", {"x": From("mix", "out")})
    graph.outputs["out"] = From("double", "out")
    return graph


@st.composite
def graphs(draw: st.DrawFn) -> Graph:
    """A random graph; lists typed in have two elements, lists that are made have none to three."""
    graph = Graph(graphs={"twice": sub()})
    ends: list[End] = []

    def bound(kind: str, deep: int) -> tuple[Any, int]:
        """A literal or a wire for an input, and how many levels of list it has."""
        fitting = [end for end in ends if end.kind == kind and end.depth <= deep]
        if fitting and draw(st.integers(0, 3)) > 0:
            end = draw(st.sampled_from(fitting))
            return end.link, end.depth
        number = st.booleans() if kind == "bool" else st.integers(0, 3)
        if draw(st.integers(0, 4)):
            return Literal(draw(number)), 0
        return Literal([draw(number), draw(number)]), 1

    for n in range(draw(st.integers(1, 9))):
        node = f"n{n}"
        kind = draw(st.sampled_from([*INPUTS, "Switch", "Mix", "Upto", "Sum"]))
        entry = Entry(kind)
        if kind == "Switch":
            which, extra = bound("bool", 1)
            one, depth = bound("int", 1)
            others = [end.link for end in ends if end.kind == "int" and end.depth == depth]
            other = draw(st.sampled_from(others)) if others else one
            entry.inputs = {"which": which, "a": one, "b": other}
            made = max(depth, extra)
        elif kind in ("Sum", "Each"):
            lists = [end for end in ends if end.kind == "int" and end.depth in (1, 2)]
            if lists and draw(st.integers(0, 3)) > 0:
                end = draw(st.sampled_from(lists))
                entry.inputs = {"xs": end.link}
                made = end.depth - 1
            else:
                entry.inputs = {"xs": Literal([draw(st.integers(0, 3)) for _ in range(2)])}
                made = 0
        else:
            extras: list[int] = []
            for name, wanted in INPUTS[kind].items():
                if wanted == "small":
                    entry.inputs[name] = Literal(draw(st.integers(0, 2)))
                    continue
                entry.inputs[name], depth = bound("int", 2)
                extras.append(depth)
            made = max(extras)
            typed = any(isinstance(binding, Literal) for binding in entry.inputs.values())
            if kind in ("Mix", "Lane") and typed and min(extras) > 0 and draw(st.booleans()):
                entry.lift, made = "cross", sum(extras)
            if kind in ("Double", "#twice"):
                entry.off = draw(st.integers(0, 3)) == 0
        own = {"Upto": 1, "Each": 1, "Table": 2}.get(kind, 0)
        graph.nodes[node] = entry
        ends.append(End(From(node, "out"), "bool" if kind == "Even" else "int", made + own))
    for n, end in enumerate(draw(st.lists(st.sampled_from(ends), min_size=1, max_size=3, unique=True))):
        graph.outputs[f"o{n}"] = end.link
    return graph


def depth(value: Any) -> int:
    return 1 + max(map(depth, value), default=0) if isinstance(value, list) else 0


def fails(value: Any) -> bool:
    return value is FAIL or (isinstance(value, list) and any(map(fails, value)))


class Uneven(Exception):
    """Lists that do not go together, or of which one is not there."""


class Naive:
    """What a graph means, from its outputs, one value after the other."""

    def __init__(self, graph: Graph, typed: dict[str, int]) -> None:
        self.graph, self.typed = graph, typed
        self.known: dict[str, Any] = {}

    def value(self, node: str) -> Any:
        if node not in self.known:
            self.known[node] = self.fresh(self.graph.nodes[node])
        return self.known[node]

    def given(self, binding: Any) -> tuple[Any, int]:
        """A value and its levels of list, as the types of the wires have them."""
        if isinstance(binding, From):
            return self.value(binding.node), self.typed[binding.node]
        return binding.value, depth(binding.value)

    def depth(self, binding: Any) -> int:
        """The levels of list of a value, which is not looked at."""
        return self.typed[binding.node] if isinstance(binding, From) else depth(binding.value)

    def fresh(self, entry: Entry) -> Any:
        if entry.off:
            return self.given(entry.inputs["x"])[0]
        lists = {"xs": 1} if entry.type in ("Sum", "Each") else {}
        inputs, extra = {}, {}
        through = min(map(self.depth, entry.inputs.values())) if entry.type == "Switch" else 0
        for name, binding in entry.inputs.items():
            if entry.type == "Switch" and name != "which" and not through:
                continue  # a whole branch is chosen, and the other one not looked at
            value, levels = self.given(binding)
            inputs[name], extra[name] = value, through or levels - lists.get(name, 0)
        try:
            shape = (self.crossed if entry.lift == "cross" else self.lifted)(inputs, extra)
        except Uneven:
            return FAIL
        return self.mapped(entry, shape)

    def lifted(self, inputs: dict[str, Any], extra: dict[str, int]) -> Any:
        """The inputs of each element, in lists as the elements are."""
        along = [name for name, levels in extra.items() if levels > 0]
        if not along:
            return inputs
        if any(inputs[name] is FAIL for name in along) or len({len(inputs[name]) for name in along}) > 1:
            raise Uneven
        rest = {name: levels - (levels > 0) for name, levels in extra.items()}
        return [
            self.lifted({**inputs, **{name: inputs[name][n] for name in along}}, rest)
            for n in range(len(inputs[along[0]]))
        ]

    def crossed(self, inputs: dict[str, Any], extra: dict[str, int]) -> Any:
        """The same, for every combination of lists that have nothing to do with one another."""
        name = next((name for name, levels in extra.items() if levels > 0), None)
        if name is None:
            return inputs
        if inputs[name] is FAIL:
            raise Uneven
        rest = {**extra, name: extra[name] - 1}
        return [self.crossed({**inputs, name: item}, rest) for item in inputs[name]]

    def mapped(self, entry: Entry, shape: Any) -> Any:
        if isinstance(shape, list):
            return [self.mapped(entry, inner) for inner in shape]
        read = [shape["which"]] if entry.type == "Switch" else shape.values()
        return FAIL if any(map(fails, read)) else self.one(entry, shape)

    def one(self, entry: Entry, given: dict[str, Any]) -> Any:
        match entry.type:
            case "Mix":
                return (3 * given["a"] + 5 * given["b"]) % 1_000_003
            case "Lane":
                return given["a"] - given["b"]
            case "Upto":
                return list(range(abs(given["n"]) % 4))
            case "Table":
                return [list(range(given["n"], given["n"] + row)) for row in range(abs(given["n"]) % 4)]
            case "Each":
                return [2 * x for x in given["xs"]]
            case "Sum":
                return sum(given["xs"])
            case "Even":
                return given["x"] % 2 == 0
            case "Double":
                return 2 * given["x"]
            case "Fragile":
                return FAIL if given["x"] % 3 == 0 else given["x"]
            case "Again":
                return given["x"] * 2 ** given["times"]
            case "#twice":
                return 2 * ((3 * given["x"] + 5) % 1_000_003)
        name = "a" if given["which"] else "b"
        chosen = given[name] if name in given else self.given(entry.inputs[name])[0]
        return FAIL if fails(chosen) else chosen


def bare(node: str) -> str:
    """The node of the graph behind a step: `n1` behind `n1[0]/once`."""
    return node.partition("/")[0].partition("[")[0]


def results(report: Any) -> dict[str, Any]:
    return {name: packed.meta for name, packed in report.outputs.items()}


@settings(max_examples=400, deadline=None)
@given(graphs(), st.sampled_from([1, 4]))
def test_a_run_means_what_the_naive_evaluator_means(graph: Graph, workers: int) -> None:
    CALLS.clear()
    bench = Bench(workers=workers, registry=WIDE)
    problems = bench.problems(graph)  # a list of two beside a list that is known to be otherwise
    assert {problem.code for problem in problems} <= {"uneven_lists", "is_off"}
    if problems:
        return
    planned = bench.plan(graph)
    typed = {node: planned.checked.steps[node].outputs["out"].lists for node in planned.checked.steps}
    for node, entry in graph.nodes.items():
        if entry.type == "#twice" and not entry.off:
            typed[node] = typed[f"{node}/double"]
        elif entry.off:
            through = entry.inputs["x"]
            typed[node] = (
                typed[through.node] if isinstance(through, From) else depth(getattr(through, "value", 0))
            )
    naive = Naive(graph, typed)
    wanted = {name: naive.value(link.node) for name, link in graph.outputs.items()}

    report = bench.run_plan(planned)
    assert results(report) == {name: value for name, value in wanted.items() if not fails(value)}
    assert report.state == ("failed" if any(map(fails, wanted.values())) else "done")
    assert max(CALLS.values(), default=0) <= 1, "nothing runs twice"
    # A step that nothing needs may run in place of an equal one that is needed.
    needed = {step.key for node, step in planned.steps.items() if bare(node) in naive.known} - {None}
    extra = {node for node in CALLS if planned.steps[node].key not in needed}
    assert {bare(node) for node in extra} <= naive.known.keys(), "nothing runs that nothing needs"
    ran = Counter(planned.steps[node].key for node in CALLS if planned.steps[node].key is not None)
    assert max(ran.values(), default=0) <= 1, "equal steps run once"

    made = {planned.steps[node].key or node for node in CALLS}
    CALLS.clear()
    planned = bench.plan(graph)
    again = bench.run_plan(planned)
    assert results(again) == results(report), "cached is as fresh"
    if not any(fails(value) for value in naive.known.values()):
        assert not CALLS, "all of it was there"
    # An equal step that failed may run again under the id of the other one.
    assert {planned.steps[node].key or node for node in CALLS} <= made


@settings(max_examples=100, deadline=None)
@given(graphs(), st.data())
def test_parts_that_are_there_are_not_made_again(graph: Graph, data: st.DataObject) -> None:
    """A store that has lost some results costs time and never a value."""
    bench = Bench(registry=WIDE)
    try:
        first = results(bench.run(graph))
    except GraphError:
        return
    other = replace(bench, workers=data.draw(st.sampled_from([1, 4])))
    held = other.store
    entries = held._results  # type: ignore[attr-defined]
    for key in data.draw(st.lists(st.sampled_from(sorted(entries)), unique=True) if entries else st.just([])):
        del entries[key]
    assert results(other.run(graph)) == first


@settings(max_examples=100, deadline=None)
@given(graphs(), st.randoms(use_true_random=False))
def test_keys_ignore_names_order_titles_and_layout(graph: Graph, random: Any) -> None:
    """Nodes renamed, shuffled, titled and moved about keep their keys, within subgraphs and lists too."""
    new = {node: f"m{random.randrange(10**9)}-{n}" for n, node in enumerate(graph.nodes)}
    other = Graph(title="other", layout={new[node]: [1, 2] for node in graph.nodes}, graphs=graph.graphs)
    for node in sorted(graph.nodes, key=lambda _: random.random()):
        entry = graph.nodes[node]
        inputs = {
            name: From(new[item.node], item.output) if isinstance(item, From) else item
            for name, item in reversed(entry.inputs.items())
        }
        other.nodes[new[node]] = replace(entry, inputs=inputs, title=f"titled {node}")
    bench = Bench(registry=WIDE)
    if bench.problems(graph):
        return
    targets = [node for node, entry in graph.nodes.items() if not entry.off]
    one, two = bench.plan(graph, targets), bench.plan(other, [new[node] for node in targets])
    for node, step in one.steps.items():
        head = bare(node)
        renamed = two.steps[new[head] + node.removeprefix(head)]
        assert keys.of_output(renamed, "out") == keys.of_output(step, "out")


@settings(max_examples=150, deadline=None)
@given(graphs(), st.randoms(use_true_random=False), st.booleans(), st.sampled_from([1, 4]))
def test_a_store_that_lies_costs_time_and_never_a_value(
    graph: Graph, random: Random, forgets: bool, workers: int
) -> None:
    bench = Bench(registry=WIDE, workers=workers)
    try:
        first = bench.run(graph)
    except GraphError:
        return
    held = sorted(bench.store._results)  # type: ignore[attr-defined]
    lost = {key for key in held if random.random() < 0.4}
    again = replace(bench, store=Liar(bench.store, lost, forgets)).run(graph)
    assert again.state == first.state
    assert results(again) == results(first)
