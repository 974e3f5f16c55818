"""Stores the repetitions: submissions that run again each time their run has ended."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.queue.database import Database
from engine.queue.new_run import pack, unpack


@dataclass(frozen=True, slots=True)
class StoredRepeat:
    """A submission that is run again and again."""

    id: str
    """The id of its first run."""
    run: str
    """The id of the current run."""
    count: int
    """The number of runs so far."""
    submission: Mapping[str, Any]
    """The submission to repeat, as JSON."""


class RepeatTable:
    """The table of repetitions in the database; they survive a restart of the server.

    Args:
        database: holds the tables of `tables.MIGRATIONS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self) -> list[StoredRepeat]:
        """Return all repetitions, in the order of their ids."""
        rows = self._database.read("SELECT id, run, count, submission FROM repeats ORDER BY id")
        return [StoredRepeat(row["id"], row["run"], row["count"], unpack(row["submission"])) for row in rows]

    def add(self, id: str, submission: Mapping[str, Any]) -> None:
        """Add a repetition; `id` is the id of its first run."""
        with self._database.write() as connection:
            connection.execute("INSERT INTO repeats VALUES (?, ?, 1, ?)", (id, id, pack(submission)))

    def advance(self, id: str, run: str, count: int) -> bool:
        """Record the next run of a repetition; return False if it was removed in the meantime."""
        with self._database.write() as connection:
            sql = "UPDATE repeats SET run = ?, count = ? WHERE id = ?"
            return connection.execute(sql, (run, count, id)).rowcount == 1

    def remove(self, id: str) -> bool:
        """Remove a repetition; return False if there is none with this id."""
        with self._database.write() as connection:
            return connection.execute("DELETE FROM repeats WHERE id = ?", (id,)).rowcount == 1
