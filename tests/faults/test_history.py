"""The history checker finds each kind of thing that cannot be, and nothing in what the engine writes."""

from __future__ import annotations

import json
import os
import subprocess
import sys
from pathlib import Path
from typing import Any

import pytest

from engine import settings
from engine.context import Context
from engine.node import Node
from engine.packs.registry import Registry
from engine.session import Session
from tests.engine.small_nodes import Broken, Mix, graph_of
from tests.faults.forks import ROOT
from tests.faults.history import check, history, is_alive

Event = dict[str, Any]


class Numbers(Node):
    """Make a list, which what takes one number goes through."""

    def run(self, ctx: Context) -> list[int]:
        return [5, 6, 7]


PLANNED: Event = {"event": "planned", "pid": 0, "at": 1.5e9, "title": "", "nodes": 3, "to_run": 3}
START: Event = {"event": "started", "node": "a"}
DONE: Event = {"event": "done", "node": "a", "seconds": 0.1, "cache": "none"}
FAILED: Event = {"event": "failed", "node": "a", "seconds": 0.1, "problem": {"node": "a"}, "trace": ""}
SKIPPED: Event = {"event": "skipped", "node": "b", "because": "a failed"}
STOPPED: Event = {"event": "progress", "node": "a", "value": 1, "total": 2}
END: Event = {"event": "finished", "state": "done", "seconds": 1.0}
BROKE: Event = {**END, "state": "failed"}
TAKEN: Event = {**DONE, "cache": "disk", "key": "k"}


def problems_of(home: Path, *runs: list[Event], tail: str = "", idle: bool = False) -> list[str]:
    """What the checker says of runs with these events."""
    folder = home / "store" / "journal"
    folder.mkdir(parents=True, exist_ok=True)
    for n, events in enumerate(runs):
        lines = [json.dumps({"t": t, **event}) + "\n" for t, event in enumerate(events)]
        (folder / f"{n}.jsonl").write_text("".join(lines) + tail)
    return list(check(history(home), is_alive, idle))


@pytest.mark.parametrize(
    "events",
    [
        [],
        [PLANNED],
        [PLANNED, START, DONE, END],
        [PLANNED, START, STOPPED],
        [PLANNED, START, FAILED, SKIPPED, BROKE],
        [PLANNED, START, STOPPED, {**END, "state": "cancelled"}],
        [PLANNED, {"event": "warned", "message": "odd"}, TAKEN | {"key": None}, END],
    ],
)
def test_legal_histories_are_accepted(events: list[Event], tmp_path: Path) -> None:
    assert problems_of(tmp_path, events) == []


@pytest.mark.parametrize(
    ("events", "what"),
    [
        ([START], "before it was planned"),
        ([PLANNED, PLANNED], "planned twice"),
        ([PLANNED | {"to_run": 4}], "are to run"),
        ([PLANNED, START, START], "started twice"),
        ([PLANNED, START, DONE, START], "started although"),
        ([PLANNED, DONE], "without having started"),
        ([PLANNED, START, DONE, DONE], "done twice"),
        ([PLANNED, START, FAILED, DONE], "although it was given up"),
        ([PLANNED, STOPPED], "not under way"),
        ([PLANNED, START, DONE, STOPPED], "not under way"),
        ([PLANNED, START, FAILED | {"problem": {"node": "b"}}], "names 'b'"),
        ([PLANNED, START, FAILED, FAILED], "failed although"),
        ([PLANNED, START, SKIPPED | {"node": "a"}], "skipped although"),
        ([PLANNED, START, DONE, SKIPPED, BROKE], "which is not so"),
        ([PLANNED, START, FAILED, END], "although steps failed"),
        ([PLANNED, START, DONE, BROKE], "although no step did"),
        ([PLANNED, START, END], "was under way"),
        ([PLANNED, END, START], "after it had finished"),
        ([PLANNED, END | {"state": "well"}], "finished 'well'"),
        ([PLANNED, {"event": "paused"}], "does not exist"),
        ([PLANNED, {"event": "started"}], "names no step"),
        ([PLANNED, {**START, "t": -1}], "after something at"),
        ([PLANNED, TAKEN], "nobody had made it"),
        ([PLANNED, START, DONE | {"key": "k"}, START | {"node": "b"}, TAKEN | DONE | {"node": "b"}], "again"),
    ],
)
def test_illegal_histories_are_reported(events: list[Event], what: str, tmp_path: Path) -> None:
    assert any(what in line for line in problems_of(tmp_path, events))


def test_keys_are_followed_from_run_to_run(tmp_path: Path) -> None:
    made = [PLANNED, START, DONE | {"key": "k", "digest": "d"}, END]
    assert problems_of(tmp_path, made, [PLANNED, TAKEN | {"digest": "d"}, END]) == []
    assert problems_of(tmp_path, made, made) == [], "it may have been evicted in between"
    (line,) = problems_of(tmp_path, made, [PLANNED, TAKEN | {"digest": "e"}, END])
    assert "k is e, and was d before" in line


def test_half_a_line_is_for_those_that_were_killed(tmp_path: Path) -> None:
    assert problems_of(tmp_path, [PLANNED, START], tail='{"t":') == []
    assert len(problems_of(tmp_path, [PLANNED, END], tail='{"t":')) == 1
    assert len(problems_of(tmp_path, [PLANNED], tail='{"t":\n[]\n')) == 2


def test_a_run_that_goes_on_belongs_to_a_process_that_lives(tmp_path: Path) -> None:
    mine = [PLANNED | {"pid": os.getpid()}]
    assert problems_of(tmp_path, mine) == []
    (line,) = problems_of(tmp_path, mine, idle=True)
    assert "is still there" in line
    gone = subprocess.Popen([sys.executable, "-c", ""])
    gone.wait()
    assert problems_of(tmp_path, [PLANNED | {"pid": gone.pid}], idle=True) == []


def test_journals_of_the_engine_are_legal_histories(tmp_path: Path) -> None:
    graph = graph_of(
        {
            "good": ("Mix", {"a": 1}),
            "bad": ("Broken", {}),
            "after": ("Mix", {"a": {"from": "bad.out"}}),
            "later": ("Mix", {"a": {"from": "after.out"}}),
            "list": ("Numbers", {}),
            "each": ("Mix", {"a": {"from": "list.out"}}),
            "broken": ("Broken", {"a": {"from": "list.out"}}),
        }
    )
    with Session(settings.load(tmp_path), registry=Registry([Mix, Broken, Numbers])) as session:
        for _ in range(2):
            session.run(graph)
        session.run(graph_of({"good": ("Mix", {"a": 1})}))
    assert list(check(history(tmp_path), is_alive, idle=True)) == []
    line = [sys.executable, "-m", "tests.faults.history", str(tmp_path)]
    journals = [path.read_text() for path in (tmp_path / "store" / "journal").iterdir()]
    assert any('"each[2]"' in text for text in journals), "steps that came to be in a run, too"
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=True)
    assert ended.stdout == "3 runs, 3 finished, 0 things that cannot be\n"
    (journal,) = [
        path for path in (tmp_path / "store" / "journal").iterdir() if '"good"' in path.read_text()
    ][:1]
    journal.write_text(journal.read_text() + journal.read_text().splitlines(keepends=True)[-1])
    ended = subprocess.run(line, cwd=ROOT, capture_output=True, text=True, check=False)
    assert ended.returncode == 1
    assert "after it had finished" in ended.stdout
