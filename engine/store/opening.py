"""Opening a folder of results, whatever state it is in."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from engine import faults
from engine.store.blobs import Blobs
from engine.store.folder import ASIDE, Folder
from engine.store.index import Index
from engine.store.layout import Newer
from engine.store.trouble import Trouble, text


class Unusable(Exception):
    """A folder cannot be used; the message tells a person why, and what to do."""


def open_folder(path: Path, budget: int, warn: Callable[[str], None], damage: str | None = None) -> Folder:
    """The folder at a path, made when there is none and tidied when nobody else uses it.

    A damaged index is moved aside and a new one begun.

    Args:
        path: where it is.
        budget: the most bytes that all of it may take.
        warn: told of an index that was moved aside.
        damage: what is wrong with the index, when that is known.

    Raises:
        Unusable: it cannot be opened.
    """
    try:
        return _open(path, budget, warn, damage)
    except Newer:
        raise Unusable(
            f"The kept results in {path} were written by a newer Safelight and are left alone; "
            "nothing is kept on disk. Update Safelight, or name another folder."
        ) from None
    except (OSError, sqlite3.Error) as error:
        raise Unusable(
            f"Nothing is kept on disk, since {path} cannot be used: {text(error)}. "
            "Everything runs, but is made again by the next process. Name another folder."
        ) from error


def _open(path: Path, budget: int, warn: Callable[[str], None], damage: str | None) -> Folder:
    blobs = Blobs(path)
    log_bytes = min(budget // 32, 4 << 20)
    path.mkdir(parents=True, exist_ok=True)
    with ExitStack() as undo, blobs.door():
        undo.callback(blobs.leave)
        blobs.enter()
        if faults.ON:
            faults.at("store.open")
        living, dead = blobs.others()
        index = _index(path / "index.sqlite", log_bytes, warn, damage, living > 0)
        undo.callback(index.close)
        aside = sum(old.stat().st_size for old in path.glob(ASIDE))
        folder = Folder(index, blobs, max(budget - 8 * log_bytes - aside, 0))
        folder.remove_doomed()
        if not living and (dead or index.fresh):
            folder.sweep(set())
        folder.begin(alone=not living)
        if not living and dead:
            blobs.bury()
        undo.pop_all()
        return folder


def _index(
    path: Path, log_bytes: int, warn: Callable[[str], None], damage: str | None, in_use: bool
) -> Index:
    if damage is None:
        try:
            return Index(path, log_bytes)
        except sqlite3.DatabaseError as error:
            if Trouble.of(error) is not Trouble.DAMAGED:
                raise
            damage = str(error)
    if in_use:
        raise Unusable(
            f"The index of kept results {path} is damaged ({damage}), and other processes are using it. "
            "Nothing is kept on disk until they have ended."
        )
    n = 1
    while (aside := path.with_name(ASIDE.replace("*", str(n)))).exists():
        n += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    warn(
        f"The index of kept results was damaged ({damage}). It was moved to {aside} and a new one begun: "
        "results are made again once. Delete the old one when you like."
    )
    return Index(path, log_bytes)
