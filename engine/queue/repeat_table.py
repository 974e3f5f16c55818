"""The runs that are submitted again after each end, in the database."""

from __future__ import annotations

from collections.abc import Mapping
from dataclasses import dataclass
from typing import Any

from engine.queue.database import Database
from engine.queue.new_run import pack, unpack


@dataclass(frozen=True, slots=True)
class StoredRepeat:
    """A repetition."""

    id: str
    """The id of its first run."""
    run: str
    """The id of the current run."""
    count: int
    """The number of runs so far."""
    submission: Mapping[str, Any]
    """The submission to repeat, as JSON."""


class RepeatTable:
    """The repetitions in the database; they survive a restart.

    Args:
        database: holds the tables of `tables.MIGRATIONS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def rows(self) -> list[StoredRepeat]:
        """All repetitions, in the order of their ids."""
        rows = self._database.read("SELECT id, run, count, submission FROM repeats ORDER BY id")
        return [StoredRepeat(row["id"], row["run"], row["count"], unpack(row["submission"])) for row in rows]

    def add(self, id: str, submission: Mapping[str, Any]) -> None:
        """Add a repetition of a run."""
        with self._database.write() as connection:
            connection.execute("INSERT INTO repeats VALUES (?, ?, 1, ?)", (id, id, pack(submission)))

    def advance(self, id: str, run: str, count: int) -> bool:
        """Record the next run of a repetition; False if it was stopped meanwhile."""
        with self._database.write() as connection:
            sql = "UPDATE repeats SET run = ?, count = ? WHERE id = ?"
            return connection.execute(sql, (run, count, id)).rowcount == 1

    def remove(self, id: str) -> bool:
        """Remove a repetition; False if there is none."""
        with self._database.write() as connection:
            return connection.execute("DELETE FROM repeats WHERE id = ?", (id,)).rowcount == 1
