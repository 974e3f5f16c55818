from __future__ import annotations

import multiprocessing
import os
import sqlite3
from pathlib import Path

import pytest

from engine.errors import GraphError
from engine.queue import RunQueue
from engine.queue.database import Database
from engine.queue.tables import MIGRATIONS
from tests.engine.queue.trial_pack import request

TABLE = "CREATE TABLE things (name TEXT NOT NULL)"


def code(error: pytest.ExceptionInfo[GraphError]) -> str:
    return error.value.problems[0].code


def test_a_transaction_is_whole_or_undone(tmp_path: Path) -> None:
    database = Database(tmp_path / "d.sqlite", [TABLE])
    with database.write() as connection:
        connection.execute("INSERT INTO things VALUES ('kept')")
    with pytest.raises(sqlite3.IntegrityError), database.write() as connection:
        connection.executemany("INSERT INTO things VALUES (?)", [("undone",), (None,)])
    assert [row["name"] for row in database.read("SELECT name FROM things")] == ["kept"]
    assert database.read("PRAGMA synchronous")[0][0] == 2, "FULL: a commit is on the disk"
    database.close()


def test_an_older_database_is_brought_up_to_date_and_a_newer_one_refused(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    Database(path, [TABLE]).close()
    database = Database(path, [TABLE, "ALTER TABLE things ADD COLUMN size INTEGER"])
    assert database.read("SELECT size FROM things") == []
    database.close()
    with pytest.raises(GraphError) as error:
        Database(path, [TABLE])
    assert code(error) == "queue_newer"
    with pytest.raises(sqlite3.OperationalError), sqlite3.connect(path) as plain:
        plain.execute("SELECT nothing FROM things")
    plain.close()


def test_a_migration_that_fails_leaves_the_old_version(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    Database(path, [TABLE]).close()
    with pytest.raises(GraphError):
        Database(path, [TABLE, "CREATE TABLE more (a INTEGER); CREATE TABLE things (a INTEGER)"])
    database = Database(path, [TABLE])
    assert [row["name"] for row in database.read("SELECT name FROM sqlite_master")] == ["things"]
    database.close()


@pytest.mark.parametrize("offset", [0, 4096 + 5])
def test_a_damaged_database_is_refused_and_left_as_it_is(tmp_path: Path, offset: int) -> None:
    home = tmp_path / "home"
    with RunQueue(home, start=False) as queue:
        for _ in range(20):
            queue.submit(request("Add"))
    path = home / "queue.sqlite"
    data = bytearray(path.read_bytes())
    data[offset : offset + 100] = b"\xff" * 100
    path.write_bytes(data)
    for _ in range(2):
        with pytest.raises(GraphError) as error:
            RunQueue(home, start=False)
        assert code(error) == "queue_damaged"
        assert path.read_bytes() == data


def test_a_locked_database_is_waited_for_then_a_problem(tmp_path: Path) -> None:
    path = tmp_path / "d.sqlite"
    database = Database(path, [TABLE], wait=0.1)
    other = sqlite3.connect(path, isolation_level=None)
    other.execute("BEGIN IMMEDIATE")
    with pytest.raises(GraphError) as error, database.write():
        pass
    assert code(error) == "queue_locked"
    other.execute("ROLLBACK")
    with database.write() as connection:
        connection.execute("INSERT INTO things VALUES ('a')")
    other.close()
    database.close()


def test_a_full_database_is_a_problem_and_harms_nothing(tmp_path: Path) -> None:
    with RunQueue(tmp_path / "home", start=False) as queue:
        first = queue.submit(request("Add"))
        writer = queue._state.database._writer
        pages = writer.execute("PRAGMA page_count").fetchone()[0]
        writer.execute(f"PRAGMA max_page_count = {pages}")
        large = request("Add", title=os.urandom(40_000).hex())
        with pytest.raises(GraphError) as error:
            queue.submit(large)
        assert code(error) == "disk_full"
        writer.execute("PRAGMA max_page_count = 1000000")
        queue.submit(request("Add"), key="k")
        waiting = queue.runs("queued", limit=100)
    assert waiting[0].id == first.id
    with RunQueue(tmp_path / "home", start=False) as queue:
        assert queue.runs("queued", limit=100) == waiting


def _open(home: str, pipe: object) -> None:
    try:
        RunQueue(Path(home), start=False)
    except GraphError as error:
        pipe.send(error.problems[0].as_json())  # type: ignore[attr-defined]


def test_a_second_server_on_a_home_is_refused_with_the_process(tmp_path: Path) -> None:
    home = tmp_path / "home"
    ours, theirs = multiprocessing.get_context("fork").Pipe()
    with RunQueue(home, start=False):
        child = multiprocessing.get_context("fork").Process(target=_open, args=(str(home), theirs))
        child.start()
        problem = ours.recv()
        child.join()
        assert problem["code"] == "home_in_use"
        assert str(os.getpid()) in problem["message"]
    with RunQueue(home, start=False):
        pass


def test_the_tables_have_the_newest_version(tmp_path: Path) -> None:
    database = Database(tmp_path / "d.sqlite", MIGRATIONS)
    assert database.read("PRAGMA user_version")[0][0] == len(MIGRATIONS)
    database.close()
