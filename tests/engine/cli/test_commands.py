"""`check`, `plan`, `nodes`, `cache` and `safelight` itself."""

from __future__ import annotations

from importlib.metadata import version
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Call, Write


def test_the_version_and_the_help(call: Call) -> None:
    assert call("--version").out == f"safelight {version('safelight')}\n"
    help = call("--help")
    assert help.code == 0
    for command in ("run", "check", "plan", "nodes", "cache"):
        assert f" {command} " in help.out


@pytest.mark.parametrize(
    ("words", "says"),
    [
        (["rn"], "did you mean 'run'"),
        (["run", "graph.json", "--out"], "--out"),
        (["nodes", "--nope"], "--nope"),
        (["nodes", "Pant"], "did you mean Paint"),
        (["cache", "empty"], "empty"),
    ],
)
def test_bad_use_is_a_sentence_and_exit_code_2(call: Call, words: list[str], says: str) -> None:
    answer = call(*words)
    assert (answer.code, answer.out) == (2, "")
    assert says.lower() in answer.err.lower()
    assert "Traceback" not in answer.err
    assert call(*words, "--json").json["state"] == "invalid"


def test_no_command_shows_the_help(call: Call) -> None:
    answer = call()
    assert answer.code == 2
    assert "Commands" in answer.out


def test_check_of_a_good_graph(call: Call, painting: Path, home: Path) -> None:
    answer = call("check", painting)
    assert (answer.code, answer.out) == (0, "graph.json: 1 nodes, no errors\n")
    assert call("check", painting, "--json").json == {"ok": True, "problems": []}


def test_check_finds_everything_at_once(call: Call, write: Write) -> None:
    graph = write(
        {
            "a": ("Add", {"a": {"from": "b.out"}}),
            "b": ("Add", {"a": {"from": "a.out"}}),
            "paint": ("Paint", {"grey": 256}),
            "add": ("Add@1", {"a": {"from": "paint.out"}}),
        },
    )
    answer = call("check", graph, "--json")
    assert answer.code == 2
    assert answer.json["ok"] is False
    found = {(problem["code"], problem["node"], problem["input"]) for problem in answer.json["problems"]}
    assert found == {
        ("cycle", "a", None),
        ("out_of_range", "paint", "grey"),
        ("type_mismatch", "add", "a"),
    }
    lines = call("check", graph).err.splitlines()
    assert "paint.grey: 256 is above 255 · hint: use 0 to 255" in lines
    assert len(lines) == 3


def test_check_reports_files_that_are_missing(call: Call, write: Write) -> None:
    graph = write({"read": ("ReadText", {"file": "gone.txt"})}, outputs={"x": "read.out"})
    answer = call("check", graph, "--json")
    assert answer.code == 2
    assert [(problem["code"], problem["node"]) for problem in answer.json["problems"]] == [
        ("missing_file", "read")
    ]


def test_check_finds_missing_files_beside_other_problems_and_in_every_node(
    call: Call, write: Write, home: Path, tmp_path: Path
) -> None:
    (tmp_path / "here.txt").write_text("beside the graph")
    nodes = {
        "paint": ("Paint", {"grey": 256}),
        "read": ("ReadText", {"file": {"param": "file"}}),
        "unused": ("ReadText", {"file": "gone too.txt"}),
        "found": ("ReadText", {"file": "here.txt"}),
        "late": ("ReadText", {"file": {"from": "found.out"}}),
    }
    inputs = {"file": {"type": "file", "default": "gone.txt"}}
    graph = write(nodes, inputs, {"image": "paint.out", "text": "read.out"})
    answer = call("check", graph, "--json")
    assert answer.code == 2
    assert {(problem["code"], problem["node"]) for problem in answer.json["problems"]} == {
        ("out_of_range", "paint"),
        ("missing_file", "read"),
        ("missing_file", "unused"),
    }
    assert {path.name for path in home.iterdir()} == {"nodes"}, "checking makes no store"


def test_check_asks_for_the_values_that_a_run_needs(call: Call, write: Write) -> None:
    graph = write({"say": ("Say", {"text": {"param": "text"}})}, {"text": {"type": "text"}}, {"x": "say.out"})
    answer = call("check", graph, "--json")
    assert answer.code == 2
    assert [problem["code"] for problem in answer.json["problems"]] == ["missing_value"]
    assert call("check", graph, "--text", "x").code == 0


def test_check_of_bad_json_is_one_object(call: Call, home: Path) -> None:
    Path("graph.json").write_text("{")
    answer = call("check", "graph.json", "--json")
    assert answer.code == 2
    assert answer.json["ok"] is False
    assert answer.json["problems"][0]["code"] == "bad_json"


def test_plan_says_what_would_run_and_why(call: Call, write: Write) -> None:
    nodes = {"one": ("Add", {"a": {"param": "a"}}), "two": ("Add", {"a": {"from": "one.out"}})}
    graph = write(nodes, {"a": {"type": "int", "default": 1}}, {"sum": "two.out"})
    fresh = call("plan", graph, "--json").json
    assert [(step["node"], step["action"]) for step in fresh["steps"]] == [("one", "run"), ("two", "run")]
    assert {step["reason"] for step in fresh["steps"]} == {"new: never run in this graph"}
    assert fresh["steps"][0]["type"] == "Add@1"
    assert fresh["to_run"] == 2
    assert call("run", graph).code == 0
    again = call("plan", graph, "--json").json
    assert {step["action"] for step in again["steps"]} == {"reuse"}
    assert [step["key"] for step in again["steps"]] == [step["key"] for step in fresh["steps"]]
    other = call("plan", graph, "--a", "2", "--json").json
    assert {step["action"] for step in other["steps"]} == {"run"}
    shown = call("plan", graph, "--set", "two.b=1")
    assert "1 of 2 steps would run" in shown.out


def test_plan_writes_nothing_and_runs_nothing(call: Call, painting: Path, home: Path) -> None:
    assert call("plan", painting).code == 0
    assert not (home / "outputs").exists()
    assert call("plan", painting, "--json").json["to_run"] == 1


def test_nodes_lists_by_category_and_explains_one(call: Call) -> None:
    listed = call("nodes").out
    assert "Paint squares of one grey, one brighter than the other." in listed
    assert "test\n" in listed
    one = " ".join(call("nodes", "Paint").out.split())
    assert "grey int, 0 to 255 0 0 is black, 255 is white." in one
    assert "out Picture" in one
    said = " ".join(call("nodes", "Say").out.split())
    assert "mode plain | bold" in said


def test_nodes_as_json_are_their_schemas(call: Call) -> None:
    schema = call("nodes", "Paint", "--json").json
    assert schema["type"] == "Paint@1"
    assert schema["inputs"]["grey"]["maximum"] == 255
    listed = call("nodes", "--json").json
    assert schema in listed["nodes"]
    assert listed["problems"] == []


def test_cache_is_shown_verified_and_cleared(call: Call, painting: Path, write: Write, home: Path) -> None:
    assert call("run", painting).code == 0
    sums = write({"add": ("Add", {"a": 1})}, outputs={"sum": "add.out"}, name="sums.json")
    assert call("run", sums).code == 0
    shown = call("cache", "show", "--json").json
    assert {name: kept["entries"] for name, kept in shown["types"].items()} == {"Paint@1": 1, "Add@1": 1}
    assert call("cache", "--json").json == shown
    assert "Paint@1" in call("cache").out
    assert call("cache", "verify", "--json").json == {"damaged": []}
    assert call("cache", "clear", "--type", "Add", "--json").json["entries"] == 1
    assert call("run", painting, "--json").json["nodes"]["paint"]["state"] == "cached"
    assert call("cache", "clear", "--older", "1", "--json").json["entries"] == 0
    assert call("cache", "clear").out.startswith("1 results deleted")
    assert call("run", painting, "--json").json["nodes"]["paint"]["state"] == "done"


def test_options_before_a_command_of_the_cache_hold_for_it(call: Call, painting: Path, home: Path) -> None:
    def held(where: Path) -> int:
        return sum(
            kept["entries"] for kept in call("cache", "--home", where, "--json").json["types"].values()
        )

    other = home.with_name("other")
    (other / "nodes").mkdir(parents=True)
    (other / "nodes" / "pack.py").write_text((home / "nodes" / "pack.py").read_text())
    for where in (home, other):
        assert call("run", painting, "--home", where).code == 0
    assert call("cache", "--home", other, "--json", "clear").json["entries"] == 1
    assert (held(home), held(other)) == (1, 0)
    assert call("cache", "--home", other, "clear", "--home", home).code == 0
    assert (held(home), held(other)) == (0, 0)


@pytest.mark.parametrize("json", [False, True])
@pytest.mark.parametrize(
    "words",
    [
        ("run", "{graph}", "--out", "~nobody-here/x"),
        ("run", "{graph}", "--home", "~nobody-here/x"),
        ("run", "{graph}", "--file", "~nobody-here/x"),
        ("run", "{graph}", "--set", "read.file=~nobody-here/x"),
        ("check", "{graph}", "--set", "read.file=~nobody-here/x"),
        ("nodes", "--home", "~nobody-here/x"),
        ("cache", "--home", "~nobody-here/x", "clear"),
    ],
)
def test_the_home_of_nobody_is_bad_use(
    call: Call, write: Write, words: tuple[str, ...], json: bool, home: Path
) -> None:
    (home / "inputs").mkdir()
    (home / "inputs" / "note.txt").write_text("note")
    inputs = {"file": {"type": "file", "default": "note.txt"}}
    graph = write({"read": ("ReadText", {"file": {"param": "file"}})}, inputs, {"text": "read.out"})
    answer = call(*(word.replace("{graph}", str(graph)) for word in words), *(["--json"] if json else []))
    assert answer.code == 2
    assert "there is no such user" in answer.out + answer.err
    assert not (home / "store" / "journal").exists(), "nothing was run"


def test_settings_may_name_the_home_of_nobody(call: Call, painting: Path, home: Path) -> None:
    (home / "settings.json").write_text('{"folders": {"inputs": ["~nobody-here/x"]}}')
    answer = call("run", painting)
    assert answer.code == 2
    assert "there is no such user" in answer.err


def test_cache_commands_fail_without_a_disk_tier(
    call: Call, painting: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setenv("SAFELIGHT_DISK_BUDGET", "0")
    assert call("run", painting).code == 0
    answer = call("cache", "show")
    assert answer.code == 1
    assert "disk_budget" in answer.err


def test_safelight_s_own_failure_is_one_sentence_and_a_file(
    call: Call, painting: Path, monkeypatch: pytest.MonkeyPatch, tmp_path: Path
) -> None:
    def broken(*args: object, **more: object) -> None:
        raise ZeroDivisionError("of the engine")

    monkeypatch.setattr("engine.session.Session.plan_checked", broken)
    monkeypatch.setattr("tempfile.tempdir", str(tmp_path))
    answer = call("run", painting)
    assert answer.code == 1
    assert answer.err.count("\n") == 1
    assert "Safelight itself failed: ZeroDivisionError('of the engine')" in answer.err
    (file,) = tmp_path.glob("safelight-*.txt")
    assert str(file) in answer.err
    assert "Traceback" in file.read_text()
    assert call("run", painting, "--json").json["state"] == "failed"
