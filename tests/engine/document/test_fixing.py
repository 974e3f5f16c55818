"""A fix that no longer fits the graph changes nothing."""

from __future__ import annotations

from copy import deepcopy

import pytest

from engine import fixes
from engine.document.fixing import fixed, without_stale_fix
from engine.document.graph import Entry, From, Graph, GraphInput, Literal, Param
from engine.errors import Problem
from engine.events import Failed, from_json
from engine.fixes import Connect, Fix, InsertNode, RemoveInput, RenameInput, SetInput, SetType
from engine.workers.messages import problem_from_json

GRAPH = Graph(
    {
        "model": Entry("Load@1", {"name": Literal("tiny")}),
        "take": Entry(
            "Take@1",
            {
                "a": From("model.out", "x"),
                "b": From("model", "vae"),
                "mode": Literal("fats"),
                "p": Param("sead"),
            },
        ),
        "encode": Entry("Other@1"),
    },
    {"seed": GraphInput("seed")},
)
FITTING: dict[str, tuple[Fix, Entry]] = {
    "a text": (SetInput("take", "mode", "fats", "fast"), Entry("Take@1", {"mode": Literal("fast")})),
    "a wire": (
        SetInput("take", "b", {"from": "model.vae"}, {"from": "encode.out"}),
        Entry("Take@1", {"b": From("encode", "out")}),
    ),
    "a graph input": (
        SetInput("take", "p", {"param": "sead"}, {"param": "seed"}),
        Entry("Take@1", {"p": Param("seed")}),
    ),
    "a connection": (Connect("take", "free", "model.vae"), Entry("Take@1", {"free": From("model", "vae")})),
    "another name": (
        RenameInput("take", "Take@1", "mode", "mood"),
        Entry("Take@1", {"mood": Literal("fats")}),
    ),
    "a type": (SetType("take", "Take@1", "Taken@2"), Entry("Taken@2")),
    "a conversion": (
        InsertNode("take", "b", "model.vae", "Encode@1", "image", "latent"),
        Entry("Take@1", {"b": From("encode-2", "latent")}),
    ),
}


@pytest.mark.parametrize("name", FITTING)
def test_a_fix_changes_one_place_of_a_copy(name: str) -> None:
    fix, expected = FITTING[name]
    before = deepcopy(GRAPH)
    changed = fixed(GRAPH, fix)
    assert GRAPH == before
    assert changed is not None
    entry = changed.nodes["take"]
    assert entry.type == expected.type
    assert expected.inputs.items() <= entry.inputs.items()
    assert fixed(changed, fix) is None, "it has been applied"
    if isinstance(fix, InsertNode):
        assert changed.nodes["encode-2"] == Entry("Encode@1", {"image": From("model", "vae")})


def test_an_input_is_removed() -> None:
    changed = fixed(GRAPH, RemoveInput("take", "Take@1", "mode"))
    assert changed is not None
    assert [*changed.nodes["take"].inputs] == ["a", "b", "p"]


STALE: dict[str, Fix] = {
    "the node is gone": SetInput("gone", "mode", "fats", "fast"),
    "the node is in a subgraph": SetInput("take/inner", "mode", "fats", "fast"),
    "the text has changed": SetInput("take", "mode", "fast", "fine"),
    "the text is a wire now": SetInput("take", "b", "fats", "fast"),
    "the wire is another one": SetInput("take", "b", {"from": "model.clip"}, {"from": "encode.out"}),
    "the input is gone": SetInput("take", "gone", "fats", "fast"),
    "the new source is gone": SetInput("take", "b", {"from": "model.vae"}, {"from": "gone.out"}),
    "the graph input is gone": SetInput("take", "p", {"param": "sead"}, {"param": "gone"}),
    "the input is connected": Connect("take", "b", "model.vae"),
    "the input has a value": Connect("take", "mode", "model.vae"),
    "the source is gone": Connect("take", "free", "gone.vae"),
    "the other name is taken": RenameInput("take", "Take@1", "mode", "b"),
    "the type is another one": RenameInput("take", "Take@2", "mode", "mood"),
    "the name is gone": RenameInput("take", "Take@1", "gone", "mood"),
    "the input is known now": RemoveInput("take", "Take@2", "mode"),
    "the input was removed": RemoveInput("take", "Take@1", "gone"),
    "the type was changed": SetType("take", "Tke@1", "Take@1"),
    "the wire is cut": InsertNode("take", "mode", "model.vae", "Encode@1", "image", "latent"),
    "the wire comes from elsewhere": InsertNode("take", "b", "model.clip", "Encode@1", "image", "latent"),
    "what it would hold is nothing": SetInput("take", "mode", "fats", {"form": "x"}),
}


@pytest.mark.parametrize("name", STALE)
def test_a_stale_fix_is_not_applied(name: str) -> None:
    assert fixed(GRAPH, STALE[name]) is None
    problem = Problem("x", "wrong", fix=STALE[name])
    assert without_stale_fix(problem, GRAPH).fix is None


@pytest.mark.parametrize("fix", [fix for fix, _ in FITTING.values()], ids=list(FITTING))
def test_fixes_reach_other_processes(fix: Fix) -> None:
    assert fixes.from_json(fixes.as_json(fix)) == fix
    problem = Problem("x", "wrong", "take", "mode", fix=fix)
    assert problem_from_json(problem.as_json()).fix == fix
    event = from_json(Failed("take", 1.0, problem).as_json())
    assert isinstance(event, Failed)
    assert event.problem.fix == fix
    assert problem.within("outer").fix is None
