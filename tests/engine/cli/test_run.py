"""`safelight run`: what it answers, where it writes, and how it ends."""

from __future__ import annotations

import errno
import hashlib
import io
import json
import os
import signal
import sys
import time
from collections.abc import Iterable
from pathlib import Path
from typing import Any

import pytest
from PIL import Image
from PIL.PngImagePlugin import PngImageFile

from engine import picture_text, whole_file
from engine.document import reader
from engine.sources import source
from engine.values import digest_of
from tests.engine.cli.conftest import Answer, Call, Write


def opened(path: Path) -> PngImageFile:
    image = Image.open(io.BytesIO(path.read_bytes()))
    assert isinstance(image, PngImageFile)
    image.load()
    return image


def test_a_run_writes_its_picture_and_says_where(call: Call, painting: Path, home: Path) -> None:
    answer = call("run", painting)
    path = home / "outputs" / "a-grey-square-image-0001.png"
    assert answer.code == 0
    assert answer.out.splitlines()[-1] == "image: home/outputs/a-grey-square-image-0001.png"
    assert "paint" in answer.out
    assert "new: never run in this graph" in answer.out
    assert opened(path).getpixel((3, 3)) == 7


def test_again_everything_is_cached_and_no_file_is_added(call: Call, painting: Path, home: Path) -> None:
    first = call("run", painting, "--json").json
    again = call("run", painting, "--json").json
    assert again["nodes"]["paint"]["state"] == "cached"
    assert again["nodes"]["paint"]["cache"] == "disk"
    assert again["outputs"] == first["outputs"]
    assert len(list((home / "outputs").iterdir())) == 1


def test_run_json_has_state_outputs_and_nodes(call: Call, write: Write, home: Path) -> None:
    nodes = {"paint": ("Paint", {"grey": 9, "count": 2}), "add": ("Add", {"a": 40, "b": 2})}
    graph = write(nodes, outputs={"image": "paint.out", "sum": "add.out"})
    answer = call("run", graph, "--json", "--out", "here")
    tree = answer.json
    files = [str(Path.cwd() / "here" / f"graph-image-000{n}.png") for n in (1, 2)]
    assert answer.code == 0
    assert answer.out.count("\n") == 1
    assert tree.keys() == {"state", "seconds", "values", "outputs", "nodes", "made_with"}
    assert tree["state"] == "done"
    assert tree["outputs"]["image"]["type"] == "Picture"
    assert tree["outputs"]["image"]["files"] == files
    assert "value" not in tree["outputs"]["image"]
    assert tree["outputs"]["sum"] == {
        "type": "json",
        "files": [],
        "value": 42,
        "digest": digest_of("json", 42, []),
    }
    assert tree["nodes"]["add"].keys() == {"state", "cache", "seconds", "reason"}
    assert tree["nodes"]["add"]["state"] == "done"
    assert tree["nodes"]["add"]["cache"] == "none"
    assert [opened(Path(file)).getpixel((0, 0)) for file in files] == [9, 10]


def test_a_picture_carries_its_graph_and_what_the_pack_says(call: Call, painting: Path) -> None:
    (file,) = call("run", painting, "--grey", 11, "--json").json["outputs"]["image"]["files"]
    texts = opened(Path(file)).text
    carried = reader.parse(texts["safelight"])
    original = source.load(painting)
    assert {name: item.default for name, item in carried.inputs.items()} == {"grey": 11, "name": "é☕"}
    assert carried.nodes == original.nodes
    assert carried.outputs == original.outputs
    assert texts["parameters"] == "Paint 1 of 1, grey 11, from ['paint']"


def test_a_picture_dropped_back_gives_the_same_bytes(call: Call, painting: Path) -> None:
    line = ("run", painting, "--grey", 12, "--name", "[red]é\n☕", "--set", "paint.count=2", "--json")
    files = [Path(file) for file in call(*line).json["outputs"]["image"]["files"]]
    again = call("run", files[1].rename("renamed.json"), "--out", "again", "--home", "other", "--json")
    assert again.code == 2, "the other home has no pack"
    for number, file in enumerate(["renamed.json", files[0]]):
        again = call("run", file, "--out", f"again{number}", "--json")
        assert again.json["nodes"]["paint"]["state"] == "cached"
        made = [Path(name) for name in again.json["outputs"]["image"]["files"]]
        assert [path.name for path in made] == [path.name for path in files]
        assert made[0].read_bytes() == files[0].read_bytes()
        assert made[1].read_bytes() == Path("renamed.json").read_bytes()


def test_a_picture_made_afresh_elsewhere_gives_the_same_bytes(call: Call, painting: Path, home: Path) -> None:
    (file,) = call("run", painting, "--json").json["outputs"]["image"]["files"]
    assert call("cache", "clear").code == 0
    again = call("run", file, "--out", "again", "--json").json
    assert again["nodes"]["paint"]["state"] == "done"
    assert Path(again["outputs"]["image"]["files"][0]).read_bytes() == Path(file).read_bytes()


def test_a_picture_without_a_graph_is_refused(call: Call, tmp_path: Path) -> None:
    Image.new("L", (2, 2)).save(tmp_path / "foreign.png")
    answer = call("run", "foreign.png")
    assert answer.code == 2
    assert "contains no Safelight graph" in answer.err


def test_to_goes_only_so_far(call: Call, write: Write) -> None:
    nodes = {"one": ("Add", {"a": 1}), "two": ("Add", {"a": {"from": "one.out"}}), "bad": ("Fail", {})}
    graph = write(nodes, outputs={"sum": "two.out", "bad": "bad.out"})
    tree = call("run", graph, "--to", "one", "--json").json
    assert tree["state"] == "done"
    assert tree["nodes"].keys() == {"one"}
    assert tree["outputs"] == {}
    answer = call("run", graph, "--to", "on")
    assert answer.code == 2
    assert "did you mean one?" in answer.err


def test_a_failure_keeps_the_rest_and_says_what_it_was(call: Call, write: Write, home: Path) -> None:
    nodes = {
        "good": ("Add", {"a": 1}),
        "bad": ("Fail", {"a": {"from": "good.out"}}),
        "after": ("Add", {"a": {"from": "bad.out"}}),
        "paint": ("Paint", {}),
    }
    graph = write(nodes, outputs={"sum": "after.out", "image": "paint.out"})
    answer = call("run", graph, "--json")
    tree = answer.json
    assert answer.code == 1
    assert tree["state"] == "failed"
    assert {node: item["state"] for node, item in tree["nodes"].items()} == {
        "good": "done",
        "bad": "failed",
        "after": "skipped",
        "paint": "done",
    }
    assert tree["problems"] == [
        {
            "code": "node_failed",
            "severity": "error",
            "node": "bad",
            "input": "a",
            "message": "it cannot be done",
            "hint": "do something else",
            "fix": None,
        }
    ]
    assert tree["outputs"].keys() == {"image"}
    assert call("run", graph, "--json").json["nodes"]["good"]["state"] == "cached"
    shown = call("run", graph)
    assert "bad.a: it cannot be done · hint: do something else" in shown.err
    assert "skipped" in shown.out
    assert "image: home/outputs/graph-image-0001.png" in shown.out


def test_a_surprise_has_no_traceback_unless_asked_for(call: Call, write: Write) -> None:
    graph = write({"bad": ("Fail", {"surprise": True})}, outputs={"x": "bad.out"})
    answer = call("run", graph)
    assert answer.code == 1
    assert "Traceback" not in answer.out + answer.err
    assert "bad: RuntimeError: [bold]surprise · hint: " in answer.err
    assert "[bold]surprise" in answer.out, "markup from a node stays text in the table"
    debugged = call("--debug", "run", graph)
    assert debugged.code == 1
    assert "Traceback" in debugged.err


def test_run_reports_all_problems_of_a_graph(call: Call, write: Write) -> None:
    graph = write({"add": ("Add", {"a": "x", "c": 1}), "paint": ("Pain", {})}, outputs={"y": "add.nothing"})
    answer = call("run", graph)
    assert answer.code == 2
    assert answer.out == ""
    lines = answer.err.splitlines()
    assert len(lines) == 4
    assert [line.split(":")[0] for line in lines[:3]] == ["add.c", "add.a", "paint"]
    assert "did you mean Paint?" in lines[2]
    tree = call("run", graph, "--json").json
    assert tree["state"] == "invalid"
    assert [problem["code"] for problem in tree["problems"]] == [
        "unknown_input",
        "type_mismatch",
        "unknown_type",
        "dangling_link",
    ]


@pytest.mark.parametrize(
    ("content", "says"),
    [
        (b"", "graph.json is empty"),
        (b"\xff\xd8\xff\xe0JFIF", "contains no Safelight graph"),
        (b'{"safelight": 1, "nodes": {"a": NaN}}', "not a finite number"),
        (b'{"safelight": 1, "nodes": {}, "nodes": {}}', "written twice"),
        (b"[" * 5000, "nested deeper"),
        (b"\x89PNG\r\n\x1a\n\0\0", "cut off"),
    ],
)
def test_a_broken_file_is_refused_in_words(
    call: Call, home: Path, tmp_path: Path, content: bytes, says: str
) -> None:
    (tmp_path / "graph.json").write_bytes(content)
    answer = call("run", "graph.json")
    assert answer.code == 2
    assert says in answer.err
    assert "Traceback" not in answer.err


def test_a_missing_graph_a_folder_and_no_graph_are_refused(call: Call, home: Path) -> None:
    refused: list[tuple[list[object], str]] = [
        (["nowhere.json"], "no graph named 'nowhere.json'"),
        ([home], "cannot be read: Is a directory"),
        ([], "no graph is given"),
        (["--prompt", "x", "graph.json"], "write the graph first"),
    ]
    for words, says in refused:
        answer = call("run", *words)
        assert (answer.code, answer.out) == (2, "")
        assert says in answer.err


def test_a_missing_file_is_a_bad_graph(call: Call, write: Write, home: Path) -> None:
    graph = write({"read": ("ReadText", {"file": "no.txt"})}, outputs={"text": "read.out"})
    answer = call("run", graph, "--json")
    assert answer.code == 2
    assert [problem["code"] for problem in answer.json["problems"]] == ["missing_file"]


def test_a_file_beside_the_graph_is_found(
    call: Call, write: Write, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    graph = write({"read": ("ReadText", {"file": "note.txt"})}, outputs={"text": "read.out"})
    (graph.parent / "note.txt").write_text("beside")
    monkeypatch.chdir(home)
    assert call("run", graph, "--json").json["outputs"]["text"]["value"] == "beside"


@pytest.fixture
def titled(write: Write) -> Path:
    """A graph of one picture that depends on a file beside it."""
    folder = Path("mine")
    (folder / "notes").mkdir(parents=True)
    (folder / "notes" / "My Note.TXT").write_text("first")
    nodes = {
        "read": ("ReadText", {"file": {"param": "file"}}),
        "paint": ("Paint", {"name": {"from": "read.out"}}),
    }
    inputs = {"file": {"type": "file", "default": "notes/My Note.TXT"}}
    return write(nodes, inputs, {"image": "paint.out"}, name="mine/graph.json")


def picture(answer: Answer) -> Path:
    (file,) = answer.json["outputs"]["image"]["files"]
    return Path(file)


@pytest.mark.parametrize("how", ["beside", "here", "absolute", "set"])
def test_a_picture_finds_its_files_again_from_anywhere(
    call: Call, titled: Path, home: Path, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, how: str
) -> None:
    monkeypatch.chdir(titled.parent if how == "here" else home)
    absolute = str(titled.parent / "notes" / "My Note.TXT")
    words = {"absolute": ["--file", absolute], "set": ["--set", f"read.file={absolute}"]}.get(how, [])
    first = picture(call("run", titled, "--json", *words))
    assert {step["action"] for step in call("plan", titled, "--json", *words).json["steps"]} == {"reuse"}
    (titled.parent / "notes" / "My Note.TXT").unlink()
    titled.unlink()
    monkeypatch.chdir("/")
    again = call("run", first, "--json", "--out", tmp_path / "again")
    assert {node["state"] for node in again.json["nodes"].values()} == {"cached"}
    assert picture(again).read_bytes() == first.read_bytes()
    assert call("cache", "clear").code == 0
    afresh = call("run", first, "--json", "--out", tmp_path / "afresh")
    assert {node["state"] for node in afresh.json["nodes"].values()} == {"done"}
    assert picture(afresh).read_bytes() == first.read_bytes()
    carried = opened(first).text["safelight"]
    assert "my-note-" in carried
    assert str(tmp_path) not in carried, "where it lay is nobody's business"
    assert len(list((home / "inputs").rglob("*.txt"))) == 1


def test_a_file_that_changed_is_another_file(call: Call, titled: Path, home: Path) -> None:
    first = picture(call("run", titled, "--json"))
    (titled.parent / "notes" / "My Note.TXT").write_text("second")
    second = picture(call("run", titled, "--json"))
    assert first.read_bytes() != second.read_bytes()
    for file in (first, second):
        assert (
            picture(call("run", file, "--json", "--out", f"again-{file.stem}")).read_bytes()
            == file.read_bytes()
        )
    assert {path.read_text() for path in (home / "inputs").rglob("*.txt")} == {"first", "second"}


def test_a_file_in_the_home_keeps_its_name_and_no_copy_is_made(call: Call, titled: Path, home: Path) -> None:
    (home / "inputs").mkdir()
    (home / "inputs" / "note.txt").write_text("inside")
    first = picture(call("run", titled, "--file", "note.txt", "--json"))
    assert reader.parse(opened(first).text["safelight"]).inputs["file"].default == "note.txt"
    assert [path.name for path in (home / "inputs").iterdir()] == ["note.txt"]


def test_a_plan_copies_nothing(call: Call, titled: Path, home: Path) -> None:
    assert call("plan", titled).code == 0
    assert not (home / "inputs").exists()


def test_a_copy_that_cannot_be_made_costs_no_picture(call: Call, titled: Path, home: Path) -> None:
    (home / "inputs").mkdir()
    (home / "inputs" / "kept").write_text("in the way")
    answer = call("run", titled, "--json")
    assert answer.code == 0
    assert picture(answer).is_file()
    assert "cannot be copied" in answer.err


@pytest.mark.parametrize("out", ["file", "file/below", "closed", "closed/below/deep", "/dev/null/x"])
def test_an_output_folder_that_takes_no_files_is_refused_before_anything_runs(
    call: Call, painting: Path, home: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    Path("file").write_text("in the way")
    Path("closed").mkdir()
    real = os.open

    def refused(path: Any, *args: Any, **more: Any) -> int:  # as for a user who is not root
        if "closed" in (Path(path).name, Path(path).parent.name):  # the folder itself for a nameless file
            raise PermissionError(errno.EACCES, os.strerror(errno.EACCES))
        return real(path, *args, **more)

    monkeypatch.setattr("os.open", refused)
    answer = call("run", painting, "--out", out, "--json")
    (problem,) = answer.json["problems"]
    assert (answer.code, answer.json["state"], problem["code"]) == (2, "invalid", "unwritable")
    why = "Permission denied" if out.startswith("closed") else "Not a directory"
    assert problem["message"].startswith("the outputs cannot be written to /")
    assert problem["message"].endswith(why)
    assert problem["hint"] == "name another folder with --out"
    assert call("plan", painting, "--json").json["to_run"] == 1, "nothing was computed"
    assert Path("file").read_text() == "in the way"
    assert list(Path("closed").iterdir()) == []


def test_a_folder_that_takes_files_is_not_made_before_there_are_any(call: Call, write: Write) -> None:
    graph = write({"bad": ("Fail", {}), "paint": ("Paint", {})}, outputs={"x": "bad.out"})
    Path("there").mkdir()
    assert call("run", graph, "--out", "there/new").code == 1
    assert list(Path("there").iterdir()) == []


def test_a_home_whose_outputs_folder_is_in_the_way_matters_only_for_files(
    call: Call, write: Write, painting: Path, home: Path
) -> None:
    (home / "outputs").write_text("in the way")
    assert call("run", painting).code == 2
    sums = write({"add": ("Add", {"a": 1})}, outputs={"sum": "add.out"}, name="sums.json")
    assert call("run", sums, "--json").json["outputs"]["sum"]["value"] == 1


def test_warnings_are_told_by_node_and_again_when_the_result_is_kept(call: Call, write: Write) -> None:
    nodes = {
        "say": ("Say", {"text": "warn of rain"}),
        "same": ("Say", {"text": "warn of rain"}),
        "calm": ("Say", {"text": "calm"}),
    }
    graph = write(nodes, outputs={"a": "say.out", "b": "same.out", "c": "calm.out"})
    for state in ("done", "cached", "cached"):
        answer = call("run", graph, "--json")
        told = answer.json["nodes"]
        assert told["say"]["state"] == state
        assert told["say"]["warnings"] == told["same"]["warnings"] == ["warn of rain"]
        assert "warnings" not in told["calm"]
        assert answer.err.count("warn of rain") == 1
    other = call("run", graph, "--set", "say.number=2", "--json")
    assert other.json["nodes"]["say"]["state"] == "done"
    assert other.err.count("warn of rain") == 2, "that of the new result and that of the kept one"


def test_stray_files_in_the_warnings_folder_do_not_fail_a_run(call: Call, write: Write, home: Path) -> None:
    graph = write({"say": ("Say", {"text": "warn"})}, outputs={"a": "say.out"})
    assert call("run", graph).code == 0
    (kept,) = (home / "store" / "warnings").iterdir()
    for content in ("", "{", '{"a": 1}', "[1, null]", "[" * 100_000):
        kept.write_text(content)
        answer = call("run", graph, "--json")
        assert answer.json["state"] == "done"
        assert "warnings" not in answer.json["nodes"]["say"]


def test_outputs_written_before_one_that_fails_are_in_the_answer(
    call: Call, write: Write, monkeypatch: pytest.MonkeyPatch
) -> None:
    nodes = {"one": ("Paint", {"grey": 1}), "two": ("Paint", {"grey": 2})}
    graph = write(nodes, outputs={"first": "one.out", "second": "two.out"})
    real = whole_file.put

    def full(data: bytes, names: Iterable[Path], *, share: bool = False) -> Path:
        if list(Path("here").iterdir()):
            raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        return real(data, names, share=share)

    monkeypatch.setattr(whole_file, "put", full)
    answer = call("run", graph, "--json", "--out", "here")
    assert answer.code == 1
    assert answer.json["state"] == "failed"
    assert [problem["code"] for problem in answer.json["problems"]] == ["unwritable"]
    (written,) = answer.json["outputs"]
    assert [path.name for path in Path("here").iterdir()] == [f"graph-{written}-0001.png"]


@pytest.mark.skipif(sys.platform == "win32", reason="signals of POSIX")
@pytest.mark.parametrize("number", [signal.SIGINT, signal.SIGTERM])
def test_ctrl_c_stops_the_writing_of_outputs_after_the_file_under_way(
    call: Call, write: Write, monkeypatch: pytest.MonkeyPatch, number: signal.Signals
) -> None:
    nodes = {"one": ("Paint", {"grey": 1}), "two": ("Paint", {"grey": 2})}
    graph = write(nodes, outputs={"first": "one.out", "second": "two.out"})
    assert call("run", graph, "--out", "before").code == 0
    real = whole_file.put

    def interrupted(data: bytes, names: Iterable[Path], *, share: bool = False) -> Path:
        os.kill(os.getpid(), number)
        time.sleep(0.3)  # for the thread that hears it
        return real(data, names, share=share)

    monkeypatch.setattr(whole_file, "put", interrupted)
    answer = call("run", graph, "--json", "--out", "here")
    assert answer.code == 130
    assert answer.json["state"] == "cancelled"
    assert answer.json["outputs"].keys() == {"first"}
    assert [path.name for path in Path("here").iterdir()] == ["graph-first-0001.png"]


@pytest.mark.parametrize("out", ["made", "../beside"])
def test_paths_start_at_the_folder_of_the_command_although_a_node_leaves_it(
    call: Call, write: Write, tmp_path: Path, monkeypatch: pytest.MonkeyPatch, out: str
) -> None:
    (tmp_path / "here" / "inner").mkdir(parents=True)
    monkeypatch.chdir(tmp_path / "here")
    nodes = {
        "leave": ("Leave", {"folder": str(tmp_path / "here" / "inner")}),
        "paint": ("Paint", {"name": {"from": "leave.out"}}),
    }
    graph = write(nodes, outputs={"image": "paint.out"})
    answer = call("run", graph, "--quiet", "--out", out)
    assert answer.code == 0, answer.err
    assert Path.cwd() == tmp_path / "here" / "inner"
    assert (tmp_path / "here" / answer.out.strip()).is_file()
    assert answer.out.startswith(out)


def test_quiet_prints_the_outputs_alone(call: Call, write: Write) -> None:
    graph = write(
        {"paint": ("Paint", {}), "say": ("Say", {"text": "é"})},
        outputs={"image": "paint.out", "said": "say.out"},
    )
    answer = call("run", graph, "--quiet")
    picture, said = answer.out.splitlines()
    assert Path(picture).is_file()
    assert json.loads(said)["text"] == "é"
    assert answer.err == ""


def test_text_from_files_cannot_speak_to_the_terminal(call: Call, write: Write) -> None:
    nodes = {"say": ("Say", {"text": "warn [red]\x1b[2J\u202e"}), "[x]": ("Pain", {})}
    graph = write(nodes, outputs={"said": "say.out"}, title="[red]\x1b]0;owned\x07")
    answer = call("run", graph)
    assert "\x1b" not in answer.err
    assert "'[x]' is not a valid id" in answer.err
    inputs = {"x": {"type": "text", "default": "[blue]\x9b1m", "doc": "[bold]\x1b[1m"}}
    graph = write({"say": nodes["say"]}, inputs, {"said": "say.out"}, title="[red]\x1b]0;owned\x07")
    answer = call("run", graph)
    assert answer.code == 0
    assert "\x1b" not in answer.out + answer.err
    assert "\u202e" not in answer.out + answer.err
    assert r"warning: say: warn [red]\x1b[2J\u202e" in answer.err
    help = call("run", graph, "--help").out
    assert "\x1b" not in help
    assert "\x9b" not in help
    for text in ("[red]", "[blue]", "[bold]"):
        assert text in help


def test_a_warning_of_a_hook_does_not_cost_the_picture(call: Call, painting: Path) -> None:
    answer = call("run", painting, "--name", "refuse", "--json")
    (file,) = answer.json["outputs"]["image"]["files"]
    assert answer.json["state"] == "done"
    assert "failed: RuntimeError: no words" in answer.err
    assert opened(Path(file)).text.keys() == {"safelight"}


def test_in_a_large_run_only_failed_or_changed_nodes_have_rows(call: Call, write: Write) -> None:
    nodes = {f"n{n}": ("Add", {"a": n}) for n in range(70)} | {"bad": ("Fail", {})}
    graph = write(nodes, outputs={"x": "bad.out"} | {f"o{n}": f"n{n}.out" for n in range(70)})

    first = call("run", graph, "--set", "bad.a=1").out
    assert " bad " in first
    assert "11 others   done" in first
    again = call("run", graph, "--set", "n69.b=1").out
    assert "69 others   cached" in again
    assert " n69 " in again
    assert " n42 " not in again
    assert "failed in" in again
    nodes.pop("bad")
    graph = write(nodes, outputs={"x": "n42.out"} | {f"o{n}": f"n{n}.out" for n in range(70)})
    assert "70 nodes   cached" in call("run", graph).out


def test_a_pack_that_cannot_be_loaded_is_a_warning(call: Call, painting: Path, home: Path) -> None:
    (home / "nodes" / "broken.py").write_text("import nothing_of_this_name\n")
    answer = call("run", painting)
    assert answer.code == 0
    assert "warning: the node pack" in answer.err
    assert "broken.py, line 1" in answer.err


def test_bad_settings_are_bad_use(call: Call, painting: Path, home: Path) -> None:
    (home / "settings.json").write_text('{"devise": "cpu"}')
    answer = call("run", painting)
    assert answer.code == 2
    assert "devise" in answer.err
    (home / "settings.json").unlink()
    answer = call("run", painting, "--device", "toaster", "--json")
    assert answer.code == 2
    assert answer.json["problems"][0]["code"] == "bad_device"


def test_the_digest_is_of_the_bytes_before_any_text_is_added(call: Call, painting: Path) -> None:
    one = call("run", painting, "--name", "one", "--json").json["outputs"]["image"]
    two = call("run", painting, "--name", "two", "--json").json["outputs"]["image"]
    assert one["digest"] == two["digest"]
    files = [Path(item["files"][0]) for item in (one, two)]
    assert len({hashlib.sha256(file.read_bytes()).hexdigest() for file in files}) == 2
    assert [file.name[-8:] for file in files] == ["0001.png", "0002.png"]


def test_a_folder_kind_that_no_node_reads_is_refused(call: Call, painting: Path, home: Path) -> None:
    (home / "settings.json").write_text('{"folders": {"input": ["/data"]}}')
    for command in ("run", "check", "plan"):
        answer = call(command, painting)
        assert answer.code == 2
        assert "no node type reads files of the kind 'input' · hint: did you mean inputs?" in answer.err
    (home / "settings.json").write_text('{"folders": {"inputs": ["/data"]}}')
    assert call("check", painting).code == 0


def test_pictures_have_no_metadata_if_the_option_or_the_setting_says_so(
    call: Call, painting: Path, home: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    plain = Path(
        call("run", painting, "--no-metadata", "--json", "--out", "a").json["outputs"]["image"]["files"][0]
    )
    assert opened(plain).text == {}
    monkeypatch.setenv("SAFELIGHT_METADATA", "0")
    again = Path(call("run", painting, "--json", "--out", "b").json["outputs"]["image"]["files"][0])
    assert again.read_bytes() == plain.read_bytes()
    assert not (home / "inputs" / "kept").exists()


@pytest.mark.parametrize(("format", "suffix"), [("jpeg", ".jpg"), ("webp", ".webp"), ("png", ".png")])
def test_the_format_of_pictures_is_an_option_and_a_setting_and_the_graph_is_in_each(
    call: Call, painting: Path, home: Path, monkeypatch: pytest.MonkeyPatch, format: str, suffix: str
) -> None:
    def picture(*words: object) -> Path:
        (file,) = call("run", *words, "--json").json["outputs"]["image"]["files"]
        return Path(file)

    first = picture(painting, "--grey", 30, "--format", format)
    assert first.suffix == suffix
    assert source.load(first).inputs["grey"].default == 30
    with Image.open(first) as opened:
        assert opened.format == format.upper()
    plain = picture(painting, "--format", format, "--no-metadata")
    assert picture_text.read_text(plain.read_bytes()) == {}
    monkeypatch.setenv("SAFELIGHT_PICTURE_FORMAT", format)
    assert picture(first) == first, "the same picture from its own graph is the same file"


def test_an_unknown_format_is_refused_with_the_known_ones(call: Call, painting: Path) -> None:
    for name, hint in (("jpg", "did you mean jpeg"), ("gif", "the formats are png, jpeg, webp")):
        answer = call("run", painting, "--format", name)
        assert answer.code == 2
        assert hint in answer.err
