"""`--sweep`: values by the type of the input they are for, and what is wrong with them, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli import sweeps
from engine.document.sweep import Sweep
from engine.errors import GraphError
from engine.values import Json
from tests.engine.cli.conftest import Call
from tests.engine.cli.test_options import GRAPH


@pytest.mark.parametrize(
    ("spec", "name", "values"),
    [
        ("steps=10,20,30", "steps", [10, 20, 30]),
        ("seed=1:8", "seed", [1, 2, 3, 4, 5, 6, 7, 8]),
        ("guidance=3:9:2", "guidance", [3.0, 5.0, 7.0, 9.0]),
        ("guidance=0:0.3:0.1", "guidance", [0.0, 0.1, 0.2, 0.3]),
        ("tiled=true,no", "tiled", [True, False]),
        ("sampler=ddim,3", "sampler", ["ddim", 3]),
        ('prompt="a, b",1:2', "prompt", ["a, b", "1:2"]),
        ("prompt=a=b", "prompt", ["a=b"]),
        ("clip-skip=1,2", "clip_skip", [1, 2]),
        ('tree=[[1, 2], {"a": null}]', "tree", [[1, 2], {"a": None}]),
        ("weights=[[1], [0.5, 2]]", "weights", [[1], [0.5, 2]]),
        ("start=a.png,b.png", "start", ["a.png", "b.png"]),
        ("out=x,y", "out", ["x", "y"]),
    ],
)
def test_values_are_of_the_type_of_their_input(spec: str, name: str, values: list[Json]) -> None:
    swept = sweeps.parse(GRAPH, [spec], {})
    assert swept == {name: Sweep(tuple(values))}
    assert [type(value) for value in swept[name].values] == [type(value) for value in values]


def test_everything_wrong_is_said_at_once() -> None:
    specs = [
        "stepps=1",
        "steps",
        "seed=-2",
        "steps=1.5:3:1",
        "guidance=1",
        "sampler=eulr",
        "tree=1",
        "tiled=perhaps",
    ]
    with pytest.raises(GraphError) as refused:
        sweeps.parse(GRAPH, specs, {"guidance": 7.0})
    expected = [
        ("unknown_param", "stepps", "steps"),
        ("bad_option", "steps", "--sweep NAME=VALUES"),
        ("invalid_value", "seed", ""),
        ("invalid_value", "steps", ""),
        ("given_twice", "guidance", ""),
        ("invalid_value", "sampler", "euler"),
        ("invalid_value", "tree", ""),
        ("invalid_value", "tiled", ""),
    ]
    for problem, (code, name, hint) in zip(refused.value.problems, expected, strict=True):
        assert problem.code == code
        assert f"--sweep {name}" in problem.message.replace("'", "")
        assert hint in (problem.hint or "")


def code_of(specs: list[str]) -> str:
    """The code of the one problem that these sweeps have."""
    with pytest.raises(GraphError) as refused:
        sweeps.parse(GRAPH, specs, {})
    (problem,) = refused.value.problems
    return problem.code


def test_sweeping_an_input_twice_is_refused() -> None:
    assert code_of(["clip_skip=1", "clip-skip=2"]) == "given_twice"


def test_combinations_are_counted() -> None:
    assert len(sweeps.parse(GRAPH, ["seed=1:100", "steps=1:100"], {})) == 2
    assert code_of(["seed=1:100", "steps=1:101"]) == "too_many"


@pytest.mark.parametrize(
    ("spec", "warned"),
    [
        ("prompt=a cat, red", True),
        ('prompt="a cat, red",a dog', False),
        ("prompt=cat,dog", False),
        ("prompt=a cat", False),
        ("steps=1, 2", False),
        ("nope=a, b", False),
    ],
)
def test_a_sentence_that_is_split_at_its_commas_is_warned_about(spec: str, warned: bool) -> None:
    assert bool(sweeps.split_at_commas(GRAPH, [spec])) is warned


def test_an_input_of_a_node_is_swept_by_its_place(call: Call, painting: Path) -> None:
    swept = call("run", painting, "--sweep", "paint.count=1,2,3", "--sweep", "paint.grey=4,5", "--json").json
    assert len(swept["outputs"]["image"]["files"]) == (1 + 2 + 3) * 2
    for words, code in (
        (["paint.gray=1,2"], "unknown_input"),
        (["pain.grey=1"], "unknown_node"),
        (["paint.count=1,2", "--set", "paint.count=3"], "given_twice"),
        (["paint.grey=1,2", "--grey", "3"], "given_twice"),
        (["paint.count=1,x"], "invalid_value"),
    ):
        answer = call("run", painting, "--sweep", *words, "--json")
        (problem,) = answer.json["problems"]
        assert (answer.code, problem["code"]) == (2, code)


@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_a_bad_sweep_is_bad_use_in_every_command(call: Call, painting: Path, command: str) -> None:
    for words, code in (
        (["--sweep", "gray=1,2"], "unknown_param"),
        (["--grey", "1", "--sweep", "grey=1,2"], "given_twice"),
    ):
        answer = call(command, painting, *words, "--json")
        (problem,) = answer.json["problems"]
        assert (answer.code, problem["code"]) == (2, code)
    assert call(command, painting, "--sweep", "gray=1,2").out == ""
