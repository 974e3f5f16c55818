"""`--sweep`: values by the type of the input they are for, and what is wrong with them, all at once."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.cli import sweeps
from engine.errors import GraphError
from engine.sweep import Sweep
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
        "seed=-1",
        "steps=1.5:3:1",
        "guidance=1",
        "sampler=eulr",
        "tree=1",
        "tiled=perhaps",
    ]
    with pytest.raises(GraphError) as refused:
        sweeps.parse(GRAPH, specs, {"guidance": 7.0})
    said = [(problem.code, str(problem)) for problem in refused.value.problems]
    assert [code for code, _ in said] == [
        "unknown_param",
        "bad_option",
        "invalid_value",
        "invalid_value",
        "given_twice",
        "invalid_value",
        "invalid_value",
        "invalid_value",
    ]
    for (_, sentence), part in zip(
        said,
        (
            "did you mean steps?",
            "--sweep NAME=VALUES",
            "is -1, which is no seed",
            "takes a whole number, not '1.5'",
            "--sweep guidance stands beside --guidance",
            "did you mean euler?",
            "one JSON list",
            "write true or false",
        ),
        strict=True,
    ):
        assert part in sentence


def test_one_input_is_swept_once() -> None:
    with pytest.raises(GraphError, match="--sweep clip-skip is written twice"):
        sweeps.parse(GRAPH, ["clip_skip=1", "clip-skip=2"], {})


def test_combinations_are_counted() -> None:
    assert len(sweeps.parse(GRAPH, ["seed=1:100", "steps=1:100"], {})) == 2
    with pytest.raises(GraphError, match="10,100 combinations; at most 10,000"):
        sweeps.parse(GRAPH, ["seed=1:100", "steps=1:101"], {})


@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_a_bad_sweep_is_bad_use_in_every_command(call: Call, painting: Path, command: str) -> None:
    answer = call(command, painting, "--sweep", "gray=1,2")
    assert (answer.code, answer.out) == (2, "")
    assert "--sweep gray: the graph has no such input · hint: did you mean grey?" in answer.err
    both = call(command, painting, "--grey", "1", "--sweep", "grey=1,2")
    assert (both.code, both.out) == (2, "")
    assert "--sweep grey stands beside --grey" in both.err
