"""Stores the runs in the database: their requests, states and order."""

from __future__ import annotations

import json
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from typing import Any

from engine.queue.database import Database
from engine.queue.new_run import NewRun, new_id, pack, unpack
from engine.queue.snapshot import NodeSnapshot, RunSummary
from engine.queue.stream_events import EndState, RunState, plain

_SUMMARY = (
    "id, number, title, document, state, priority, place, submitted, started, finished, attempts, device, "
    "retry_of"
)
_WAITING = "runs INDEXED BY waiting WHERE state = 'queued'"
"""Selects the waiting runs. Without the hint, SQLite would choose an index that does not sort them."""
_FORGOTTEN = 20
"""The most runs whose details are removed at once."""


@dataclass(frozen=True, slots=True)
class TakenRun:
    """A run that has just been taken from the queue for a worker."""

    id: str
    request: bytes
    document: str | None
    attempt: int
    priority: int


@dataclass(frozen=True, slots=True)
class Stored:
    """A run with its request and, if it has ended, its outcome."""

    summary: RunSummary
    request: dict[str, Any]
    ending: dict[str, Any]
    """`problems`, `warnings` and `values` (JSON outputs) of a run that has ended; otherwise empty."""


class RunTable:
    """The table of runs in the database. Methods that change it need the connection of a transaction.

    Args:
        database: holds the tables of `tables.MIGRATIONS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, connection: sqlite3.Connection, run: NewRun, *, front: bool) -> None:
        """Add a run at the end of the waiting runs of its priority, or at their front."""
        edge = connection.execute(
            f"SELECT place FROM {_WAITING} AND priority = ? ORDER BY place {'' if front else 'DESC'} LIMIT 1",
            (run.priority,),
        ).fetchone()
        place = 0.0 if edge is None else edge["place"] + (-1 if front else 1)
        values = {
            "id": run.id,
            "key": run.key,
            "fingerprint": run.fingerprint,
            "request": run.request,
            "title": run.title,
            "search": run.search,
            "document": run.document,
            "retry_of": run.retry_of,
            "state": "queued",
            "priority": run.priority,
            "place": place,
            "submitted": time.time(),
            "notes": run.notes,
        }
        marks = ", ".join("?" * len(values))
        connection.execute(f"INSERT INTO runs ({', '.join(values)}) VALUES ({marks})", (*values.values(),))

    def keyed(self, key: str) -> tuple[str, str] | None:
        """Return the id and the fingerprint of the run with an idempotency key; None if there is none."""
        rows = self._database.read("SELECT id, fingerprint FROM runs WHERE key = ?", (key,))
        return (rows[0]["id"], rows[0]["fingerprint"]) if rows else None

    def take(self, connection: sqlite3.Connection, device: str) -> TakenRun | None:
        """Mark the next waiting run as running, and return it; None if no run is waiting."""
        row = connection.execute(
            f"SELECT id, request, document, attempts, priority FROM {_WAITING}"
            " ORDER BY priority DESC, place LIMIT 1"
        ).fetchone()
        if row is None:
            return None
        connection.execute(
            "UPDATE runs SET state = 'running', started = ?, attempts = attempts + 1, device = ?"
            " WHERE id = ?",
            (time.time(), device, row["id"]),
        )
        return TakenRun(row["id"], row["request"], row["document"], row["attempts"] + 1, row["priority"])

    def finish(
        self, connection: sqlite3.Connection, id: str, state: EndState, ending: Mapping[str, Any]
    ) -> bool:
        """Record the end of a run; return False if it had ended already."""
        done = connection.execute(
            "UPDATE runs SET state = ?, finished = ?, ending = ?"
            " WHERE id = ? AND state IN ('queued', 'running')",
            (state, time.time(), pack(ending), id),
        )
        return done.rowcount == 1

    def put_back(self, connection: sqlite3.Connection, id: str) -> int:
        """Put a running run back to the front of the waiting runs of its priority; return the priority."""
        priority = connection.execute("SELECT priority FROM runs WHERE id = ?", (id,)).fetchone()["priority"]
        connection.execute(
            "UPDATE runs SET state = 'queued', place ="
            f" (SELECT coalesce(min(place), 0) - 1 FROM {_WAITING} AND priority = ?) WHERE id = ?",
            (priority, id),
        )
        return int(priority)

    def running(self) -> list[str]:
        """List the ids of the runs that are marked as running, the latest submission first."""
        rows = self._database.read("SELECT id FROM runs WHERE state = 'running' ORDER BY number DESC")
        return [row["id"] for row in rows]

    def move(self, connection: sqlite3.Connection, id: str, before: str | None) -> bool:
        """Move a waiting run before another one, or to the front of all if `before` is None.

        It takes the priority of the run that it is placed before. False if one of the two is not waiting.
        """
        waiting = f"SELECT id, priority, place FROM {_WAITING}"
        moved = connection.execute(f"{waiting} AND id = ?", (id,)).fetchone()
        if moved is None:
            return False
        if before is None:
            target = connection.execute(f"{waiting} ORDER BY priority DESC, place LIMIT 1").fetchone()
        else:
            target = connection.execute(f"{waiting} AND id = ?", (before,)).fetchone()
        if target is None:
            return False
        if target["id"] == id:
            return True
        previous = connection.execute(
            f"{waiting} AND priority = ? AND place < ? AND id != ? ORDER BY place DESC LIMIT 1",
            (target["priority"], target["place"], id),
        ).fetchone()
        if previous is None:
            place = target["place"] - 1
        else:
            place = (previous["place"] + target["place"]) / 2
            if not previous["place"] < place < target["place"]:
                self._spread(connection)
                return self.move(connection, id, before)
        connection.execute(
            "UPDATE runs SET priority = ?, place = ? WHERE id = ?", (target["priority"], place, id)
        )
        return True

    def waiting(self) -> dict[int, int]:
        """Count the waiting runs of each priority."""
        rows = self._database.read(f"SELECT priority, count(*) AS many FROM {_WAITING} GROUP BY priority")
        return {row["priority"]: row["many"] for row in rows}

    def summary(self, id: str) -> RunSummary | None:
        """Read the summary of a run, without its graph; None if there is no such run."""
        rows = self._database.read(f"SELECT {_SUMMARY} FROM runs WHERE id = ?", (id,))
        return self._summary(rows[0]) if rows else None

    def summaries(
        self, states: Sequence[RunState], before: int | None, limit: int, *, has_metrics: bool = False
    ) -> list[RunSummary]:
        """List runs, newest first; queued runs alone are listed in the order in which they will start.

        Args:
            states: list only runs in these states; empty for all.
            before: list only runs that were submitted before the one with this number.
            limit: the most runs to return.
            has_metrics: True to list only runs whose steps have reported metrics.
        """
        conditions, values = ["1"], list[Any]()
        if states:
            conditions.append(f"state IN ({','.join('?' * len(states))})")
            values += states
        if before is not None:
            conditions.append("number < ?")
            values.append(before)
        if has_metrics:
            conditions.append("EXISTS (SELECT 1 FROM metrics WHERE metrics.run = runs.id)")
        order = "priority DESC, place" if list(states) == ["queued"] else "number DESC"
        sql = f"SELECT {_SUMMARY} FROM runs WHERE {' AND '.join(conditions)} ORDER BY {order} LIMIT ?"
        return [self._summary(row) for row in self._database.read(sql, (*values, limit))]

    def stored(self, id: str) -> Stored | None:
        """Read a run with its request and outcome; None if there is no such run."""
        rows = self._database.read(f"SELECT {_SUMMARY}, request, ending FROM runs WHERE id = ?", (id,))
        if not rows:
            return None
        ending = unpack(rows[0]["ending"]) if rows[0]["ending"] is not None else {}
        return Stored(self._summary(rows[0]), unpack(rows[0]["request"]), ending)

    def again(self, id: str) -> NewRun | None:
        """Make a new run with the request of an earlier one; None if there is no such run."""
        columns = "request, fingerprint, title, search, document, priority, notes"
        rows = self._database.read(f"SELECT {columns} FROM runs WHERE id = ?", (id,))
        return NewRun(new_id(), key=None, retry_of=id, **rows[0]) if rows else None

    def notes(self, id: str) -> dict[str, Any] | None:
        """Read the notes of a run, which may be empty; None if there is no such run."""
        rows = self._database.read("SELECT notes FROM runs WHERE id = ?", (id,))
        return (unpack(rows[0]["notes"]) if rows[0]["notes"] is not None else {}) if rows else None

    def save_nodes(self, connection: sqlite3.Connection, id: str, nodes: Sequence[NodeSnapshot]) -> None:
        """Store the states of steps of a run; each replaces the stored state of that step."""
        connection.executemany(
            "INSERT OR REPLACE INTO nodes VALUES (?, ?, ?)",
            [(id, node.path, json.dumps(plain(node), separators=(",", ":"))) for node in nodes],
        )

    def forget_nodes(self, connection: sqlite3.Connection, id: str) -> None:
        """Remove the states of a run's steps, before it starts again."""
        connection.execute("DELETE FROM nodes WHERE run = ?", (id,))

    def forget_details(self, connection: sqlite3.Connection, kept: int) -> None:
        """Remove the states of steps and the metrics of old runs, but keep the `kept` runs that ended last.

        One call removes those of a few runs only, so that it is fast enough for the end of each run.
        """
        old = (
            "SELECT id FROM runs WHERE finished IS NOT NULL"
            " ORDER BY finished DESC, number DESC LIMIT ? OFFSET ?"
        )
        for table in ("nodes", "metrics"):
            connection.execute(f"DELETE FROM {table} WHERE run IN ({old})", (_FORGOTTEN, kept))

    def nodes(self, id: str) -> dict[str, NodeSnapshot]:
        """Read the stored states of the steps of a run, by id."""
        rows = self._database.read("SELECT path, state FROM nodes WHERE run = ?", (id,))
        return {row["path"]: NodeSnapshot(**json.loads(row["state"])) for row in rows}

    def _summary(self, row: sqlite3.Row) -> RunSummary:
        position = None
        if row["state"] == "queued":
            ahead = self._database.read(
                f"SELECT (SELECT count(*) FROM {_WAITING} AND priority > ?)"
                f" + (SELECT count(*) FROM {_WAITING} AND priority = ? AND place < ?) AS many",
                (row["priority"], row["priority"], row["place"]),
            )
            position = ahead[0]["many"]
        return RunSummary(
            row["id"],
            row["number"],
            row["title"],
            row["document"],
            row["state"],
            row["priority"],
            position,
            row["submitted"],
            row["started"],
            row["finished"],
            row["attempts"],
            row["device"],
            row["retry_of"],
        )

    @staticmethod
    def _spread(connection: sqlite3.Connection) -> None:
        """Give the waiting runs whole numbers as places, so that a run can be moved between any two."""
        rows = connection.execute(f"SELECT id FROM {_WAITING} ORDER BY priority DESC, place")
        connection.executemany(
            "UPDATE runs SET place = ? WHERE id = ?", [(float(n), row["id"]) for n, row in enumerate(rows)]
        )
