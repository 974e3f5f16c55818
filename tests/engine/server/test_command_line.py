"""`safelight run --server`: gives the same files and the same answer as a run on this machine."""

from __future__ import annotations

import json
from pathlib import Path
from typing import Any

import pytest

from engine import cli
from engine.document import writer
from engine.document.graph import Entry, From, Graph, GraphInput, Param
from engine.sources import source
from tests.engine.cli.test_answers_schema import fits
from tests.engine.server.conftest import RunningServer, graph

PAINTING = Graph(
    {
        "paint": Entry("Noise@1", {"seed": Param("seed"), "caption": Param("caption")}),
        "count": Entry("Add@1", {"b": Param("b"), "a": Param("a")}),
    },
    {
        "seed": GraphInput("seed", 7, False),
        "caption": GraphInput("text", "", False),
        "b": GraphInput("int", 2, False),
        "a": GraphInput("int", 1, False),
    },
    {"picture": From("paint", "out"), "number": From("count", "out")},
    title="A painting",
)
"""A graph in which nothing has the order of the alphabet."""


class Both:
    """Runs a graph on this machine and on a server of the same home."""

    def __init__(self, server: RunningServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._server, self._folder, self._capsys = server, folder, capsys

    def run(
        self, *words: str, graph: Graph = PAINTING, code: int = 0
    ) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the answers of the local run and of the server's run, which have the exit code `code`."""
        file = self._folder / "graph.json"
        file.write_text(writer.dump(graph))
        served = ["--server", self._server.url]
        words = (str(file), *words)
        return self._run("local", code, *words), self._run("served", code, *words, *served)

    def _run(self, name: str, code: int, *words: str) -> dict[str, Any]:
        home = str(self._server.home)
        out = str(self._folder / name)
        assert cli.main(["run", *words, "--json", "--out", out, "--home", home]) == code
        answer: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return answer


@pytest.fixture
def both(server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Both:
    return Both(server, tmp_path, capsys)


def without(tree: Any, *names: str) -> Any:
    """A copy of JSON without the fields of these names, at any depth."""
    if isinstance(tree, list):
        return [without(item, *names) for item in tree]
    if not isinstance(tree, dict):
        return tree
    return {name: without(item, *names) for name, item in tree.items() if name not in names}


@pytest.mark.parametrize("words", [["--seed", "41"], ["--sweep", "seed=1:3", "--sweep", "caption=x,y"]])
def test_an_answer_has_the_fields_and_file_names_of_a_local_run(both: Both, words: list[str]) -> None:
    local, served = both.run(*words)
    fits(served, "run")
    assert served.keys() - local.keys() == {"run"}
    assert {*local} <= {*served}
    assert without(served["outputs"], "files") == without(local["outputs"], "files")
    assert names(served) == names(local)
    assert len(names(served)) == len(set(names(served))) == (6 if "--sweep" in words else 1)
    assert served["nodes"].keys() == local["nodes"].keys()
    for node in served["nodes"].values():
        assert (node["state"], node["cache"] != "none") == ("cached", True), "the local run came first"
    for name in ("values", "made_with", "state"):
        assert served[name] == local[name]
    assert 0 < served["seconds"] < 60


def names(answer: dict[str, Any]) -> list[str]:
    """The names of the files, in the order of the answer; of a list, also in that of its elements."""
    picture = answer["outputs"]["picture"]
    if "elements" in picture:
        assert [file for element in picture["elements"] for file in element["files"]] == picture["files"]
    return [Path(file).name for file in picture["files"]]


def test_an_answer_of_a_failed_run_has_its_node_and_problem(both: Both) -> None:
    local, served = both.run(graph=graph("Fail", text=GraphInput("text", "of both", False)), code=1)
    fits(served, "run")
    assert (served["state"], served["problems"]) == (local["state"], local["problems"])
    assert without(served["nodes"], "seconds") == without(local["nodes"], "seconds")


def test_a_picture_is_the_same_file_with_the_graph_in_the_order_of_its_author(both: Both) -> None:
    (local,), (served,) = (answer["outputs"]["picture"]["files"] for answer in both.run("--seed", "5"))
    assert Path(served).read_bytes() == Path(local).read_bytes()
    kept = source.load(Path(served))
    assert [*kept.inputs] == [*PAINTING.inputs]
    assert [*kept.nodes] == [*PAINTING.nodes]
    assert [[*entry.inputs] for entry in kept.nodes.values()] == [["seed", "caption"], ["b", "a"]]
    assert [*kept.outputs] == [*PAINTING.outputs]
