"""A node that writes into its input fails, and no other step and no later run sees what it wrote."""

from __future__ import annotations

import copy
import json
import pickle
from collections.abc import Callable
from dataclasses import dataclass, field, replace
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine import settings
from engine.context import Context
from engine.devices.residency import Residency
from engine.node import Node
from engine.packs.registry import Registry
from engine.read_only import ReadOnlyDict, ReadOnlyError, ReadOnlyList, read_only
from engine.run.result_caching import ResultCaching
from engine.run.run import Run
from engine.run.write_guard import WriteGuard
from engine.session import Session
from engine.values import Json, Packed, Value
from tests.engine.small_nodes import CALLS, Bench, called, graph_of


@dataclass(frozen=True)
class StoredResult(Value, wire="HeldByTest"):
    """Something that can be written into."""

    thing: Any
    more: dict[str, list[int]] = field(default_factory=dict)

    def pack(self) -> Packed:
        return Packed(self.wire, [np.asarray(self.thing).tolist(), {"a": [*self.more["a"]]}])

    @classmethod
    def unpack(cls, meta: Any, parts: Any) -> StoredResult:
        return cls(tensor(meta[0]), meta[1])


def tensor(numbers: list[float]) -> Any:
    import torch

    return torch.tensor(numbers)


def numpy_view(numbers: list[float]) -> Any:
    return np.array([[0.0, *numbers]])[0, 1:]


MAKERS: dict[str, Callable[[list[float]], Any]] = {
    "tensor": tensor,
    "array": np.array,
    "view": numpy_view,
    "list": lambda numbers: numbers,
}


class Make(Node):
    """Make something."""

    kind: str

    def run(self, ctx: Context) -> StoredResult:
        called(ctx)
        return StoredResult(MAKERS[self.kind]([1.0, 2.0, 3.0]), {"a": [1]})


class Pass(Node):
    """Hand on the input itself."""

    held: StoredResult

    def run(self, ctx: Context) -> StoredResult:
        called(ctx)
        return self.held


class Write(Node):
    """Write into the input, and perhaps fail then."""

    held: StoredResult
    into_dict: bool = False
    fail: bool = False

    def run(self, ctx: Context) -> int:
        called(ctx)
        if self.into_dict:
            self.held.more["a"].append(2)
        else:
            self.held.thing[0] = 9.0
        if self.fail:
            raise ValueError("something else")
        return 1


class Total(Node):
    """Add it up."""

    held: StoredResult
    salt: int = 0

    def run(self, ctx: Context) -> float:
        called(ctx)
        return float(sum(float(x) for x in self.held.thing)) + sum(self.held.more["a"]) + self.salt


TYPES: list[type[Node]] = [Make, Pass, Write, Total]


@pytest.fixture
def bench() -> Bench:
    CALLS.clear()
    return Bench(registry=Registry(TYPES), workers=1)


def writing(kind: str, **write: Any) -> Any:
    made = {"from": "make.out"}
    return graph_of(
        {
            "make": ("Make", {"kind": kind}),
            "before": ("Total", {"held": made}),
            "pass": ("Pass", {"held": made}),
            "write": ("Write", {"held": {"from": "pass.out"}, **write}),
            "after": ("Total", {"held": made, "salt": 1}),
        },
        {"before": "before.out", "write": "write.out", "after": "after.out"},
    )


def unguarded(bench: Bench, graph: Any, contents: bool = False) -> Any:
    """A run as users have it, without checked mode."""
    return Run(
        bench.plan(graph),
        bench.store,
        files=bench.files,
        residency=Residency(1 << 20),
        lifecycles=[ResultCaching(bench.store), WriteGuard(contents)],
        workers=1,
    ).run()


@pytest.mark.parametrize("kind", MAKERS)
@pytest.mark.parametrize("into_dict", [False, True])
@pytest.mark.parametrize("fail", [False, True])
def test_the_node_that_writes_fails_and_nothing_else_changes(
    bench: Bench, kind: str, into_dict: bool, fail: bool
) -> None:
    graph = writing(kind, into_dict=into_dict, fail=fail)
    for n in range(2):
        report = unguarded(bench, graph)
        problem = report.nodes["write"].problem
        assert problem is not None
        assert (problem.code, problem.node) == ("wrote_input", "write")
        if kind == "tensor" and not into_dict:
            assert problem.input == "held"
        assert {name: item.meta for name, item in report.outputs.items()} == {"before": 7.0, "after": 8.0}, n


def test_a_session_computes_a_tensor_again_that_a_node_wrote_into(tmp_path: Path) -> None:
    CALLS.clear()
    for budget in (0, 1 << 24):
        place = settings.load(
            tmp_path / str(budget), device="cpu", checked=False, disk_budget=budget, workers=1
        )
        with Session(place, registry=Registry(TYPES)) as session:
            for _ in range(2):
                report = session.run(writing("tensor"))
                assert report.nodes["write"].problem is not None
                assert report.nodes["write"].problem.code == "wrote_input"
                assert (report["before"], report["after"]) == (7.0, 8.0)


def test_checked_mode_finds_writes_that_a_tensor_does_not_count(bench: Bench) -> None:
    class Behind(Node):
        """Write through a view of numpy."""

        held: StoredResult

        def run(self, ctx: Context) -> int:
            self.held.thing.numpy()[0] = 9.0
            return 1

    bench.registry.add(Behind)
    nodes: Any = {
        "make": ("Make", {"kind": "tensor"}),
        "behind": ("Behind", {"held": {"from": "make.out"}}),
    }
    graph = graph_of(nodes)
    assert unguarded(bench, graph).nodes["behind"].problem is None
    problem = unguarded(replace(bench, store=type(bench.store)(1 << 24)), graph, contents=True)  # type: ignore[call-arg]
    assert problem.nodes["behind"].problem.code == "wrote_input"


def test_a_list_that_a_node_keeps_is_not_the_list_in_the_store(bench: Bench) -> None:
    kept: list[Any] = []

    class Keep(Node):
        """Keep what it returns, and change it in the next run."""

        salt: int = 0

        def run(self, ctx: Context) -> list[int]:
            for other in kept:
                other.append(9)
            kept.append([self.salt])
            result: list[int] = kept[-1]
            return result

    bench.registry.add(Keep)
    for salt in (1, 2):
        assert bench.run(graph_of({"k": ("Keep", {"salt": salt})}, {"x": "k.out"})).outputs["x"].meta == [
            salt
        ]
    assert bench.run(graph_of({"k": ("Keep", {"salt": 1})}, {"x": "k.out"})).outputs["x"].meta == [1]


def test_containers_refuse_every_change_and_their_copies_none() -> None:
    value: Any = read_only({"b": [1, 2], "a": {"x": 1}})
    changes: list[Callable[[], object]] = [
        lambda: value.update(c=1),
        lambda: value.pop("a"),
        lambda: value.__setitem__("a", 1),
        lambda: value.setdefault("z", 1),
        lambda: value["b"].append(3),
        value["b"].sort,
        lambda: value["b"].__setitem__(0, 3),
        lambda: value["b"].__iadd__([1]),
        value["a"].clear,
    ]
    for change in changes:
        with pytest.raises(ReadOnlyError):
            change()
    assert (type(value), type(value["b"])) == (ReadOnlyDict, ReadOnlyList)
    assert json.dumps(value) == '{"b": [1, 2], "a": {"x": 1}}'
    for copied in (copy.deepcopy(value), pickle.loads(pickle.dumps(value)), copy.copy(value)):
        copied["c"] = 1
    deep = copy.deepcopy(value)
    deep["b"].append(3)
    deep["a"]["x"] = 2
    assert value == {"b": [1, 2], "a": {"x": 1}}
    assert read_only(value) is value


def test_the_order_of_a_dict_is_the_same_for_every_node(bench: Bench) -> None:
    class Keys(Node):
        """The keys of a dict, in its order."""

        table: Json

        def run(self, ctx: Context) -> list[str]:
            called(ctx)
            assert isinstance(self.table, dict)
            return [*self.table, *self.table["b"]]  # type: ignore[misc]

    class Make2(Node):
        """Make a dict."""

        def run(self, ctx: Context) -> dict[str, dict[str, int]]:
            return {"b": {"y": 1, "x": 2}, "a": {}}

    bench.registry.add(Keys)
    bench.registry.add(Make2)
    orders: list[Json] = [{"b": {"y": 1, "x": 2}, "a": {}}, {"a": {}, "b": {"x": 2, "y": 1}}]
    for n, order in enumerate(orders):
        report = bench.run(graph_of({"k": ("Keys", {"table": {"value": order}})}, {"x": "k.out"}))
        assert report.outputs["x"].meta == ["a", "b", "x", "y"]
        assert report.nodes["k"].state == ("cached" if n else "done")
    wired = graph_of({"m": ("Make2", {}), "k": ("Keys", {"table": {"from": "m.out"}})}, {"x": "k.out"})
    assert bench.run(wired).outputs["x"].meta == ["a", "b", "x", "y"]
