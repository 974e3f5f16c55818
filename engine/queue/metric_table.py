"""Stores the metrics that long steps report, such as losses, as rows for each step.

A long step is one execution of a node such as a training. The `step` in a row is a training step.
"""

from __future__ import annotations

import json
import sqlite3
from collections.abc import Iterable, Mapping

from engine.queue.database import Database

RESUMED = "resumed"
"""The name that marks the row at which a training continues from a checkpoint."""

Row = dict[str, float | None]
"""Metrics by name, such as `{"step": 100, "loss": 0.12}`."""


class MetricTable:
    """The table of reported metrics in the database.

    Args:
        database: holds the tables of `tables.MIGRATIONS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, connection: sqlite3.Connection, run: str, rows: Iterable[tuple[str, Row]]) -> None:
        """Record rows of metrics, each with the id of the step that reported it."""
        connection.executemany(
            "INSERT INTO metrics (run, path, row) VALUES (?, ?, ?)",
            [(run, path, json.dumps(row)) for path, row in rows],
        )

    def of(self, run: str, most: int) -> dict[str, list[Row]]:
        """Return the rows of a run's metrics by the id of the step, thinned to `most` rows of each metric."""
        found: dict[str, list[Row]] = {}
        query = "SELECT path, row FROM metrics WHERE run = ? ORDER BY number"
        for row in self._database.read(query, (run,)):
            found.setdefault(row["path"], []).append(json.loads(row["row"]))
        return {path: thinned(merged(rows), most) for path, rows in found.items()}


def merged(rows: Iterable[Mapping[str, float | None]]) -> list[Row]:
    """Sort rows by their `step`, and merge rows of the same `step`: later values replace earlier ones.

    A row with `resumed` discards the rows after its own `step`, because the training computes these again.
    Rows without a `step` come first.
    """
    loose: list[Row] = []
    by_step: dict[float, Row] = {}
    for row in rows:
        step = row.get("step")
        if step is None:
            loose.append(dict(row))
            continue
        if RESUMED in row:
            by_step = {known: kept for known, kept in by_step.items() if known <= step}
        by_step.setdefault(step, {}).update(row)
    return loose + [by_step[step] for step in sorted(by_step)]


def thinned(rows: list[Row], most: int) -> list[Row]:
    """Keep at most `most` rows of each metric, evenly spaced and including its last.

    Metrics that have fewer rows keep all of them.
    """
    places: dict[str, list[int]] = {}
    for place, row in enumerate(rows):
        for name in row:
            places.setdefault(name, []).append(place)
    if "step" in places and len(places) > 1:
        del places["step"]  # every row has it
    kept: set[int] = set()
    for found in places.values():
        apart = -(-len(found) // max(1, most))
        kept.update(found[::-apart])
    return [rows[place] for place in sorted(kept)]
