"""`safelight plan` from one command line to the next: what is different, and from which graph."""

from __future__ import annotations

import shutil
from pathlib import Path

from tests.engine.cli.conftest import Call, Write

NEW = "new: never run in this graph"


def why(call: Call, *words: object) -> dict[str, tuple[str, str]]:
    steps = call("plan", *words, "--json").json["steps"]
    return {step["node"]: (step["action"], step["reason"]) for step in steps}


def sums(write: Write, name: str = "graph.json") -> Path:
    nodes = {
        "one": ("Add", {"a": {"param": "a"}}),
        "two": ("Add", {"a": {"from": "one.out"}, "b": 1}),
        "said": ("Say", {"text": {"param": "text"}}),
    }
    inputs = {"a": {"type": "int", "default": 1}, "text": {"type": "text", "default": "a cat"}}
    return write(nodes, inputs, {"sum": "two.out", "said": "said.out"}, name=name)


def test_a_plan_compares_with_the_last_run_of_the_same_file(call: Call, write: Write) -> None:
    graph, other = sums(write), sums(write, "other.json")
    assert why(call, graph) == dict.fromkeys(("one", "two", "said"), ("run", NEW))
    assert call("run", graph).code == 0
    assert why(call, graph.absolute(), "--a", "5", "--text", "a dog") == {
        "one": ("run", "a is 5, was 1"),
        "two": ("run", "a changed in `one`"),
        "said": ("run", "text changed"),
    }
    assert why(call, graph, "--set", "two.b=7")["two"] == ("run", "b is 7, was 1")
    assert set(why(call, other, "--a", "5").values()) >= {("run", NEW)}, "another file never ran"
    assert call("run", other, "--a", "5").code == 0
    action, reason = why(call, graph, "--a", "5")["two"]
    assert action == "reuse"
    assert reason.startswith("disk, made ")


def test_the_run_after_a_change_says_the_same_in_its_table_and_as_json(call: Call, write: Write) -> None:
    graph = sums(write)
    assert call("run", graph).code == 0
    nodes = call("run", graph, "--a", "5", "--json").json["nodes"]
    assert nodes["two"]["reason"] == "a changed in `one`"
    assert "a is 6, was 5" in call("run", graph, "--a", "6").out


def test_a_picture_on_the_way_in_is_named(call: Call, write: Write, tmp_path: Path) -> None:
    note = tmp_path / "note.txt"
    note.write_text("one")
    nodes = {"read": ("ReadText", {"file": "note.txt"}), "say": ("Say", {"text": {"from": "read.out"}})}
    graph = write(nodes, outputs={"said": "say.out"})
    assert call("run", graph).code == 0
    note.write_text("two")
    assert why(call, graph) == {
        "read": ("run", "`note.txt` changed"),
        "say": ("run", "`note.txt` changed in `read`"),
    }


def test_cleared_results_are_evicted_and_saved_packs_have_other_code(
    call: Call, write: Write, home: Path
) -> None:
    graph = sums(write)
    assert call("run", graph).code == 0
    assert call("cache", "clear").code == 0
    assert set(why(call, graph).values()) == {("run", "evicted")}
    pack = home / "nodes" / "pack.py"
    pack.write_text(pack.read_text().replace("Add two numbers.", "Add two numbers up."))
    assert why(call, graph)["one"] == ("run", "its code changed")


def test_plan_works_without_a_writable_history(call: Call, write: Write, home: Path) -> None:
    graph = sums(write)
    assert call("run", graph).code == 0
    history = home / "store" / "history"
    shutil.rmtree(history)
    history.write_text("in the way")
    assert why(call, graph, "--a", "2")["one"] == ("run", NEW)
    answer = call("run", graph, "--a", "2")
    assert answer.code == 0
    assert answer.err.count("The history of this graph is not saved") == 1


def test_a_sweep_is_planned_and_run_with_every_value(call: Call, write: Write) -> None:
    graph = sums(write)
    assert call("run", graph, "--sweep", "a=1:3").code == 0
    planned = why(call, graph, "--sweep", "a=1:4")
    assert [node for node, (action, _) in planned.items() if action == "run" and "[" in node] == [
        "one[3]",
        "two[3]",
    ]
    answer = call("run", graph, "--sweep", "a=1:4", "--sweep", "text=x,y", "--json").json
    assert answer["outputs"]["sum"]["value"] == [2, 3, 4, 5]
    assert [said["text"] for said in answer["outputs"]["said"]["value"]] == ["x", "y"]
    assert call("check", graph, "--sweep", "a=1:4").code == 0
