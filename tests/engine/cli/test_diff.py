"""`safelight diff`: what it says, what it answers, and its exit codes."""

from __future__ import annotations

from pathlib import Path

from tests.engine.cli.conftest import Call, Write


def test_equal_graphs_are_0_and_others_1(call: Call, write: Write) -> None:
    one = write({"add": ("Add", {"a": 1})}, title="One", name="one.json")
    two = write({"add": ("Add", {"a": 2})}, title="Two", name="two.json")
    same = call("diff", one, one)
    assert (same.code, same.out) == (0, "no difference\n")
    other = call("diff", one, two)
    assert (other.code, other.out) == (1, "`add`: a is 2, was 1\n")
    assert "the title of the graph changed" in call("diff", one, two, "--all").out
    answer = call("diff", one, two, "--json")
    assert answer.code == 1
    assert answer.json == {
        "equal": False,
        "changes": [
            {"what": "input", "node": "add", "name": "a", "was": 1, "now": 2, "says": "a is 2, was 1"}
        ],
    }
    assert call("diff", one, one, "--json").json == {"equal": True, "changes": []}


def test_long_values_have_lines_of_their_own(call: Call, write: Write) -> None:
    one = write({"say": ("Say", {"text": "a cat on a mat"})}, name="one.json")
    two = write({"say": ("Say", {"text": "a dog\non a \u202emat"})}, name="two.json")
    assert call("diff", one, two).out == (
        '`say`: text changed\n    was: "a cat on a mat"\n    now: "a dog\\non a \\u202emat"\n'
    )


def test_a_graph_that_cannot_be_read_is_2(call: Call, write: Write, tmp_path: Path) -> None:
    one = write({"add": ("Add", {"a": 1})}, name="one.json")
    Path("bad.json").write_text("{")
    for words, code in ((("nowhere.json", one), "unknown_graph"), ((one, "bad.json"), "bad_json")):
        answer = call("diff", *words, "--json")
        assert answer.code == 2
        assert [problem["code"] for problem in answer.json["problems"]] == [code]
    assert call("diff", one).code == 2


def test_a_picture_is_compared_with_a_graph(call: Call, painting: Path) -> None:
    (picture,) = call("run", painting, "--grey", "8", "--json").json["outputs"]["image"]["files"]
    assert call("diff", painting, picture).out == (
        "the default of the input `grey` of the graph is 8, was 7\n"
    )
