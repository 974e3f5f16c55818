"""Tests of the run request: it survives JSON, and what is not a request is refused with every problem."""

import json
from pathlib import Path
from typing import Any

import pytest
from hypothesis import HealthCheck, given, settings
from hypothesis import strategies as st

from engine.document.graph import From, Graph, GraphInput
from engine.document.run_request import RunRequest
from engine.document.sweep import Sweep
from engine.errors import GraphError
from tests.engine.document.test_graph import graph_with, jsons, texts

sweeps = st.lists(jsons, max_size=4).map(lambda values: Sweep(tuple(values)))
paths = st.none() | st.text("abc/ .", min_size=1, max_size=12).map(Path)
requests = st.builds(
    RunRequest,
    graph=graph_with(st.just({})),
    values=st.dictionaries(texts, jsons | sweeps, max_size=4),
    targets=st.lists(texts, max_size=3).map(tuple),
    name=texts,
    title=texts,
    out=paths,
    write=st.booleans(),
)


@settings(max_examples=50, deadline=None, suppress_health_check=[HealthCheck.too_slow])
@given(requests, paths)
def test_a_request_survives_json(request: RunRequest, folder: Path | None) -> None:
    request.graph.folder = folder
    read = RunRequest.from_json(json.loads(json.dumps(request.to_json())))
    assert read == request
    assert read.graph.folder == folder
    assert list(read.values) == sorted(request.values, key=lambda name: name in _swept(request))


def _swept(request: RunRequest) -> set[str]:
    return {name for name, value in request.values.items() if isinstance(value, Sweep)}


def test_every_field_but_the_graph_may_be_missing() -> None:
    assert RunRequest.from_json({"graph": {"safelight": 1}}) == RunRequest(Graph())


GRAPH: dict[str, Any] = {"safelight": 1}


@pytest.mark.parametrize(
    ("tree", "codes"),
    [
        (None, ["bad_request", "bad_document"]),
        ({}, ["bad_document"]),
        ({"graph": {"safelight": 99}}, ["newer_format"]),
        ({"graph": GRAPH, "prompt": 3}, ["bad_request"]),
        ({"graph": GRAPH, "values": [1], "sweeps": 3}, ["bad_request"] * 2),
        ({"graph": GRAPH, "values": {"a": float("nan")}, "sweeps": {"b": 3}}, ["bad_request"] * 2),
        ({"graph": GRAPH, "values": {"a": 1}, "sweeps": {"a": [1]}}, ["bad_request"]),
        ({"graph": GRAPH, "targets": "a", "name": 3, "title": None}, ["bad_request"] * 3),
        ({"graph": GRAPH, "targets": [1], "out": "", "folder": "\0", "write": 1}, ["bad_request"] * 4),
    ],
)
def test_an_invalid_request_is_refused_with_every_problem(tree: object, codes: list[str]) -> None:
    with pytest.raises(GraphError) as raised:
        RunRequest.from_json(tree)
    assert [problem.code for problem in raised.value.problems] == codes


def test_a_request_keeps_what_its_graph_declares() -> None:
    graph = Graph(inputs={"seed": GraphInput("seed", 3, False)}, outputs={"out": From("a", "b")})
    assert RunRequest.from_json(RunRequest(graph, {"seed": Sweep((1, 2))}).to_json()).graph == graph
