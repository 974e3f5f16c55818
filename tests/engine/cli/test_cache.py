"""`safelight cache`: what it says of a store that runs have filled, what it removes, and what it leaves."""

import shutil
import sqlite3
from collections.abc import Iterator
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Call, Write
from tests.faults.small_disk import remount_read_only, small_disk


@pytest.fixture
def sums(write: Write) -> Path:
    inputs = {"a": {"type": "int", "default": 1}}
    return write({"add": ("Add", {"a": {"param": "a"}})}, inputs, {"sum": "add.out"}, name="sums.json")


def test_shows_how_often_results_were_there(call: Call, painting: Path, sums: Path) -> None:
    [nothing] = call("cache", "show").out.splitlines()
    assert "of at most" in nothing
    for a in (1, 2, 1, 1, 2):
        assert call("run", sums, "--a", str(a)).code == 0
    assert call("run", painting).code == 0
    shown = call("cache", "show", "--json").json
    kept = {name: (told["entries"], told["hits"], told["made"]) for name, told in shown["types"].items()}
    assert kept == {"Add@1": (2, 3, 2), "Paint@1": (1, 0, 1)}
    assert shown["bytes"] > 0
    lines = call("cache").out.splitlines()
    assert lines[0].split() == ["cached", "size", "reused", "node", "type"]
    told = {line.split()[-1]: line.split() for line in lines[1:3]}
    assert (told["Add@1"][0], told["Add@1"][3]) == ("2", "60%")
    assert (told["Paint@1"][0], told["Paint@1"][3]) == ("1", "0%")
    assert call("cache", "clear", "--type", "Add").code == 0
    assert call("cache", "--json").json["types"]["Add@1"] == {"entries": 0, "bytes": 0, "hits": 3, "made": 2}
    assert call("cache", "clear").code == 0
    assert call("cache", "--json").json["types"] == {}


LONG = """
from engine.context import Context
from engine.errors import NodeError
from engine.node import Node

class Long(Node):
    fails: bool = False

    def run(self, ctx: Context) -> int:
        ctx.publish("halfway.txt", b"x" * 1000)
        (ctx.scratch / "state").write_bytes(b"y" * 1000)
        if self.fails:
            raise NodeError("it stopped halfway")
        return 1
"""


def test_shows_and_clears_the_folders_of_long_steps(call: Call, write: Write, home: Path) -> None:
    (home / "nodes" / "long.py").write_text(LONG)
    graphs = [
        write({"long": ("Long", {"fails": fails})}, outputs={"a": "long.out"}, name=f"{fails}.json")
        for fails in (False, True)
    ]
    for state in ("done", "cached"):
        answer = call("run", graphs[0], "--json").json
        assert answer["nodes"]["long"]["state"] == state
        (file,) = answer["nodes"]["long"]["published"]
        assert (file["name"], file["size"]) == ("halfway.txt", 1000)
        assert Path(file["path"]).read_bytes() == b"x" * 1000
    assert "long published" in call("run", graphs[0]).err
    assert call("run", graphs[1]).code == 1
    shown = call("cache", "--json").json["steps"]
    assert shown["folders"] == 2
    assert 3000 <= shown["bytes"] < 4000, "two published files, and the state of the step that failed"
    assert "2 folders of long steps" in call("cache").out
    assert call("cache", "clear", "--older", "1d", "--json").json["folders"] == 0
    assert call("cache", "clear", "--type", "Long", "--json").json["folders"] == 0, "only results have a type"
    assert "2 folders of long steps deleted" in call("cache", "clear").out
    assert not list((home / "store" / "steps").iterdir())


def test_clears_what_was_not_used_for_long(call: Call, sums: Path, home: Path) -> None:
    for a in range(4):
        assert call("run", sums, "--a", str(a)).code == 0
    index = sqlite3.connect(home / "store" / "index.sqlite", isolation_level=None)
    index.execute("UPDATE entries SET used = used - 3600 * (id - 1)")  # 0, 1, 2 and 3 hours ago
    index.close()
    for age, gone in (("1w", 0), ("4h", 0), ("150m", 1), ("0.0626d", 1), ("3000 s", 1), ("1", 0), ("0", 1)):
        assert call("cache", "clear", "--older", age, "--json").json["entries"] == gone, age


def test_clears_a_type_of_an_age(call: Call, sums: Path, painting: Path) -> None:
    assert call("run", sums).code == 0
    assert call("run", painting).code == 0
    assert call("cache", "clear", "--type", "Add@1", "--older", "1h", "--json").json["entries"] == 0
    assert call("cache", "clear", "--type", "Add@2", "--json").json["entries"] == 0
    assert call("cache", "clear", "--type", "Add@1", "--json").json["entries"] == 1
    assert set(call("cache", "--json").json["types"]) == {"Paint@1", "Add@1"}
    assert call("run", painting, "--json").json["nodes"]["paint"]["state"] == "cached"


@pytest.mark.parametrize("age", ["", "soon", "-1", "7y", "1e3", "nan", "7 d d"])
def test_an_invalid_age_is_refused(call: Call, sums: Path, age: str) -> None:
    assert call("run", sums).code == 0
    answer = call("cache", "clear", f"--older={age}", "--json")
    (problem,) = answer.json["problems"]
    assert (answer.code, problem["code"]) == (2, "bad_option")
    assert "7d" in problem["hint"]
    assert call("cache", "--json").json["types"]["Add@1"]["entries"] == 1


@pytest.mark.parametrize("name", ["Ad", "Ad@1"])
def test_an_unknown_type_is_refused_with_near_names(call: Call, sums: Path, name: str) -> None:
    assert call("run", sums).code == 0
    answer = call("cache", "clear", "--type", name, "--json")
    (problem,) = answer.json["problems"]
    assert (answer.code, problem["code"]) == (2, "unknown_type")
    assert "Add" in problem["hint"]
    assert call("cache", "--json").json["types"]["Add@1"]["entries"] == 1


def test_results_of_a_type_that_is_not_installed_any_more_can_be_cleared(
    call: Call, sums: Path, home: Path
) -> None:
    assert call("run", sums).code == 0
    (home / "nodes" / "pack.py").unlink()
    assert call("cache", "clear", "--type", "Add", "--json").json["entries"] == 1


def test_verify_says_what_was_damaged_and_removes_it(call: Call, sums: Path, home: Path) -> None:
    for a in range(3):
        assert call("run", sums, "--a", str(a)).code == 0
    assert call("cache", "verify").code == 0
    index = sqlite3.connect(home / "store" / "index.sqlite", isolation_level=None)
    index.execute("UPDATE entries SET seconds = seconds + 1 WHERE id = 2")
    [(key,)] = index.execute("SELECT key FROM entries WHERE id = 2")
    index.close()
    answer = call("cache", "verify", "--json")
    assert answer.code == 1
    what = "its row in the index does not match its checksum"
    assert answer.json == {"damaged": [{"key": key, "type": "Add@1", "what": what}]}
    assert call("cache", "verify").out == "no result is damaged\n"
    states = [call("run", sums, "--a", str(a), "--json").json["nodes"]["add"]["state"] for a in range(3)]
    assert sorted(states) == ["cached", "cached", "done"]


@pytest.fixture
def read_only_home(call: Call, sums: Path, home: Path) -> Iterator[Path]:
    """A home in which a run has been, on a disk that cannot be written."""
    assert call("run", sums, "--a", "1").code == 0
    small = home.parent / "small"
    small.mkdir()
    with small_disk(small, "4m"):
        shutil.copytree(home, small / "home")
        remount_read_only(small, "4m")
        yield small / "home"


def test_a_home_that_cannot_be_written_is_read_and_said_to_be(
    call: Call, sums: Path, read_only_home: Path, tmp_path: Path
) -> None:
    at = ("--home", str(read_only_home))
    answer = call("run", sums, "--a", "1", "--out", tmp_path / "out", *at, "--json")
    assert answer.code == 0, answer.err
    assert answer.json["nodes"]["add"]["state"] == "cached"
    assert answer.err.count("warning") == 1
    assert "cannot be written" in answer.err
    assert "Error" not in answer.err, "no text of an exception"
    assert call("run", sums, "--a", "2", "--out", tmp_path / "out", *at).code == 0
    assert call("cache", "--json", *at).json["types"]["Add@1"]["entries"] == 1
    assert call("cache", "verify", *at).code == 0
    cleared = call("cache", "clear", *at)
    assert cleared.code == 1
    assert "no result was deleted" in cleared.err
    assert call("cache", "--json", *at).json["types"]["Add@1"]["entries"] == 1


@pytest.mark.parametrize("command", ["show", "clear", "verify"])
def test_a_cache_that_cannot_be_opened_is_no_empty_cache(call: Call, home: Path, command: str) -> None:
    (home / "store").write_text("a file in the way")
    answer = call("cache", command)
    assert answer.code == 1
    assert answer.out == ""
    assert "cannot be used" in answer.err
