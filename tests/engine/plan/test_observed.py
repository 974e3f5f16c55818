"""Whatever a step can observe is in its key: a change of it gives another key, or an equal result."""

from __future__ import annotations

import unicodedata
from collections.abc import Callable, Iterator, Mapping
from dataclasses import replace
from functools import partial
from typing import Any

import pytest
from hypothesis import given, settings
from hypothesis import strategies as st

from engine.errors import GraphError
from tests.engine.plan.observed_world import SHOP, Observatory, World

Draw = Callable[[st.SearchStrategy[Any]], Any]

PLAIN: list[Any] = [0, 1, 1.0, True, False, 0.0, -0.0, None, "", "1", "\u00e9", "e\u0301", 2**60, 1e300]
JSON = st.recursive(
    st.sampled_from(PLAIN),
    lambda inner: (
        st.lists(inner, max_size=2)
        | st.permutations(["a", "b"]).flatmap(
            lambda names: st.tuples(inner, inner).map(lambda pair: dict(zip(names, pair, strict=True)))
        )
    ),
    max_leaves=3,
)
FLOATS = st.lists(st.sampled_from([0.0, -0.0, 1.0, 1, 2.5]), max_size=3)
NUMBERS = st.sampled_from([0.0, -0.0, 1, [1.0, 2.0], [1, 2], [], {"from": "many.out"}, {"from": "more.out"}])
LINKS = st.sampled_from(["const.out", "through.out", "two.first", "two.second", "many.out"])
THINGS = LINKS.map(lambda link: {"from": link}) | JSON.map(
    lambda value: {"value": value} if isinstance(value, dict) else value
)
LITERALS = JSON.map(lambda value: {"value": value} if isinstance(value, dict) else value)
OBSERVERS = st.sampled_from(["See", "Look"])
LIFTS = st.sampled_from(["zip", "cross"])


@st.composite
def worlds(draw: Draw) -> World:
    """A graph whose last node observes values, lists, values of two packs, and a file."""
    inputs = {"thing": draw(THINGS), "number": draw(NUMBERS), "other": draw(NUMBERS), "file": "a.txt"}
    if draw(st.booleans()):
        inputs |= {"tint": {"from": "tints.out"}, "shade": {"from": "shade.out"}}
    through = {"type": "Through", "inputs": {"value": {"from": "const.out"}}, "off": draw(st.booleans())}
    return World(
        {
            "const": {"type": "Const", "inputs": {"value": draw(LITERALS)}},
            "through": through,
            "two": {"type": "Two", "inputs": {"value": draw(LITERALS)}},
            "many": {"type": "Many", "inputs": {"values": draw(FLOATS)}},
            "more": {"type": "Many", "inputs": {"values": [3.0, 4.0]}},
            "tints": {"type": "Tints", "inputs": {"names": ["a", "z"]}},
            "shade": {"type": "MakeShade"},
            "seen": {"type": draw(OBSERVERS), "lift": draw(LIFTS), "inputs": inputs},
        }
    )


def with_inputs(world: World, node: str, **inputs: Any) -> World:
    """The world with other inputs of one node."""
    return with_node(world, node, inputs={**world.nodes[node].get("inputs", {}), **inputs})


def with_node(world: World, node: str, **keys: Any) -> World:
    """The world with other keys of one node, such as `lift`."""
    return replace(world, nodes={**world.nodes, node: {**world.nodes[node], **keys}})


def renamed(world: World) -> World:
    """The world with another id of the node that is looked at."""
    nodes = dict(world.nodes)
    nodes["other_id"] = nodes.pop(world.target)
    return replace(world, nodes=nodes, target="other_id")


def decomposed(value: Any) -> Any:
    """The value with all text in another normal form of Unicode."""
    if isinstance(value, str):
        return unicodedata.normalize("NFD", value)
    if isinstance(value, list):
        return [decomposed(item) for item in value]
    if isinstance(value, Mapping):
        return {name: decomposed(item) for name, item in value.items()}
    return value


def moved(world: World, draw: Draw) -> World:
    """The file in a sub-folder, named as it is found there."""
    files = {"sub/a.txt": world.files["a.txt"], "b.txt": "two"}
    return with_inputs(replace(world, files=files), "seen", file="sub/a.txt")


GRAPH_CHANGES: dict[str, Callable[[World, Draw], World]] = {
    "a value": lambda world, draw: with_inputs(world, "const", value=draw(LITERALS)),
    "a value of two outputs": lambda world, draw: with_inputs(world, "two", value=draw(LITERALS)),
    "an input": lambda world, draw: with_inputs(world, "seen", thing=draw(THINGS)),
    "a number": lambda world, draw: with_inputs(world, "seen", number=draw(NUMBERS)),
    "another list": lambda world, draw: with_inputs(world, "seen", other=draw(NUMBERS)),
    "a table": lambda world, draw: with_inputs(world, "seen", table={"value": {"a": draw(st.just(1))}}),
    "a flag": lambda world, draw: with_inputs(world, "seen", flag=True),
    "a whole number": lambda world, draw: with_inputs(world, "seen", whole=1),
    "elements": lambda world, draw: with_inputs(world, "many", values=draw(FLOATS)),
    "order of values": lambda world, draw: with_inputs(world, "tints", names=["z", "a"]),
    "normal form": lambda world, draw: replace(world, nodes=decomposed(world.nodes)),
    "lift": lambda world, draw: with_node(world, "seen", lift=draw(LIFTS)),
    "off": lambda world, draw: with_node(world, "through", off=draw(st.booleans())),
    "type": lambda world, draw: with_node(world, "seen", type=draw(OBSERVERS)),
    "id": lambda world, draw: renamed(world),
    "content": lambda world, draw: replace(world, files={**world.files, "a.txt": "three"}),
    "swapped files": lambda world, draw: replace(world, files={"a.txt": "two", "b.txt": "one"}),
    "moved file": moved,
    "another file": lambda world, draw: with_inputs(world, "seen", file="b.txt"),
    "no file": lambda world, draw: with_inputs(world, "seen", file=""),
    "precision": lambda world, draw: replace(world, compute={"dtype": "bfloat16"}),
    "attention": lambda world, draw: replace(world, compute={"attention": "plain"}),
    "device": lambda world, draw: replace(world, compute={"device": "cuda"}),
    "compilation": lambda world, draw: replace(world, compute={"compile": "whole"}),
}


@pytest.fixture(scope="module")
def observatory(tmp_path_factory: pytest.TempPathFactory) -> Iterator[Observatory]:
    with pytest.MonkeyPatch.context() as patch:
        made = Observatory(tmp_path_factory.mktemp("world"), patch)
        yield made
        made.close()


def refused_or(observe: Callable[[], Any]) -> Any:
    """What is observed; None for a graph that is refused, such as one with lists of different lengths."""
    try:
        return observe()
    except GraphError:
        return None


@settings(max_examples=150, deadline=None)
@given(world=worlds(), change=st.sampled_from(sorted(GRAPH_CHANGES)), data=st.data())
def test_a_change_that_a_step_observes_changes_its_key(
    observatory: Observatory, world: World, change: str, data: st.DataObject
) -> None:
    changed = GRAPH_CHANGES[change](world, data.draw)
    before, after = (refused_or(partial(observatory.observe, one)) for one in (world, changed))
    if before is not None and after is not None and before[0] == after[0]:
        assert repr(before[1]) == repr(after[1])


def coded(file: str, old: str, new: str) -> Callable[[World], World]:
    """A change of the code of a pack in the home's `nodes/`."""

    def change(world: World) -> World:
        assert old in world.code[file]
        return replace(world, code={**world.code, file: world.code[file].replace(old, new)})

    return change


def released(world: World) -> World:
    """The world with a release of the installed pack whose values look otherwise, with equal bytes."""
    return replace(world, shop=("1.1", SHOP.replace("return self.name", "return self.name.upper()")))


CODE_CHANGES: dict[str, Callable[[World], World]] = {
    "code": coded("kit/__init__.py", "facts = [", "facts = ['more', "),
    "version": coded("kit/__init__.py", "class Look(_Observer", "class Look(_Observer, version=2"),
    "helper": coded("kit/helper.py", "mark", "other"),
    "helper that is imported late": coded("kit/late.py", "late", "later"),
    "dot-file": coded("kit/.palette", "red", "blue"),
    "order inside of a value": coded("kit/__init__.py", '{name: 1, "c": 2}', '{"c": 2, name: 1}'),
    "unpack": coded("tints.py", "cls(meta)", "cls({**meta, 'more': 1})"),
    "look of a type": coded("tints.py", "return ascii(", "return 'tint ' + ascii("),
    "release of an installed pack": released,
}
WIRED = {
    "thing": {"from": "two.second"},
    "tint": {"from": "tints.out"},
    "shade": {"from": "shade.out"},
    "file": "a.txt",
}
SOURCES: dict[str, dict[str, Any]] = {
    "two": {"type": "Two", "inputs": {"value": 1}},
    "tints": {"type": "Tints", "inputs": {"names": ["a", "z"]}},
    "shade": {"type": "MakeShade"},
    "shades": {"type": "Shades"},
}
OBSERVED: dict[str, dict[str, Any]] = {
    "everything on the device": {"type": "See", "inputs": WIRED},
    "everything on the host": {"type": "Look", "inputs": WIRED},
    "elements": {"type": "Peek", "inputs": {"thing": {"from": "tints.out"}, "number": [1, 2]}},
    "elements of an installed type": {
        "type": "Peek",
        "inputs": {"thing": {"from": "shades.out"}, "number": [1, 2]},
    },
    "a value of an installed type": {"type": "Peek", "inputs": {"thing": {"from": "shade.out"}}},
}


def observed(
    observatory: Observatory, change: Callable[[World], World] = lambda world: world
) -> dict[str, Any]:
    """What each of the nodes observes, after a change."""
    return {
        name: observatory.observe(change(World({**SOURCES, "seen": node}))) for name, node in OBSERVED.items()
    }


def test_a_change_of_code_that_a_step_observes_changes_its_key(observatory: Observatory) -> None:
    before = observed(observatory)
    seen = set()
    for name, change in CODE_CHANGES.items():
        for node, (key, result) in observed(observatory, change).items():
            assert key != before[node][0] or result == before[node][1], (name, node)
            seen |= {name, node} if result != before[node][1] else set()
    assert seen == (CODE_CHANGES.keys() | OBSERVED.keys()) - {"order inside of a value"}


UNOBSERVABLE: dict[str, Callable[[World], World]] = {
    "nothing": lambda world: world,
    "order of nodes": lambda world: replace(world, nodes=dict(reversed([*world.nodes.items()]))),
    "order of inputs": lambda world: with_node(
        world, "seen", inputs=dict(reversed(world.nodes["seen"]["inputs"].items()))
    ),
    "id": renamed,
    "titles": lambda world: with_node(
        replace(world, beside={"title": "Another"}), "seen", title="Other words"
    ),
    "layout": lambda world: replace(world, beside={"layout": {"seen": [7, 8]}}),
    "view": lambda world: replace(world, beside={"view": {"collapsed": ["seen"]}}),
    "another node": lambda world: replace(world, nodes={**world.nodes, "idle": {"type": "Const"}}),
    "another file": lambda world: replace(world, files={**world.files, "c.txt": "three"}),
    "settings that are the defaults": lambda world: replace(
        world, compute={"device": "cpu", "dtype": "float32"}
    ),
}


@settings(max_examples=50, deadline=None)
@given(world=worlds(), change=st.sampled_from(sorted(UNOBSERVABLE)))
def test_a_change_that_no_step_observes_keeps_the_key(
    observatory: Observatory, world: World, change: str
) -> None:
    before, after = (
        refused_or(partial(observatory.observe, one)) for one in (world, UNOBSERVABLE[change](world))
    )
    assert repr(before) == repr(after)


def test_a_number_that_is_no_number_has_no_key(observatory: Observatory) -> None:
    for number in (float("nan"), float("inf"), [float("nan")]):
        for name in ("thing", "number"):
            with pytest.raises(GraphError):
                observatory.observe(World({"seen": {"type": "See", "inputs": {name: number}}}))


def test_a_pure_node_does_not_know_its_id(observatory: Observatory) -> None:
    _, result = observatory.observe(World({"seen": {"type": "Look"}}))
    assert "NodeError" in result
    assert "seen" not in result
