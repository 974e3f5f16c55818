"""If and Switch: what is not chosen is never computed, be it a picture or a model."""

from __future__ import annotations

from collections.abc import Callable
from pathlib import Path
from typing import Any

import numpy as np
import pytest

from engine.document import reader, writer
from engine.document.graph import Binding, Entry, From, Graph, Literal
from engine.run.report import Report
from engine.session import Session
from engine.sources import source
from engine.testing import computed
from tests.nodes.conftest import GRAPHS, home, open_session, output, session

__all__ = ["home", "open_session", "session"]

FEW = {"steps": 2}


def graph_with(node: Entry, output: str = "chosen") -> Graph:
    """Two ways to make a picture from different seeds, and a node that chooses."""
    graph = source.load(GRAPHS / "text_to_image.json")
    for name, entry in (("denoise", graph.nodes["denoise"]), ("decode", graph.nodes["decode"])):
        graph.nodes[f"{name}2"] = Entry(entry.type, dict(entry.inputs))
    graph.nodes["denoise2"].inputs["seed"] = Literal(8)
    graph.nodes["decode2"].inputs["latent"] = From("denoise2", "latent")
    graph.nodes[output] = node
    graph.outputs = {"image": From(output, "out")}
    return graph


def choice(condition: Any) -> Entry:
    return Entry(
        "If", {"condition": condition, "then": From("decode", "out"), "otherwise": From("decode2", "out")}
    )


def pixels(report: Report) -> Any:
    return output(report).pixels


@pytest.fixture
def singles(open_session: Callable[..., Session], tmp_path: Path) -> list[Any]:
    """The pictures of seed 7 and seed 8, each made on its own in another home."""
    graph = source.load(GRAPHS / "text_to_image.json")
    elsewhere = open_session(tmp_path / "elsewhere")
    return [pixels(elsewhere.run(graph, {**FEW, "seed": seed})) for seed in (7, 8)]


@pytest.mark.parametrize("condition", [True, False])
def test_if_takes_one_picture_and_the_other_is_not_computed(
    session: Session, singles: list[Any], condition: bool
) -> None:
    report = session.run(graph_with(choice(Literal(condition))), FEW)
    assert np.array_equal(pixels(report), singles[0 if condition else 1])
    left = {"denoise2", "decode2"} if condition else {"denoise", "decode"}
    assert not left & computed(report)
    assert {"chosen", "denoise" if condition else "denoise2"} <= computed(report)


def test_the_other_picture_is_computed_once_it_is_chosen(session: Session, singles: list[Any]) -> None:
    session.run(graph_with(choice(Literal(True))), FEW)
    report = session.run(graph_with(choice(Literal(False))), FEW)
    assert np.array_equal(pixels(report), singles[1])
    assert computed(report) == {"chosen", "denoise2", "decode2"}
    again = session.run(graph_with(choice(Literal(True))), FEW)
    assert computed(again) == set()
    assert np.array_equal(pixels(again), singles[0])


@pytest.mark.parametrize("select", [1, 2])
def test_switch_takes_by_number(session: Session, singles: list[Any], select: int) -> None:
    inputs: dict[str, Binding] = {
        "select": Literal(select),
        "a": From("decode", "out"),
        "b": From("decode2", "out"),
    }
    report = session.run(graph_with(Entry("Switch", inputs)), FEW)
    assert np.array_equal(pixels(report), singles[select - 1])
    assert not {f"decode{2 if select == 1 else ''}"} & computed(report)


def test_a_place_with_nothing_in_it_is_named(session: Session) -> None:
    inputs: dict[str, Binding] = {"select": Literal(3), "a": From("decode", "out")}
    report = session.run(graph_with(Entry("Switch", inputs)), FEW)
    problem = report.nodes["chosen"].problem
    assert problem is not None
    assert (problem.node, problem.input) == ("chosen", "c")
    assert "nothing is connected to c" in problem.message
    assert computed(report) == set(), "nothing was computed in vain"


def test_a_list_of_conditions_goes_each_its_own_way(session: Session, singles: list[Any]) -> None:
    """Both branches are taken by some, and each is computed once."""
    report = session.run(graph_with(choice(Literal([False, True, False]))), FEW)
    packed = report.outputs["image"]
    assert [part.name for part in packed.parts] == ["0/0", "1/0", "2/0"]
    assert packed.parts[0].data == packed.parts[2].data != packed.parts[1].data
    assert {"decode", "decode2"} <= computed(report)


@pytest.mark.parametrize("condition", [True, False])
def test_a_model_that_is_not_chosen_is_not_even_loaded(session: Session, condition: bool) -> None:
    """The other checkpoint does not exist: to touch it would be an error."""
    graph = source.load(GRAPHS / "text_to_image.json")
    graph.nodes["other"] = Entry("LoadModel@1", {"model": Literal("gone")})
    inputs: dict[str, Binding] = {
        "condition": Literal(condition),
        "then": From("model", "model"),
        "otherwise": From("other", "model"),
    }
    graph.nodes["which"] = Entry("If", inputs)
    graph.nodes["denoise"].inputs["model"] = From("which", "out")
    graph = reader.parse(writer.dump(graph))
    if condition:
        report = session.run(graph, FEW)
        assert report.state == "done"
        assert "other" not in computed(report)
        plain = session.run(source.load(GRAPHS / "text_to_image.json"), FEW)
        assert np.array_equal(pixels(report), pixels(plain))
    else:
        with pytest.raises(Exception, match="there is no 'gone'"):
            session.run(graph, FEW)


def test_two_kinds_of_things_cannot_be_chosen_between(session: Session) -> None:
    node = Entry(
        "If",
        {"condition": Literal(True), "then": From("decode", "out"), "otherwise": From("model", "model")},
    )
    problems = session.check(graph_with(node)).problems
    assert [problem.node for problem in problems if problem.severity == "error"] == ["chosen"]
