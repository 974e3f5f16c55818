"""Saved graphs and drafts: no save overwrites another, every save is a version, no id leaves the folder."""

from __future__ import annotations

import os
from pathlib import Path

import pytest

from engine.document import writer
from engine.document.graph import Entry, Graph, Literal
from engine.errors import GraphError
from engine.server import drafts as drafting
from engine.server import saved_graphs as saving
from engine.server.drafts import Draft, Drafts
from engine.server.refusal import Refused
from engine.server.saved_graphs import SavedGraphs


def graph(text: str) -> Graph:
    return Graph({"a": Entry("Anything@1", {"text": Literal(text)})}, title=text)


@pytest.fixture
def graphs(tmp_path: Path) -> SavedGraphs:
    example = tmp_path / "pack" / "sample.json"
    example.parent.mkdir()
    example.write_text(writer.dump(graph("an example")))
    return SavedGraphs(tmp_path / "graphs", tmp_path / "server", lambda: {"sample": example})


def refused(call: object, *given: object, **named: object) -> tuple[int, str]:
    with pytest.raises(Refused) as caught:
        call(*given, **named)  # type: ignore[operator]
    return caught.value.status, caught.value.problems[0].code


def test_a_save_from_an_outdated_revision_is_refused_and_changes_nothing(graphs: SavedGraphs) -> None:
    first = graphs.save("mug", graph("one"), None)
    second = graphs.save("mug", graph("two"), first.revision)
    assert refused(graphs.save, "mug", graph("three"), first.revision) == (412, "other_revision")
    assert refused(graphs.save, "mug", graph("three"), None) == (428, "no_revision")
    assert refused(graphs.save, "mug", graph("three"), None, only_new=True) == (412, "graph_exists")
    assert graphs.read("mug") == second
    assert graphs.save("mug", graph("three"), "*").graph.title == "three"


def test_the_file_is_the_graph_that_the_command_line_runs(graphs: SavedGraphs, tmp_path: Path) -> None:
    saved = graphs.save("deep:er:mug", graph("one"), None)
    assert (tmp_path / "graphs/deep/er/mug.json").read_text() == writer.dump(graph("one")) == saved.text
    assert [row.id for row in graphs.rows()] == ["deep:er:mug", "sample"]


def test_each_save_is_a_version_that_can_be_restored(graphs: SavedGraphs) -> None:
    revision = None
    for text in ("one", "two", "two", "three"):
        revision = graphs.save("mug", graph(text), revision).revision
    versions = graphs.versions("mug")
    assert [(item.version, item.title) for item in versions] == [(3, "three"), (2, "two"), (1, "one")]
    assert refused(graphs.restore, "mug", 1, "outdated") == (412, "other_revision")
    assert graphs.restore("mug", 1, revision).graph.title == "one"
    assert graphs.versions("mug")[0].version == 4
    assert refused(graphs.version, "mug", 9) == (404, "unknown_version")


def test_a_change_by_hand_counts_as_another_revision_and_becomes_a_version(
    graphs: SavedGraphs, tmp_path: Path
) -> None:
    saved = graphs.save("mug", graph("one"), None)
    (tmp_path / "graphs/mug.json").write_text(writer.dump(graph("by hand")))
    assert refused(graphs.save, "mug", graph("two"), saved.revision) == (412, "other_revision")
    graphs.save("mug", graph("two"), graphs.revision("mug"))
    assert [item.title for item in graphs.versions("mug")] == ["two", "by hand", "one"]


def test_a_deleted_graph_comes_back_from_its_versions(graphs: SavedGraphs) -> None:
    saved = graphs.save("mug", graph("one"), None)
    assert refused(graphs.delete, "mug", "outdated") == (412, "other_revision")
    graphs.delete("mug", saved.revision)
    assert refused(graphs.read, "mug") == (404, "unknown_graph")
    assert graphs.restore("mug", 1, None).text == saved.text


def test_old_versions_are_deleted(graphs: SavedGraphs, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(saving, "KEPT_VERSIONS", 3)
    for n in range(6):
        graphs.save("mug", graph(str(n)), "*" if n else None)
    assert [item.version for item in graphs.versions("mug")] == [6, 5, 4]


def test_an_example_can_be_read_and_saved_as_a_graph_of_ones_own(graphs: SavedGraphs) -> None:
    example = graphs.read("sample")
    assert example.example
    assert refused(graphs.delete, "sample", None) == (403, "read_only")
    saved = graphs.save("sample", graph("mine"), example.revision)
    assert (saved.example, graphs.read("sample").graph.title) == (False, "mine")
    assert [(row.id, row.example) for row in graphs.rows()] == [("sample", False)]


def test_a_named_file_is_saved_in_place(tmp_path: Path) -> None:
    file = tmp_path / "elsewhere" / "my mug.json"
    file.parent.mkdir()
    file.write_text(writer.dump(graph("one")))
    graphs = SavedGraphs(tmp_path / "graphs", tmp_path / "server", opened=file)
    assert graphs.opened == "my mug"
    graphs.save("my mug", graph("two"), graphs.revision("my mug"))
    assert file.read_text() == writer.dump(graph("two"))
    assert refused(graphs.delete, "my mug", None) == (403, "read_only")


@pytest.mark.parametrize(
    "id",
    [
        "..",
        ".",
        "../mug",
        "a:..:b",
        "a/b",
        "/etc/passwd",
        "C:\\mug",
        ".hidden",
        "mug.",
        "mug ",
        "a::b",
        "a:b:c:d:e",
        "x" * 101,
        "nul\0",
        "new\nline",
        "",
        "-rf",
        "%2e%2e",
        "mug\u202egnp",
    ],
)
def test_no_id_of_a_new_graph_leads_anywhere_else(graphs: SavedGraphs, tmp_path: Path, id: str) -> None:
    before = sorted(tmp_path.rglob("*"))
    assert refused(graphs.save, id, graph("one"), None) == (422, "bad_id")
    assert refused(graphs.read, id) == (404, "unknown_graph")
    assert sorted(tmp_path.rglob("*")) == before


def test_a_damaged_file_is_listed_with_its_problem(graphs: SavedGraphs, tmp_path: Path) -> None:
    (tmp_path / "graphs").mkdir()
    (tmp_path / "graphs/broken.json").write_text("{")
    (row, _) = graphs.rows()
    assert row.problem is not None
    assert row.problem["code"] == "bad_json"
    with pytest.raises(GraphError):
        graphs.read("broken")


def draft(tab: str) -> Draft:
    return Draft(tab, "mug", None, {"safelight": 1, "nodes": {}}, 1.0)


def test_the_latest_draft_of_each_tab_is_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    drafts = Drafts(tmp_path)
    assert refused(drafts.read, "tab") == (404, "unknown_draft")
    drafts.save(draft("tab"))
    assert drafts.read("tab") == draft("tab")
    assert refused(drafts.save, draft("../tab")) == (422, "bad_id")
    monkeypatch.setattr(drafting, "KEPT", 2)
    for n, tab in enumerate(("b", "c")):
        drafts.save(draft(tab))
        os.utime(tmp_path / f"{tab}.json", (n + 2e9, n + 2e9))
    assert {item.tab for item in drafts.rows()} == {"b", "c"}
    drafts.delete("b")
    assert refused(drafts.delete, "b") == (404, "unknown_draft")
    (tmp_path / "c.json").write_text("{")
    assert drafts.rows() == []
