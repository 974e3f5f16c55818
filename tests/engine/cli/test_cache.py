"""`safelight cache`: what it says of a store that runs have filled, what it removes, and what it leaves."""

import sqlite3
from pathlib import Path

import pytest

from tests.engine.cli.conftest import Call, Write


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
    assert lines[0].split() == ["kept", "size", "reused", "node", "type"]
    told = {line.split()[-1]: line.split() for line in lines[1:3]}
    assert (told["Add@1"][0], told["Add@1"][3]) == ("2", "60%")
    assert (told["Paint@1"][0], told["Paint@1"][3]) == ("1", "0%")
    assert call("cache", "clear", "--type", "Add").code == 0
    assert call("cache", "--json").json["types"]["Add@1"] == {"entries": 0, "bytes": 0, "hits": 3, "made": 2}
    assert call("cache", "clear").code == 0
    assert call("cache", "--json").json["types"] == {}


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
def test_what_is_no_age(call: Call, sums: Path, age: str) -> None:
    assert call("run", sums).code == 0
    answer = call("cache", "clear", f"--older={age}")
    assert answer.code == 2
    assert "is no age" in answer.err
    assert "7d" in answer.err
    assert call("cache", "--json").json["types"]["Add@1"]["entries"] == 1


def test_two_types_are_one_too_many(call: Call, sums: Path) -> None:
    assert call("cache", "clear", "Add", "--type", "Paint").code == 2


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
    assert call("cache", "verify").out == "nothing is damaged\n"
    states = [call("run", sums, "--a", str(a), "--json").json["nodes"]["add"]["state"] for a in range(3)]
    assert sorted(states) == ["cached", "cached", "done"]
