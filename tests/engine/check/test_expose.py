"""An input of a node as an input of the graph: its type, its default, and what cannot be exposed."""

from __future__ import annotations

from typing import Annotated, Any, Literal

import pytest
from pydantic import Field

from engine.check.expose import exposed
from engine.context import Context
from engine.document.graph import Graph, Param
from engine.document.reader import from_json
from engine.errors import GraphError
from engine.node import Node
from engine.packs.registry import Registry
from engine.testing import output, run_graph
from engine.values import Json, Value
from engine.widgets import FileIn, Seed


class ExposedPart(Value):
    """A value that only a wire can carry."""


class Many(Node):
    """Have an input of every kind."""

    text: str = "a"
    count: int = 1
    share: float = 0.5
    on: bool = False
    mode: Literal["fast", "fine"] = "fast"
    seed: Seed = 3
    file: Annotated[str, FileIn("inputs")] = ""
    tree: Json = None
    weights: list[float] = Field(default_factory=list)
    part: ExposedPart | None = None

    def run(self, ctx: Context) -> str:
        return f"{self.text} {self.count} {self.mode}"


REGISTRY = Registry([Many])


def graph(**inputs: Any) -> Graph:
    return from_json(
        {
            "safelight": 1,
            "inputs": {
                "words": {"type": "text", "default": "b"},
                "many_count": {"type": "int", "default": 9},
            },
            "nodes": {"many": {"type": "Many", "inputs": inputs}},
            "outputs": {"out": {"from": "many.out"}},
        }
    )


@pytest.mark.parametrize(
    ("name", "kind", "default"),
    [
        ("text", "text", "a"),
        ("share", "float", 0.5),
        ("on", "bool", False),
        ("mode", "choice", "fast"),
        ("seed", "seed", 3),
        ("file", "file", ""),
        ("tree", "json", None),
        ("weights", "list of float", []),
    ],
)
def test_an_exposed_input_keeps_its_type_and_value(name: str, kind: str, default: Json) -> None:
    changed, given = exposed(graph(), "many", name, REGISTRY)
    item = changed.inputs[given]
    assert (given, item.type, item.default, item.required) == (f"many_{name}", kind, default, False)
    assert changed.nodes["many"].inputs[name] == Param(given)
    assert item.choices == (("fast", "fine") if kind == "choice" else ())
    before, after = (output(run_graph(one, types=[Many])) for one in (graph(), changed))
    assert before == after


def test_the_present_value_is_the_default_and_a_taken_name_is_not_reused() -> None:
    changed, given = exposed(graph(count=4), "many", "count", REGISTRY)
    assert (given, changed.inputs[given].default) == ("many_count_2", 4)
    assert output(run_graph(changed, types=[Many], values={given: 5})) == "a 5 fast"


def test_an_input_that_takes_one_of_the_graph_stays_as_it_is() -> None:
    bound = graph(text={"param": "words"})
    assert exposed(bound, "many", "text", REGISTRY) == (bound, "words")


@pytest.mark.parametrize(
    ("node", "name", "code"),
    [("mani", "text", "unknown_node"), ("many", "txt", "unknown_input"), ("many", "part", "bad_use")],
)
def test_what_cannot_be_exposed_is_refused_with_a_hint(node: str, name: str, code: str) -> None:
    with pytest.raises(GraphError) as refused:
        exposed(graph(), node, name, REGISTRY)
    (problem,) = refused.value.problems
    assert problem.code == code
    assert problem.hint
