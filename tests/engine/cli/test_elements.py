"""What `run` and `plan` say of nodes that go through lists: in tables, as JSON and in names of files."""

from __future__ import annotations

import io
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from engine.document import graph as documents
from engine.document import reader, writer
from tests.engine.cli.conftest import Call, Write

INPUTS = {
    "grey": {"type": "int", "default": 7},
    "name": {"type": "text", "default": "a"},
    "other": {"type": "int", "default": 1},
}


@pytest.fixture
def sheet(write: Write) -> Path:
    """A graph of a picture that depends on two of three inputs, and a number that depends on the third."""
    nodes = {
        "paint": ("Paint", {"grey": {"param": "grey"}, "name": {"param": "name"}}),
        "add": ("Add", {"a": {"param": "other"}}),
    }
    return write(nodes, INPUTS, {"image": "paint.out", "sum": "add.out"})


def rows(text: str) -> dict[str, str]:
    """The rows of a table by their first word, each with the rest in single spaces."""
    return {words[0]: " ".join(words[1:]) for words in map(str.split, text.splitlines()) if words}


def carried(path: Path) -> documents.Graph:
    image = Image.open(io.BytesIO(path.read_bytes()))
    assert isinstance(image, PngImageFile)
    image.load()
    return reader.parse(image.text["safelight"])


def elements(call: Call, *words: object) -> list[dict[str, Any]]:
    found: list[dict[str, Any]] = call("run", *words, "--json").json["outputs"]["image"]["elements"]
    return found


def test_a_node_that_goes_through_lists_has_one_row(call: Call, sheet: Path) -> None:
    assert call("run", sheet, "--sweep", "grey=1:3").code == 0
    line = (sheet, "--sweep", "grey=1:5", "--sweep", "other=1,2")
    planned = rows(call("plan", *line).out)
    assert planned["paint"].startswith("Paint@1 run ")  # then the estimated seconds
    assert planned["paint"].endswith("2 of 5 elements run; new: never run in this graph")
    assert "3 of 7 steps would run" in call("plan", *line).out
    assert not any("[" in row for row in planned)
    assert rows(call("plan", *line, "--all").out)["paint[3]"].endswith(" new: never run in this graph")
    ran = call("run", *line).out
    assert "2 of 5 elements, 3 cached; new: never run" in rows(ran)["paint"]
    assert not any("[" in row for row in rows(ran))
    assert "done in" in ran
    again = rows(call("run", *line, "--all").out)
    assert again["paint"].startswith("cached 5 of 5 elements")
    assert again["paint[4]"].startswith("cached disk")


def test_an_element_that_failed_has_a_row_and_one_problem(call: Call, write: Write) -> None:
    nodes = {"bad": ("Fail", {"a": [1, 2, 3]}), "add": ("Add", {"a": [1, 2]})}
    graph = write(nodes, outputs={"x": "bad.out", "y": "add.out"})
    answer = call("run", graph)
    shown = rows(answer.out)
    assert answer.code == 1
    assert shown["bad"].endswith("3 of 3 elements")
    assert shown["bad[1]"].endswith("it cannot be done")
    assert "add[0]" not in shown
    assert answer.err.count("bad[1].a: it cannot be done · hint") == 1
    assert len(call("run", graph, "--json").json["problems"]) == 3


def test_each_file_of_a_sweep_records_its_swept_values(call: Call, sheet: Path) -> None:
    line = (sheet, "--sweep", "name=x,y z", "--sweep", "grey=5,6", "--set", "paint.count=2", "--out", "o")
    found = elements(call, *line)
    assert [(item["index"], item["values"]) for item in found] == [
        ([0, 0], {"name": "x", "grey": 5}),
        ([0, 1], {"name": "x", "grey": 6}),
        ([1, 0], {"name": "y z", "grey": 5}),
        ([1, 1], {"name": "y z", "grey": 6}),
    ]
    names = [[Path(file).name for file in item["files"]] for item in found]
    assert names[1] == [f"graph-image-name-x-grey-6-000{n}.png" for n in (1, 2)]
    assert names[2] == [f"graph-image-name-y-z-grey-5-000{n}.png" for n in (1, 2)]
    for item in found:
        for n, file in enumerate(item["files"]):
            assert Image.open(file).getpixel((0, 0)) == item["values"]["grey"] + n
    whole = call("run", *line, "--json").json["outputs"]["image"]
    assert whole["files"] == [file for item in found for file in item["files"]]
    assert len(list(Path("o").iterdir())) == 8
    assert len({item["digest"] for item in found}) == 2, "digests are of the pixels, which are grey"


def test_a_swept_picture_run_again_is_the_same_file_from_the_cache(call: Call, sheet: Path) -> None:
    found = elements(call, sheet, "--sweep", "grey=5,6", "--sweep", "other=1,2")
    for item in found:
        (file,) = map(Path, item["files"])
        graph = carried(file)
        assert graph.inputs["grey"].default == item["values"]["grey"]
        assert graph.inputs["other"].default == 1, "the picture does not depend on it, so it is as it was"
        again = call("run", file, "--out", f"again-{item['values']['grey']}", "--json").json
        assert again["nodes"]["paint"]["state"] == "cached"
        assert again["outputs"]["sum"]["value"] == 1
        (same,) = map(Path, again["outputs"]["image"]["files"])
        assert carried(same) == graph
        assert again["outputs"]["image"]["digest"] == item["digest"]


def test_the_order_of_sweeps_is_the_order_of_the_lists(call: Call, sheet: Path) -> None:
    found = elements(call, sheet, "--sweep", "grey=5,6", "--sweep", "name=x,y", "--out", "o")
    assert [item["values"] for item in found][1] == {"grey": 5, "name": "y"}
    assert Path(found[1]["files"][0]).name == "graph-image-grey-5-name-y-0001.png"


@pytest.mark.parametrize(
    ("values", "stem"),
    [
        (("x" * 24, "y"), "graph-image-grey-1-name-y-0001.png"),
        (("x" * 25, "y"), "graph-image-grey-1-0002.png"),
        (("../../up", "y"), "graph-image-grey-1-name-y-0001.png"),
        (("  ", "y"), "graph-image-grey-1-0002.png"),
    ],
)
def test_long_values_are_not_in_names(call: Call, sheet: Path, values: tuple[str, str], stem: str) -> None:
    found = elements(call, sheet, "--sweep", "grey=1", "--sweep", f'name="{values[0]}",y', "--out", "o")
    assert Path(found[1]["files"][0]).name == stem
    assert [item["values"]["name"] for item in found] == list(values)
    assert {path.parent.name for item in found for path in map(Path, item["files"])} == {"o"}


def test_a_name_is_never_longer_than_a_file_system_takes(call: Call, write: Write) -> None:
    long = "a" * 30
    inputs = {long: {"type": "text", "default": "a"}}
    nodes = {"paint": ("Paint", {"name": {"param": long}})}
    graph = write(nodes, inputs, {"o" * 64: "paint.out"}, title="𐐨" * 80)
    answer = call("run", graph, "--sweep", f"{long}={'x' * 24},y", "--json")
    assert answer.json["state"] == "done"
    for file in answer.json["outputs"]["o" * 64]["files"]:
        assert len(Path(file).name.encode()) <= 255


def test_a_list_in_the_graph_counts_its_files_and_numbers_its_elements(call: Call, write: Write) -> None:
    graph = write({"paint": ("Paint", {"grey": [3, 4]}), "add": ("Add", {"a": [1, 2]})}, {}, {
        "image": "paint.out", "sum": "add.out"
    })  # fmt: skip
    answer = call("run", graph, "--json").json["outputs"]
    assert [
        (item["index"], item["values"], [Path(file).name for file in item["files"]])
        for item in answer["image"]["elements"]
    ] == [([0], {}, ["graph-image-0001.png"]), ([1], {}, ["graph-image-0002.png"])]
    assert [item["value"] for item in answer["sum"]["elements"]] == [1, 2]
    assert answer["sum"]["value"] == [1, 2]
    empty = write({"paint": ("Paint", {"grey": []})}, {}, {"image": "paint.out"}, name="empty.json")
    nothing = call("run", empty, "--json").json["outputs"]["image"]
    assert (nothing["files"], nothing["elements"]) == ([], [])
    assert "0 of 0 elements" in call("run", empty).out


def test_a_single_value_has_no_elements(call: Call, sheet: Path) -> None:
    assert call("run", sheet, "--json").json["outputs"]["image"].keys() == {
        "type",
        "files",
        "digest",
        "summary",
    }


def test_subgraphs_off_and_lift_are_what_they_are_on_the_command_line(call: Call, write: Write) -> None:
    inner = {
        "inputs": {"x": {"type": "int"}},
        "outputs": {"sum": {"from": "more.out"}},
        "nodes": {"more": {"type": "Add", "inputs": {"a": {"param": "x"}, "b": 10}}},
    }
    nodes = {"once": ("#more", {"x": 1}), "twice": ("#more", {"x": {"from": "once.sum"}})}
    graph = write(nodes, outputs={"sum": "twice.sum"}, graphs={"more": inner})
    answer = call("run", graph, "--set", "once.x=5", "--json").json
    assert answer["outputs"]["sum"]["value"] == 25
    assert rows(call("run", graph, "--all").out).keys() >= {"once/more", "twice/more"}
    crossed = write({"add": ("Add", {"a": [1, 2], "b": [10, 20]})}, outputs={"sum": "add.out"})
    tree = reader.parse(crossed.read_bytes())
    tree.nodes["add"].lift = "cross"
    crossed.write_text(writer.dump(tree))
    assert call("run", crossed, "--set", "add.a=[3]", "--json").json["outputs"]["sum"]["value"] == [[13, 23]]


def test_swept_files_are_found_again_from_anywhere(
    call: Call, write: Write, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = {
        "read": ("ReadText", {"file": {"param": "file"}}),
        "paint": ("Paint", {"name": {"from": "read.out"}}),
    }
    graph = write(nodes, {"file": {"type": "file", "default": "a.txt"}}, {"image": "paint.out"})
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).write_text(name)
    found = elements(call, graph, "--sweep", "file=a.txt,b.txt")
    assert len(found) == 2
    for name in ("a.txt", "b.txt"):
        (tmp_path / name).unlink()
    monkeypatch.chdir("/")
    for item, stem in zip(found, "ab", strict=True):
        (file,) = map(Path, item["files"])
        assert carried(file).inputs["file"].default == item["values"]["file"]
        assert item["values"]["file"].startswith(f"kept/{stem}-")
        again = call("run", file, "--out", tmp_path / "again", "--json").json
        assert {fared["state"] for fared in again["nodes"].values()} == {"cached"}


def test_a_sweep_that_is_stopped_or_fails_says_so_by_element(call: Call, write: Write) -> None:
    nodes = {"bad": ("Fail", {"a": {"param": "a"}}), "add": ("Add", {"a": {"param": "a"}})}
    graph = write(nodes, {"a": {"type": "int", "default": 1}}, {"x": "bad.out", "sum": "add.out"})
    answer = call("run", graph, "--sweep", "a=1,2", "--json")
    assert (answer.code, answer.json["state"]) == (1, "failed")
    assert [problem["node"] for problem in answer.json["problems"]] == ["bad[0]", "bad[1]"]
    assert [item["values"] for item in answer.json["outputs"]["sum"]["elements"]] == [{"a": 1}, {"a": 2}]
    assert "x" not in answer.json["outputs"]


def test_finished_elements_of_a_failed_sweep_are_written(call: Call, write: Write) -> None:
    nodes = {"paint": ("Paint", {"grey": {"param": "grey"}, "count": 2})}
    graph = write(nodes, {"grey": INPUTS["grey"]}, {"image": "paint.out"})
    answer = call("run", graph, "--sweep", "grey=1,3,255", "--json")
    assert answer.code == 1
    output = answer.json["outputs"]["image"]
    assert output["partial"] is True
    assert [(element["index"], element["values"]) for element in output["elements"]] == [
        ([0], {"grey": 1}),
        ([1], {"grey": 3}),
    ]
    assert [len(element["files"]) for element in output["elements"]] == [2, 2]
    assert [Image.open(file).getpixel((0, 0)) for file in output["files"]] == [1, 2, 3, 4]
    (problem,) = answer.json["problems"]
    assert problem["node"] == "paint[2]"
    whole = call("run", graph, "--sweep", "grey=1,3", "--json").json["outputs"]["image"]
    assert "partial" not in whole
    assert whole["files"] == output["files"], "they are there already"


def test_a_picture_in_which_a_sweep_came_together_makes_the_same_again(call: Call, write: Write) -> None:
    nodes = {
        "paint": ("Paint", {"grey": {"param": "grey"}, "count": {"param": "count"}}),
        "sheet": ("Sheet", {"pictures": {"from": "paint.out"}}),
    }
    inputs = {"grey": INPUTS["grey"], "count": {"type": "int", "default": 1}, "other": INPUTS["other"]}
    graph = write(nodes, inputs, {"image": "sheet.out"})
    line = ("--sweep", "count=1,2", "--sweep", "grey=10,20", "--sweep", "other=1,2")
    (file,) = call("run", graph, *line, "--json").json["outputs"]["image"]["files"]
    kept = carried(Path(file))
    assert [kept.inputs[name].sweep for name in inputs] == [2, 1, 0]
    again = call("run", file, "--json").json
    (other,) = again["outputs"]["image"]["files"]
    assert Path(other).read_bytes() == Path(file).read_bytes(), "the sheet, and the graph in it"
    assert {node["state"] for node in again["nodes"].values()} == {"cached"}
