"""Graphs by name: the current folder before the home, the home before the examples."""

from __future__ import annotations

from pathlib import Path

import pytest

from engine.errors import GraphError
from engine.packs import named_graphs
from nodes import examples


@pytest.fixture
def own(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> Path:
    """The folder of the user's own graphs; the current folder is another one."""
    own = tmp_path / "home" / "graphs"
    (own / "portraits").mkdir(parents=True)
    (tmp_path / "work").mkdir()
    monkeypatch.chdir(tmp_path / "work")
    return own


def test_an_example_is_found_by_its_name(own: Path) -> None:
    for name in ("text_to_image", "text_to_image.json"):
        assert named_graphs.find(Path(name), own) == examples / "text_to_image.json"


def test_nearer_graphs_hide_the_example(own: Path) -> None:
    name = Path("text_to_image")
    (own / "text_to_image.json").touch()
    assert named_graphs.find(name, own) == own / "text_to_image.json"
    Path("text_to_image.json").touch()
    assert named_graphs.find(name, own) == Path("text_to_image.json")
    name.touch()
    assert named_graphs.find(name, own) == name


def test_a_folder_of_that_name_hides_nothing(own: Path) -> None:
    Path("text_to_image").mkdir()
    assert named_graphs.find(Path("text_to_image"), own) == examples / "text_to_image.json"


def test_a_graph_in_a_folder_of_the_home_is_named_by_its_path(own: Path) -> None:
    (own / "portraits" / "mug.json").touch()
    assert named_graphs.find(Path("portraits/mug"), own) == own / "portraits" / "mug.json"


def test_the_list_has_the_own_graphs_first_and_each_name_once(own: Path) -> None:
    for name in ("text_to_image", "portraits/mug"):
        (own / f"{name}.json").touch()
    graphs = named_graphs.listed(own)
    names = [graph.name for graph in graphs]
    assert names[:2] == ["portraits/mug", "text_to_image"]
    assert names.count("text_to_image") == 1
    assert {"image_to_image", "xy_plot"} <= {graph.name for graph in graphs if graph.example}
    assert "graph.schema" not in names


def test_an_unknown_name_is_refused_with_near_names(own: Path) -> None:
    with pytest.raises(GraphError) as refused:
        named_graphs.find(Path("text_to_imag"), own)
    (problem,) = refused.value.problems
    assert problem.code == "unknown_graph"
    assert problem.hint is not None
    assert "text_to_image" in problem.hint


@pytest.mark.parametrize("path", ["/no/such/file", "../text_to_image", "no/folder/graph.json", "x" * 300])
def test_a_path_is_left_to_the_reader(own: Path, path: str) -> None:
    assert named_graphs.find(Path(path), own) == Path(path)
