"""The files beside a graph go with it when it is saved in another folder; nothing is overwritten."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.document.graph import Binding, Entry, Graph, GraphInput, Literal, Param
from engine.server import files_beside
from engine.server.files_beside import CopiedFiles, copy_files_beside, file_inputs
from tests.engine.server.conftest import App

API = "/api/v1"
LOAD = {
    "type": "Load@2",
    "inputs": {"file": {"x-widget": {"kind": "file", "choices_from": "inputs"}}, "text": {}},
}


@pytest.fixture
def places(tmp_path: Path) -> tuple[Path, Path]:
    source, target = tmp_path / "source", tmp_path / "target"
    (source / "set" / "deep").mkdir(parents=True)
    target.mkdir()
    (source / "set" / "a.png").write_bytes(b"a")
    (source / "set" / "deep" / "b.txt").write_bytes(b"b")
    (source / "one.png").write_bytes(b"one")
    (tmp_path / "secret").write_bytes(b"secret")
    (source / "set" / "link").symlink_to(tmp_path / "secret")
    return source, target


def copied(graph: Graph, places: tuple[Path, Path]) -> CopiedFiles:
    return copy_files_beside(graph, file_inputs([LOAD]), *places)


def loading(**inputs: Binding) -> Graph:
    return Graph({"load": Entry("Load@2", dict(inputs))})


def test_files_and_folders_that_file_inputs_name_are_copied(places: tuple[Path, Path]) -> None:
    nodes = {
        "a": Entry("Load@2", {"file": Literal("one.png")}),
        "b": Entry("Load@2", {"file": Param("folder")}),
    }
    done = copied(Graph(nodes, inputs={"folder": GraphInput("text", "set")}), places)
    assert done == CopiedFiles(("one.png", "set"))
    found = {str(path.relative_to(places[1])) for path in places[1].rglob("*") if path.is_file()}
    assert found == {"one.png", "set/a.png", "set/deep/b.txt"}
    assert copied(Graph(nodes, inputs={"folder": GraphInput("text", "set")}), places) == CopiedFiles()


@pytest.mark.parametrize(
    "inputs",
    [
        {"text": Literal("one.png")},  # a prompt, not a file
        {"file": Literal("../secret")},
        {"file": Literal("/etc/hostname")},
        {"file": Literal(".")},
        {"file": Literal("")},
        {"file": Literal("gone.png")},
        {"file": Literal("x" * 5000)},
    ],
)
def test_nothing_else_is_copied(inputs: dict[str, Binding], places: tuple[Path, Path]) -> None:
    assert copied(loading(**inputs), places) == CopiedFiles()
    assert list(places[1].iterdir()) == []


def test_another_file_of_the_name_stays_and_is_told(places: tuple[Path, Path]) -> None:
    (places[1] / "one.png").write_bytes(b"another")
    done = copied(loading(file=Literal("one.png")), places)
    assert (done.copied, len(done.left)) == ((), 1)
    assert (places[1] / "one.png").read_bytes() == b"another"


def test_a_large_folder_stays_and_is_told(places: tuple[Path, Path], monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(files_beside, "MOST_FILES", 1)
    done = copied(loading(file=Literal("set")), places)
    assert (done.copied, len(done.left)) == ((), 1)
    assert not (places[1] / "set").exists()


def test_a_saved_copy_of_a_graph_brings_its_files(app: App) -> None:
    home = app.services.settings.home
    (home / "graphs" / "sub").mkdir(parents=True, exist_ok=True)
    (home / "graphs" / "sub" / "inner.json").write_text('{"safelight": 1}')
    graph = {"safelight": 1, "nodes": {"a": {"type": "./inner.json"}}}
    saved = app.web.put(f"{API}/graphs/sub:first", json={"graph": graph}).json()
    assert saved["copied_files"] == []
    answer = app.web.put(f"{API}/graphs/second", json={"graph": graph, "files_of": "sub:first"}).json()
    assert (answer["copied_files"], answer["left_files"]) == (["inner.json"], [])
    assert (home / "graphs" / "inner.json").read_text() == '{"safelight": 1}'
