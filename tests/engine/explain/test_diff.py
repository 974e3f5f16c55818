"""What makes one graph another, said in words and held against what was done to it."""

from __future__ import annotations

import json
import random
from dataclasses import replace
from typing import Any

import pytest
from hypothesis import given
from hypothesis import strategies as st

from engine.document.graph import Entry, From, Graph, Literal
from engine.document.reader import from_json
from engine.explain.diff import diff

BASE: dict[str, Any] = {
    "safelight": 1,
    "title": "A cat",
    "doc": "About cats",
    "inputs": {
        "seed": {"type": "seed", "default": 3, "doc": "Where it starts"},
        "mode": {"type": "choice", "default": "fast", "choices": ["fast", "fine"]},
    },
    "outputs": {"image": {"from": "decode.out"}},
    "nodes": {
        "model": {"type": "LoadModel@1", "inputs": {"model": "tiny"}},
        "text": {
            "type": "EncodePrompt@1",
            "inputs": {"encoder": {"from": "model.encoder"}, "prompt": "a cat on a mat"},
        },
        "denoise": {
            "type": "Denoise@1",
            "inputs": {
                "model": {"from": "model.model"},
                "positive": {"from": "text.out"},
                "seed": {"param": "seed"},
                "steps": 20,
            },
        },
        "decode": {"type": "Decode@1", "title": "See it", "inputs": {"latent": {"from": "denoise.latent"}}},
        "blur": {"type": "Blur", "off": True},
    },
    "graphs": {"soften": {"nodes": {"blur": {"type": "Blur@1", "inputs": {"radius": 2}}}}},
    "layout": {"model": [0, 0]},
}


def changed(path: str, value: Any) -> Graph:
    """The graph with one part of its document replaced, or taken out."""
    tree = json.loads(json.dumps(BASE))
    *way, last = path.split("/")
    at = tree
    for name in way:
        at = at[name]
    if value is None:
        del at[last]
    else:
        at[last] = value
    return from_json(tree)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("nodes/text/inputs/prompt", "a dog on a mat", "`text`: prompt changed"),
        ("nodes/denoise/inputs/steps", 30, "`denoise`: steps is 30, was 20"),
        ("nodes/denoise/inputs/steps", 20.0, "`denoise`: steps is 20.0, was 20"),
        ("nodes/denoise/inputs/steps", None, "`denoise`: steps is its default again"),
        ("nodes/denoise/inputs/guidance", 3, "`denoise`: guidance is no longer its default"),
        ("nodes/denoise/inputs/seed", 5, "`denoise`: seed no longer takes the graph's input `seed`"),
        (
            "nodes/denoise/inputs/steps",
            {"param": "seed"},
            "`denoise`: steps now takes the graph's input `seed`",
        ),
        (
            "nodes/denoise/inputs/positive",
            {"from": "model.model"},
            "`denoise`: positive now comes from `model`",
        ),
        ("nodes/denoise/inputs/positive", 1, "`denoise`: positive no longer comes from `text`"),
        (
            "nodes/denoise/inputs/model",
            {"from": "model.unet"},
            "`denoise`: model now comes from `model.unet`",
        ),
        ("nodes/denoise/type", "Denoise@2", "`denoise`: Denoise is now version 2"),
        ("nodes/denoise/type", "Denoise", "`denoise`: Denoise replaces Denoise@1"),
        ("nodes/denoise/type", "Sample@1", "`denoise`: Sample replaces Denoise"),
        ("nodes/denoise/off", True, "`denoise`: is off now"),
        ("nodes/blur/off", False, "`blur`: is on again"),
        ("nodes/denoise/lift", "cross", "`denoise`: lift is cross, was zip"),
        ("nodes/sharpen", {"type": "Sharpen@1"}, "`sharpen`: is new (Sharpen@1)"),
        ("nodes/blur", None, "`blur`: was removed (Blur)"),
        ("inputs/seed/default", 7, "the default of the input `seed` of the graph is 7, was 3"),
        ("inputs/seed/default", None, "default of the input `seed` of the graph changed"),
        ("inputs/mode/choices", ["fast"], "choices of the input `mode` of the graph changed"),
        ("inputs/mode", None, "the input `mode` of the graph is gone"),
        ("inputs/steps", {"type": "int"}, "the input `steps` of the graph is new"),
        ("outputs/image", None, "the output `image` of the graph is gone"),
        ("outputs/text", {"from": "text.out"}, "the output `text` of the graph is new"),
        (
            "outputs/image",
            {"from": "text.out"},
            "the output `image` of the graph is now connected to `text.out`",
        ),
        ("graphs/soften/nodes/blur/inputs/radius", 3, "`#soften/blur`: radius is 3, was 2"),
        ("graphs/soften", None, "the graph #soften is gone"),
        ("passes", {"image": "start"}, '"passes" of the graph changed'),
    ],
)
def test_one_change_is_one_sentence(path: str, value: Any, says: str) -> None:
    was = from_json(BASE)
    (change,) = diff(was, changed(path, value))
    assert str(change) == says
    (back,) = diff(changed(path, value), was)
    assert (back.node, back.name, back.was, back.now) == (change.node, change.name, change.now, change.was)


@pytest.mark.parametrize(
    ("path", "value", "says"),
    [
        ("title", "A dog", "the title of the graph changed"),
        ("doc", "About dogs", "the doc of the graph changed"),
        ("nodes/decode/title", "Look", "`decode`: title changed"),
        ("layout/model", [1, 0], "`model`: was moved"),
        ("inputs/seed/doc", "Its seed", "doc of the input `seed` of the graph changed"),
    ],
)
def test_diff_lists_titles_and_layout_only_on_request(path: str, value: Any, says: str) -> None:
    was, now = from_json(BASE), changed(path, value)
    assert diff(was, now) == []
    assert [str(change) for change in diff(was, now, everything=True)] == [says]


def test_a_renamed_node_is_no_other_node_and_its_wires_are_the_same() -> None:
    text = json.dumps(BASE).replace('"text"', '"words"').replace("text.out", "words.out")
    renamed = from_json(json.loads(text.replace('"model"', '"load"').replace('"model.', '"load.')))
    renamed.nodes["load"].inputs["model"] = renamed.nodes["load"].inputs.pop("load")
    renamed.nodes["denoise"].inputs["model"] = renamed.nodes["denoise"].inputs.pop("load")
    found = diff(from_json(BASE), renamed)
    assert [str(change) for change in found] == ["`load`: was `model`", "`words`: was `text`"]


def test_the_nodes_of_a_circle_are_compared_too() -> None:
    circle = Graph({"a": Entry("Add", {"a": From("b", "out")}), "b": Entry("Add", {"a": From("a", "out")})})
    other = replace(circle, nodes={**circle.nodes, "b": Entry("Add", {"a": Literal(1)})})
    assert [str(change) for change in diff(circle, other)] == ["`b`: a no longer comes from `a`"]
    assert diff(circle, circle) == []


@given(st.integers(0, 10_000), st.integers(2, 12))
def test_diff_of_renamed_nodes_lists_only_renames(seed: int, count: int) -> None:
    chance = random.Random(seed)
    nodes = {}
    for n in range(count):
        wires = {f"in{k}": From(f"n{chance.randrange(n)}", "out") for k in range(chance.randrange(3)) if n}
        nodes[f"n{n}"] = Entry(chance.choice(["Mix@1", "Split@1"]), {**wires, "salt": Literal(n)})
    was = Graph(nodes, outputs={"x": From(f"n{count - 1}", "out")})
    others = {node: chance.choice([node, f"other-{node}"]) for node in nodes}

    def under(binding: Any) -> Any:
        return From(others[binding.node], binding.output) if isinstance(binding, From) else binding

    moved = [(others[node], Entry(entry.type, {k: under(v) for k, v in entry.inputs.items()}))
             for node, entry in nodes.items()]  # fmt: skip
    chance.shuffle(moved)
    now = Graph(dict(moved), outputs={"x": under(was.outputs["x"])})
    assert {(change.what, change.was, change.now) for change in diff(was, now)} == {
        ("renamed", node, other) for node, other in others.items() if node != other
    }
