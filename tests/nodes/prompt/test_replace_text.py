"""ReplaceText, and the training examples that put the name of the taught word into their prompts with it."""

from __future__ import annotations

from typing import Any

import pytest

from engine.document.graph import From
from engine.session import Session
from engine.sources import source
from engine.testing import run_node
from nodes.prompt.replace_text import ReplaceText
from tests.nodes.conftest import GRAPHS


@pytest.mark.parametrize(
    ("text", "find", "replace", "expected"),
    [
        ("a <[name]> and a [name]", "[name]", "moon", "a <moon> and a moon"),
        ("a.b", ".", r"\1", r"a\1b"),
        ("a [Name]", "[name]", "moon", "a [Name]"),
        ("[name][name]", "[name]", "[name]x", "[name]x[name]x"),
        ("abc", "", "-", "abc"),
        ("", "a", "b", ""),
    ],
)
def test_every_occurrence_is_replaced_as_it_is_written(
    session: Session, text: str, find: str, replace: str, expected: str
) -> None:
    node = ReplaceText(text=text, find=find, replace=replace)
    assert run_node(session, node)["out"] == expected


@pytest.mark.parametrize(
    ("example", "values", "expected"),
    [
        ("train_embedding", {}, ["a heart on a green background", "a <lumo> on a green background"]),
        (
            "train_embedding",
            {"name": "moon", "initial_text": "circle"},
            ["a circle on a green background", "a <moon> on a green background"],
        ),
        ("train_both", {}, ["a heart on a green background", "a <lumo> on a green background"]),
        ("train_both", {"name": "moon"}, ["a heart on a green background", "a <moon> on a green background"]),
        ("refine_with_embedding", {}, ["a heart on a green background", "a <lumo> on a green background"]),
        (
            "refine_with_embedding",
            {"name": "moon"},
            ["a heart on a green background", "a <moon> on a green background"],
        ),
    ],
)
def test_the_prompts_of_the_training_examples_have_the_name_of_the_word(
    session: Session, example: str, values: dict[str, Any], expected: list[str]
) -> None:
    graph = source.load(GRAPHS / f"{example}.json")
    prompts = graph.nodes["positive"].inputs["prompt"]
    assert isinstance(prompts, From)
    graph.outputs = {"prompts": prompts}
    assert prompted(session, graph, values) == expected


@pytest.mark.parametrize(
    ("example", "input", "expected"),
    [
        ("train_both", "columns", ["a heart", "", "a <moon>", ""]),
        ("refine_with_embedding", "rows", ["LoRA", "LoRA and <moon>"]),
    ],
)
def test_the_labels_of_the_training_examples_have_the_name_of_the_word(
    session: Session, example: str, input: str, expected: list[str]
) -> None:
    graph = source.load(GRAPHS / f"{example}.json")
    (sheet,) = (node for node in graph.nodes.values() if isinstance(node.inputs.get(input), From))
    labels = sheet.inputs[input]
    assert isinstance(labels, From)
    graph.outputs = {"prompts": labels}
    assert prompted(session, graph, {"name": "moon"}) == expected


def prompted(session: Session, graph: Any, values: dict[str, Any]) -> Any:
    """The texts that a graph declares as its output `prompts`, without the training."""
    graph.nodes = {name: node for name, node in graph.nodes.items() if node.name == "ReplaceText"}
    report = session.run(graph, values)
    assert report.state == "done"
    return report.outputs["prompts"].meta
