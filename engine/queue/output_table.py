"""Stores the history of output files, with digests, stars and tags, for searching; and sample pictures."""

from __future__ import annotations

import hashlib
import json
import mimetypes
import sqlite3
import time
from collections.abc import Mapping, Sequence
from dataclasses import dataclass
from pathlib import Path
from typing import Any

from engine.errors import GraphError, Problem
from engine.queue.database import Database
from engine.queue.snapshot import OutputRecord, SamplePicture
from engine.values import Json

_COLUMNS = (
    "outputs.id, outputs.run, output, outputs.place, swept, type, path, digest, media, size, made, star,"
    " tags, runs.title AS title"
)
_MEDIA = {".webp": "image/webp", ".safetensors": "application/x-safetensors"}
_TAGS, _TAG_CHARS = 50, 100


@dataclass(frozen=True, slots=True)
class NewOutput:
    """A written file of a declared output, to be recorded; see `OutputRecord` for the fields."""

    output: str
    index: tuple[int, ...]
    values: Mapping[str, Json]
    type: str
    path: Path
    digest: str
    media: str
    size: int
    step: str
    """The id of the step that made it; the database does not keep it."""


def measured(path: Path) -> tuple[str, int]:
    """Compute the sha256 and the size in bytes of a file.

    Raises:
        OSError: the file cannot be read.
    """
    with path.open("rb") as file:
        digest = hashlib.file_digest(file, "sha256").hexdigest()
        return digest, file.tell()


def media_of(path: Path) -> str:
    """Return the media type of a file, judged by its suffix."""
    known = _MEDIA.get(path.suffix) or mimetypes.guess_type(path.name, strict=True)[0]
    return known or "application/octet-stream"


class OutputTable:
    """The tables of output files and sample pictures in the database.

    Args:
        database: holds the tables of `tables.MIGRATIONS`.
    """

    def __init__(self, database: Database) -> None:
        self._database = database

    def add(self, connection: sqlite3.Connection, run: str, new: NewOutput) -> int:
        """Record an output file; return its id. If a run starts again, the same file is recorded once."""
        place = json.dumps(list(new.index))
        connection.execute(
            "INSERT INTO outputs (run, output, place, swept, type, path, digest, media, size, made)"
            " VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?, ?) ON CONFLICT (run, output, place, path)"
            " DO UPDATE SET digest = excluded.digest, size = excluded.size",
            (
                run,
                new.output,
                place,
                json.dumps(dict(new.values)),
                new.type,
                str(new.path),
                new.digest,
                new.media,
                new.size,
                time.time(),
            ),
        )
        row = connection.execute(
            "SELECT id FROM outputs WHERE run = ? AND output = ? AND place = ? AND path = ?",
            (run, new.output, place, str(new.path)),
        ).fetchone()
        return int(row["id"])

    def find(
        self,
        run: str | None = None,
        q: str = "",
        *,
        star: bool | None = None,
        before: int | None = None,
        limit: int = 50,
    ) -> list[OutputRecord]:
        """Search the outputs, newest first.

        Args:
            run: the id of a run, to return only its outputs.
            q: words that must all occur in the title, the texts of the graph or the tags; case is ignored.
            star: True for only the outputs with a star, False for only those without; None for all.
            before: return only outputs with a lower id, for the next page.
            limit: the most outputs to return.
        """
        conditions, values = ["1"], list[Any]()
        if run is not None:
            conditions.append("outputs.run = ?")
            values.append(run)
        for word in q.split():
            pattern = "%" + word.replace("\\", "\\\\").replace("%", "\\%").replace("_", "\\_") + "%"
            conditions.append("(runs.search LIKE ? ESCAPE '\\' OR outputs.tags LIKE ? ESCAPE '\\')")
            values += [pattern, pattern]
        if star is not None:
            conditions.append("star = ?")
            values.append(int(star))
        if before is not None:
            conditions.append("outputs.id < ?")
            values.append(before)
        sql = (
            f"SELECT {_COLUMNS} FROM outputs JOIN runs ON runs.id = outputs.run"
            f" WHERE {' AND '.join(conditions)} ORDER BY outputs.id DESC LIMIT ?"
        )
        return [_record(row) for row in self._database.read(sql, (*values, limit))]

    def one(self, id: int) -> OutputRecord:
        """Return the output with an id.

        Raises:
            GraphError: no output has this id (`unknown_output`).
        """
        sql = f"SELECT {_COLUMNS} FROM outputs JOIN runs ON runs.id = outputs.run WHERE outputs.id = ?"
        rows = self._database.read(sql, (id,))
        if not rows:
            raise GraphError([Problem("unknown_output", f"there is no output {id}")])
        return _record(rows[0])

    def by_digest(self, digest: str) -> OutputRecord | None:
        """Return the latest output whose file had this digest when it was written; None if there is none.

        The file may have changed since.
        """
        sql = (
            f"SELECT {_COLUMNS} FROM outputs JOIN runs ON runs.id = outputs.run"
            " WHERE outputs.digest = ? ORDER BY outputs.id DESC LIMIT 1"
        )
        rows = self._database.read(sql, (digest,))
        return _record(rows[0]) if rows else None

    def mark(self, id: int, *, star: bool | None = None, tags: Sequence[str] | None = None) -> OutputRecord:
        """Set the star of an output, or replace its tags; None leaves the star or the tags unchanged.

        Raises:
            GraphError: there are too many tags, or one is too long (`bad_tags`), or there is no such output
                (`unknown_output`).
        """
        if tags is not None and (len(tags) > _TAGS or any(not 0 < len(tag) <= _TAG_CHARS for tag in tags)):
            message = f"an output has at most {_TAGS} tags of 1 to {_TAG_CHARS} characters"
            raise GraphError([Problem("bad_tags", message)])
        with self._database.write() as connection:
            if star is not None:
                connection.execute("UPDATE outputs SET star = ? WHERE id = ?", (int(star), id))
            if tags is not None:
                text = json.dumps(list(dict.fromkeys(tags)), ensure_ascii=False)
                connection.execute("UPDATE outputs SET tags = ? WHERE id = ?", (text, id))
        return self.one(id)

    def add_sample(self, connection: sqlite3.Connection, sample: SamplePicture) -> None:
        """Record a sample picture of a training, unless it is recorded already."""
        connection.execute(
            "INSERT OR IGNORE INTO samples VALUES (?, ?, ?, ?, ?, ?, ?, ?, ?)",
            (
                sample.run,
                sample.path,
                sample.step,
                sample.caption,
                sample.digest,
                sample.media,
                sample.width,
                sample.height,
                sample.data,
            ),
        )

    def samples(self, run: str) -> list[SamplePicture]:
        """Return the sample pictures of a run in the order of their training steps; `data` is left empty."""
        columns = "run, path, step, caption, digest, media, width, height, x'' AS data"
        rows = self._database.read(
            f"SELECT {columns} FROM samples WHERE run = ? ORDER BY step, rowid", (run,)
        )
        return [SamplePicture(*row) for row in rows]

    def sample(self, digest: str) -> SamplePicture | None:
        """Return the sample picture with a digest, including its `data`; None if there is none."""
        rows = self._database.read("SELECT * FROM samples WHERE digest = ? LIMIT 1", (digest,))
        return SamplePicture(*rows[0]) if rows else None


def _record(row: sqlite3.Row) -> OutputRecord:
    return OutputRecord(
        row["id"],
        row["run"],
        row["output"],
        tuple(json.loads(row["place"])),
        json.loads(row["swept"]),
        row["type"],
        Path(row["path"]),
        row["digest"],
        row["media"],
        row["size"],
        row["made"],
        row["title"],
        bool(row["star"]),
        tuple(json.loads(row["tags"])),
    )
