"""How a command line names a graph and changes it: names, standard input, `--off`, broken packs."""

from __future__ import annotations

from io import BytesIO, TextIOWrapper
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Call, Write


@pytest.fixture
def adding(write: Write) -> Path:
    """A graph of two sums, whose second node hands on its input when it is off."""
    nodes = {"one": ("Add", {"a": {"param": "a"}}), "two": ("Add", {"a": {"from": "one.out"}, "b": 5})}
    return write(nodes, {"a": {"type": "int", "default": 1}}, {"sum": "two.out"}, title="Sums")


@pytest.fixture
def named(home: Path, adding: Path) -> str:
    """The name of that graph in the home."""
    (home / "graphs").mkdir()
    adding.rename(home / "graphs" / "sums.json")
    return "sums"


@pytest.mark.parametrize("command", ["run", "check", "plan"])
def test_a_graph_is_found_by_its_name(call: Call, named: str, command: str) -> None:
    assert call(command, named, "--json").code == 0
    answer = call(command, "sum", "--json")
    assert answer.code == 2
    (problem,) = answer.json["problems"]
    assert problem["code"] == "unknown_graph"
    assert "sums" in problem["hint"]


def test_the_home_of_a_name_may_be_given_as_an_option(
    call: Call, named: str, home: Path, tmp_path: Path
) -> None:
    assert call("run", named, "--home", tmp_path / "other").code == 2
    moved = home.rename(tmp_path / "moved")
    answer = call("run", named, "--home", moved, "--json", "--a", 2)
    assert answer.json["outputs"]["sum"]["value"] == 7
    assert "--a" in call("run", named, "--home", moved, "--help").out


def test_graphs_are_compared_by_their_names(call: Call, named: str, home: Path) -> None:
    path = home / "graphs" / "sums.json"
    assert call("diff", named, path).code == 0


@pytest.mark.parametrize("command", ["run", "check", "plan"])
def test_a_graph_is_read_from_standard_input(
    call: Call, adding: Path, monkeypatch: pytest.MonkeyPatch, command: str
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(adding.read_bytes())))
    answer = call(command, "-", "--a", 2, "--json")
    assert answer.code == 0
    if command == "run":
        assert answer.json["outputs"]["sum"]["value"] == 7
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(adding.read_bytes())))
    assert "--a" in call(command, "-", "--help").out


@pytest.mark.parametrize(("data", "code"), [(b"", "empty_file"), (b"{", "bad_json")])
def test_standard_input_without_a_graph_is_refused(
    call: Call, home: Path, monkeypatch: pytest.MonkeyPatch, data: bytes, code: str
) -> None:
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(data)))
    answer = call("run", "-", "--json")
    assert (answer.code, answer.json["problems"][0]["code"]) == (2, code)


def test_files_are_found_beside_the_current_folder(
    call: Call, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = write({"read": ("ReadText", {"file": "note.txt"})}, outputs={"text": "read.out"})
    Path("note.txt").write_text("beside")
    monkeypatch.setattr("sys.stdin", TextIOWrapper(BytesIO(graph.read_bytes())))
    assert call("run", "-", "--json").json["outputs"]["text"]["value"] == "beside"


def test_off_switches_a_node_off(call: Call, home: Path, adding: Path) -> None:
    pack = home / "nodes" / "pack.py"
    text = pack.read_text().replace(
        'class Add(Node, category="test")', 'class Add(Node, passes={"out": "a"})'
    )
    pack.write_text(text)
    assert call("run", adding, "--json").json["outputs"]["sum"]["value"] == 6
    assert call("run", adding, "--off", "two", "--json").json["outputs"]["sum"]["value"] == 1
    answer = call("run", adding, "--off", "tow", "--json")
    (problem,) = answer.json["problems"]
    assert (answer.code, problem["code"]) == (2, "unknown_node")
    assert "two" in problem["hint"]


@pytest.mark.parametrize("command", ["run", "plan", "check"])
def test_an_unknown_type_comes_with_the_packs_that_could_not_be_loaded(
    call: Call, home: Path, write: Write, command: str
) -> None:
    (home / "nodes" / "broken.py").write_text("import nothing_of_this_name")
    graph = write({"blur": ("Blur", {})}, outputs={"image": "blur.out"})
    answer = call(command, graph, "--json")
    codes = [problem["code"] for problem in answer.json["problems"]]
    assert answer.code == 2
    assert "unknown_type" in codes
    assert "broken_pack" in codes
    assert "broken.py" in call(command, graph, *(["--quiet"] if command == "run" else [])).err


def test_a_run_reports_packs_that_it_does_not_need_as_warnings(call: Call, home: Path, adding: Path) -> None:
    (home / "nodes" / "broken.py").write_text("import nothing_of_this_name")
    answer = call("run", adding, "--json")
    assert [problem["code"] for problem in answer.json["warnings"]] == ["broken_pack"]
    assert "broken.py" in call("run", adding, "--quiet").err


def test_a_sentence_that_was_split_at_its_commas_is_warned_about(call: Call, write: Write) -> None:
    nodes = {"say": ("Say", {"text": {"param": "text"}})}
    graph = write(nodes, {"text": {"type": "text", "default": ""}}, {"said": "say.out"})
    assert "split at its commas" in call("run", graph, "--sweep", "text=a cat, red", "--json").err
    assert "split" not in call("run", graph, "--sweep", 'text="a cat, red"', "--json").err


def test_an_input_that_a_set_replaces_is_no_warning_unless_it_is_given(call: Call, adding: Path) -> None:
    assert "warnings" not in call("run", adding, "--set", "one.a=3", "--json").json
    given = call("run", adding, "--set", "one.a=3", "--a", "2", "--json").json["warnings"]
    assert [problem["code"] for problem in given] == ["unused_input"]
