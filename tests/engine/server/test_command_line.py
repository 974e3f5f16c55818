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
from tests.engine.server.conftest import RunningServer

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
    """Runs `PAINTING` on this machine and on a server of the same home."""

    def __init__(self, server: RunningServer, folder: Path, capsys: pytest.CaptureFixture[str]) -> None:
        self._server, self._folder, self._capsys = server, folder, capsys
        self._file = folder / "painting.json"
        self._file.write_text(writer.dump(PAINTING))

    def run(self, *words: str) -> tuple[dict[str, Any], dict[str, Any]]:
        """Return the answers of the local run and of the server's run."""
        return self._run("local", *words), self._run("served", *words, "--server", self._server.url)

    def _run(self, name: str, *words: str) -> dict[str, Any]:
        out = str(self._folder / name)
        home = str(self._server.home)
        assert cli.main(["run", str(self._file), *words, "--json", "--out", out, "--home", home]) == 0
        answer: dict[str, Any] = json.loads(self._capsys.readouterr().out)
        return answer


@pytest.fixture
def both(server: RunningServer, tmp_path: Path, capsys: pytest.CaptureFixture[str]) -> Both:
    return Both(server, tmp_path, capsys)


def test_a_picture_is_the_same_file_with_the_graph_in_the_order_of_its_author(both: Both) -> None:
    (local,), (served,) = (answer["outputs"]["picture"]["files"] for answer in both.run("--seed", "5"))
    assert Path(served).read_bytes() == Path(local).read_bytes()
    kept = source.load(Path(served))
    assert [*kept.inputs] == [*PAINTING.inputs]
    assert [*kept.nodes] == [*PAINTING.nodes]
    assert [[*entry.inputs] for entry in kept.nodes.values()] == [["seed", "caption"], ["b", "a"]]
    assert [*kept.outputs] == [*PAINTING.outputs]
