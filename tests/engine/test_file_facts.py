"""Facts outlive the process; whatever happens to their database costs time at most."""

from __future__ import annotations

import os
import sqlite3
import threading
from pathlib import Path
from typing import Any

import pytest

from engine import file_facts
from engine.file_facts import FactKind, FileFacts

KIND = FactKind("kind", 1)
FACTS = {"a": "1", "b": "zwei \u2713", "odd \udcff name": "3"}


@pytest.fixture
def path(tmp_path: Path) -> Path:
    return tmp_path / "files.sqlite"


def recalled(path: Path, kind: FactKind = KIND) -> dict[str, str]:
    facts = FileFacts(path)
    try:
        return facts.recall(kind, [*FACTS, "unknown"])
    finally:
        facts.close()


def filled(path: Path) -> None:
    facts = FileFacts(path)
    facts.remember(KIND, FACTS)
    facts.close()


def test_facts_come_back_by_kind_and_version(path: Path) -> None:
    filled(path)
    assert recalled(path) == FACTS
    assert recalled(path, FactKind("kind", 2)) == {}
    assert recalled(path, FactKind("other", 1)) == {}
    facts = FileFacts(path)
    facts.remember(FactKind("kind", 2), {"a": "new"})
    assert facts.recall(FactKind("kind", 2), FACTS) == {"a": "new"}
    facts.close()
    assert recalled(path) == {name: fact for name, fact in FACTS.items() if name != "a"}


def test_many_facts_come_back(path: Path) -> None:
    many = {f"{n:064}": str(n) for n in range(1200)}
    facts = FileFacts(path)
    facts.remember(KIND, many)
    facts.close()
    assert facts.recall(KIND, many) == many, "it opens again by itself"
    facts.close()


def test_a_row_that_was_changed_is_unknown(path: Path) -> None:
    filled(path)
    with sqlite3.connect(path) as connection:
        connection.execute("UPDATE facts SET fact = 'evil' WHERE subject = ?", (b"a",))
        connection.execute("UPDATE facts SET fact = x'ff' WHERE subject = ?", (b"b",))
    connection.close()
    assert set(recalled(path)) == set(FACTS) - {"a", "b"}


@pytest.mark.parametrize("harm", ["text", "half", "page", "empty", "journal"])
def test_a_damaged_database_is_begun_anew(harm: str, path: Path) -> None:
    facts = FileFacts(path)
    facts.remember(KIND, {f"{n:064}": "x" * 100 for n in range(1200)})
    facts.close()
    data = path.read_bytes()
    if harm == "text":
        path.write_bytes(b"no database at all" * 1000)
    elif harm == "half":
        path.write_bytes(data[: len(data) // 2])
    elif harm == "page":
        path.write_bytes(data[:4096] + os.urandom(len(data) - 4096))
    elif harm == "empty":
        path.write_bytes(b"")
    else:
        path.with_name("files.sqlite-journal").write_bytes(os.urandom(9000))
    assert recalled(path) == {}
    filled(path)
    assert recalled(path) == FACTS


@pytest.mark.parametrize("harm", ["no path", "no folder", "a folder in its place", "newer"])
def test_an_unusable_facts_database_never_raises(harm: str, path: Path) -> None:
    if harm == "no folder":
        path = path.parent / "missing" / "files.sqlite"
    elif harm == "a folder in its place":
        path.mkdir()
    elif harm == "newer":
        filled(path)
        with sqlite3.connect(path) as connection:
            connection.execute("PRAGMA user_version = 99")
        connection.close()
    facts = FileFacts(None if harm == "no path" else path)
    facts.remember(KIND, FACTS)
    assert facts.recall(KIND, FACTS) == {}
    facts.close()
    assert not path.parent.joinpath("missing").exists(), "no folder is made for it"


def test_a_database_that_another_process_holds_is_waited_for_once(
    path: Path, monkeypatch: pytest.MonkeyPatch
) -> None:
    monkeypatch.setattr(file_facts, "_BUSY_SECONDS", 0.05)
    filled(path)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN EXCLUSIVE")
    facts = FileFacts(path)
    waits: list[object] = []
    connect = sqlite3.connect

    def counted(*args: Any, **named: Any) -> sqlite3.Connection:
        waits.append(args)
        connection: sqlite3.Connection = connect(*args, **named)
        return connection

    monkeypatch.setattr(sqlite3, "connect", counted)
    for _ in range(3):
        assert facts.recall(KIND, FACTS) == {}
        facts.remember(KIND, FACTS)
    assert len(waits) == 1
    other.execute("COMMIT")
    other.close()
    monkeypatch.setattr(file_facts, "_RETRY_SECONDS", 0.0)
    assert recalled(path) == FACTS


def test_file_facts_are_safe_for_threads_and_connections(path: Path) -> None:
    path.touch()
    wrong: list[object] = []

    def work(seed: int) -> None:
        facts = FileFacts(path)
        for n in range(30):
            subject = f"{(n * 7 + seed) % 40}"
            facts.remember(KIND, {subject: f"fact {subject}"})
            found = facts.recall(KIND, [subject])
            if found != {subject: f"fact {subject}"}:
                wrong.append(found)
        facts.close()

    threads = [threading.Thread(target=work, args=(seed,)) for seed in range(4)]
    for thread in threads:
        thread.start()
    for thread in threads:
        thread.join()
    assert wrong == []
