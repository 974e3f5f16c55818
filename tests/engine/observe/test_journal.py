"""The journal of runs: a line an event, the newest kept, never in the way."""

from __future__ import annotations

import json
import os
from pathlib import Path

import pytest

from engine import settings
from engine.errors import Problem
from engine.events import Done, Failed, Finished, Skipped, Started, Warned
from engine.observe import journal as journals
from engine.observe.journal import Journal, Journals
from engine.session import Session
from tests.engine.small_nodes import REGISTRY, graph_of


def lines(folder: Path) -> list[dict[str, object]]:
    (path,) = folder.iterdir()
    return [json.loads(line) for line in path.read_text().splitlines()]


def test_the_journal_has_each_run_line_by_line(tmp_path: Path) -> None:
    graph = graph_of(
        {"good": ("Mix", {"a": 1}), "bad": ("Broken", {}), "after": ("Mix", {"a": {"from": "bad.out"}})}
    )
    with Session(settings.load(tmp_path), registry=REGISTRY) as session:
        session.run(graph)
    told = lines(tmp_path / "store" / "journal")
    assert told[0]["event"] == "planned"
    assert told[0]["nodes"] == told[0]["to_run"] == 3
    assert {(line["event"], line.get("node")) for line in told[1:-1]} == {
        ("started", "good"),
        ("done", "good"),
        ("started", "bad"),
        ("failed", "bad"),
        ("skipped", "after"),
    }
    assert (told[-1]["event"], told[-1]["state"]) == ("finished", "failed")
    times = [line["t"] for line in told]
    assert times == sorted(times)  # type: ignore[type-var]
    (failed,) = (line for line in told if line["event"] == "failed")
    assert isinstance(failed["problem"], dict)
    assert failed["problem"]["message"] == "it is broken"


def test_journal_lines_are_written_at_once_and_escape_odd_text(tmp_path: Path) -> None:
    odd = '"quoted"\n\\ \u2028 é'
    with Journal(tmp_path, pytest.fail) as journal:
        for event in (
            Started(odd),
            Done(odd, 0.5, "disk"),
            Skipped("x", odd),
            Warned(odd, "x"),
            Failed("x", 1.0, Problem("code", odd), odd),
            Finished("failed", 2.0),
        ):
            journal(event)
            if not isinstance(event, Done):  # written with what follows it
                assert lines(tmp_path)[-1]["event"] == type(event).__name__.lower()
    assert [line.get("node") for line in lines(tmp_path)][:2] == [odd, odd]


def test_the_newest_are_kept(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "KEPT", 3)
    monkeypatch.setattr(journals, "PRUNED_EVERY", 1)
    (tmp_path / "notes.txt").write_text("not a journal")
    (tmp_path / "20000101-000000-000-aaaaaa.jsonl").write_text("")
    made = []
    for _ in range(5):
        with Journal(tmp_path, pytest.fail) as journal:
            made.append(journal.path.stem)
    kept = {path.stem for path in tmp_path.glob("*.jsonl")}
    assert len(kept) == 3
    assert "20000101-000000-000-aaaaaa" not in kept
    assert kept <= set(made)
    assert (tmp_path / "notes.txt").exists()


def test_runs_that_follow_one_another_share_a_file_and_those_at_once_do_not(tmp_path: Path) -> None:
    journals_ = Journals(tmp_path, pytest.fail)
    with journals_.one() as first:
        first(Started("a"))
        with journals_.one() as second:
            second(Started("b"))
    with journals_.one() as third:
        third(Started("c"))
    assert first.path != second.path
    assert third is first
    assert [line["node"] for line in map(json.loads, first.path.read_text().splitlines())] == ["a", "c"]
    first.path.unlink()
    with journals_.one() as other:
        other(Started("d"))
    assert other.path.exists()
    journals_.close()


def test_a_long_file_is_left_for_a_new_one(tmp_path: Path, monkeypatch: pytest.MonkeyPatch) -> None:
    monkeypatch.setattr(journals, "MAX_BYTES", 10)
    journals_ = Journals(tmp_path, pytest.fail)
    for _ in range(2):
        with journals_.one() as journal:
            journal(Started("a"))
    assert len(list(tmp_path.iterdir())) == 2


def test_a_journal_that_cannot_be_written_says_so_once(tmp_path: Path) -> None:
    (tmp_path / "journal").write_text("in the way")
    said: list[str] = []
    with Journal(tmp_path / "journal", said.append) as journal:
        journal(Started("x"))
    assert len(said) == 1
    said.clear()
    with Journal(tmp_path / "other", said.append) as journal:
        assert journal._file is not None
        os.close(journal._file)
        journal._file = os.open(journal.path, os.O_RDONLY)
        journal(Started("x"))
        journal(Started("x"))
    assert len(said) == 1
