"""DynamicPrompt and ApplyStyles in graphs: cached by seed and files, and every mistake has a place."""

from __future__ import annotations

from pathlib import Path
from typing import Any

import pytest

from engine.document.graph import Entry, From, Graph, Literal
from engine.errors import GraphError
from engine.session import Session
from tests.nodes.conftest import ran


def dynamic(**inputs: Any) -> Graph:
    entry = Entry("DynamicPrompt@1", {name: Literal(value) for name, value in inputs.items()})
    return Graph(nodes={"dynamic": entry}, outputs={"prompt": From("dynamic", "out")})


def styled(**inputs: Any) -> Graph:
    entry = Entry("ApplyStyles@1", {name: Literal(value) for name, value in inputs.items()})
    outputs = {name: From("styled", name) for name in ("prompt", "negative")}
    return Graph(nodes={"styled": entry}, outputs=outputs)


def prompt(session: Session, graph: Graph) -> Any:
    return session.run(graph).outputs["prompt"].meta


@pytest.fixture
def wildcards(home: Path) -> Path:
    folder = home / "models" / "wildcards"
    (folder / "animals").mkdir(parents=True)
    (folder / "colour.txt").write_text("# colours\nred\n\n  red  \n")
    (folder / "animals" / "pets.txt").write_text("cat\n")
    (folder / "animals" / "birds.txt").write_text("cat\n")
    return folder


def test_wildcards_are_found_by_path_and_stem_and_pattern(session: Session, wildcards: Path) -> None:
    for written in ("__animals/pets__", "__pets__", "__animals/*__", "__Animals/Pets__"):
        assert prompt(session, dynamic(prompt=f"a __colour__ {written}")) == "a red cat"
    assert prompt(session, dynamic(prompt="__pets__", wildcards="animals")) == "cat"
    assert prompt(session, dynamic(prompt="__colour__", wildcards="colour.txt")) == "red"


def test_a_seed_is_cached_and_only_the_files_that_it_reads_redo_it(session: Session, wildcards: Path) -> None:
    graph = dynamic(prompt="{a|b|c} __colour__", seed=3)
    first = prompt(session, graph)
    assert ran(session.run(graph)) == set()
    (wildcards / "animals" / "pets.txt").write_text("dog\n")
    assert ran(session.run(graph)) == set()
    (wildcards / "colour.txt").write_text("blue\n")
    assert prompt(session, graph) == first.replace("red", "blue")
    drawn = {prompt(session, dynamic(prompt="{a|b|c}", seed=seed)) for seed in range(12)}
    assert drawn == {"a", "b", "c"}


@pytest.mark.parametrize(
    ("inputs", "code", "place"),
    [
        ({"prompt": "__color__"}, "missing_file", "dynamic.prompt"),
        ({"prompt": "__empty__"}, "empty_wildcard", "dynamic.prompt"),
        ({"prompt": "__broken__"}, "bad_text", "dynamic.prompt"),
        ({"prompt": "{" * 60 + "}" * 60}, "node_failed", "dynamic.prompt"),
    ],
)
def test_a_mistake_has_its_place(
    session: Session, wildcards: Path, inputs: dict[str, Any], code: str, place: str
) -> None:
    (wildcards / "empty.txt").write_text("# nothing\n")
    (wildcards / "broken.txt").write_bytes(b"\xff\xfe")
    with pytest.raises(GraphError) as refused:
        session.run(dynamic(**inputs))
    (problem,) = refused.value.problems
    assert (problem.code, problem.place) == (code, place)
    if "color" in inputs["prompt"]:
        assert "colour" in (problem.hint or "")


def test_styles_are_added_and_follow_their_file(session: Session, home: Path) -> None:
    file = home / "models" / "styles" / "styles.csv"
    file.parent.mkdir(parents=True)
    file.write_text("\ufeffname,prompt,negative_prompt\nInk,{prompt} in ink,blurry\n", "utf-8")
    graph = styled(prompt="a mug", negative="", styles=["Ink"])
    outputs = session.run(graph).outputs
    assert (outputs["prompt"].meta, outputs["negative"].meta) == ("a mug in ink", "blurry")
    assert ran(session.run(graph)) == set()
    file.write_text("name,prompt,negative_prompt\nInk,{prompt} in oil,\n")
    assert prompt(session, graph) == "a mug in oil"
    report = session.run(styled(styles=["Inc"]))
    problem = report.nodes["styled"].problem
    assert problem is not None
    assert (problem.code, problem.place) == ("missing_style", "styled.styles")
    assert "Ink" in (problem.hint or "")
