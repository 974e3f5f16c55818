"""Opens a folder of results, which may be new, damaged, in use or read-only."""

from __future__ import annotations

import sqlite3
from collections.abc import Callable
from contextlib import ExitStack
from pathlib import Path

from engine.failpoints import failpoint
from engine.store.shared_folder.blobs import Blobs
from engine.store.shared_folder.error_kind import ErrorKind, Unusable, reason_of
from engine.store.shared_folder.folder import DAMAGED_INDEX, OWN_NAMES, Folder
from engine.store.shared_folder.index import Index
from engine.store.shared_folder.processes import Processes, lock_holder
from engine.store.shared_folder.reader import Reader
from engine.store.shared_folder.room import Room
from engine.store.shared_folder.schema import VERSION, Newer, connect, version_of

INDEX = "index.sqlite"
_WRITE_LOCK = 120  # the byte of the -shm file that SQLite locks while a process writes


def open_folder(
    path: Path,
    budget: int,
    warn: Callable[[str], None],
    short_of_disk: Callable[[], None],
    damage: str | None = None,
) -> Folder | Reader:
    """Open or create a folder of results, and clean it up if no other process uses it.

    A damaged index is moved aside and replaced by a new one.

    Args:
        path: the folder.
        budget: the most bytes that the folder may take.
        warn: receives a message if an index was moved aside, or if the folder cannot be written.
        short_of_disk: called when results are evicted or refused because the disk is nearly full.
        damage: the damage of the index that the caller has found; None without.

    Returns:
        a `Folder`, or a `Reader` if the folder is read-only.

    Raises:
        Unusable: the folder can be neither written nor read.
    """
    try:
        return _open(path, budget, warn, short_of_disk, damage)
    except Newer:
        raise _newer(path) from None
    except (OSError, sqlite3.Error) as error:
        kind = ErrorKind.of(error)
        if kind is ErrorKind.FORBIDDEN and (path / INDEX).exists():
            reader = _read_only(path)
            warn(kind.sentence(path, ""))
            return reader
        if kind is ErrorKind.FORBIDDEN:
            raise Unusable(
                f"The cache in {path} cannot be written. The run continues, but nothing is cached on disk. "
                "Make the folder writable, or choose another home."
            ) from error
        if kind in (ErrorKind.LOCKED, ErrorKind.FULL):
            raise Unusable(kind.sentence(path, reason_of(error), index_holder(path))) from error
        raise Unusable(
            f"The cache in {path} cannot be used: {reason_of(error)}. The run continues, but nothing is "
            "cached on disk. Choose another home, or set disk_budget to 0."
        ) from error


def index_holder(folder: Path) -> int | None:
    """Return the id of the process that is writing to the index; None if unknown."""
    return lock_holder(folder / f"{INDEX}-shm", _WRITE_LOCK)


def _newer(path: Path) -> Unusable:
    return Unusable(
        f"A newer version of Safelight wrote the cache in {path}; this version leaves it unchanged and "
        "caches nothing on disk. Update Safelight, or choose another home."
    )


def _read_only(path: Path) -> Reader:
    """Open a reader for a folder that cannot be written.

    Raises:
        Unusable: the folder cannot be read either.
    """
    for options in ("mode=ro", "mode=ro&immutable=1"):  # the second option works without a log file
        try:
            connection = connect(path / INDEX, options=options)
            version = version_of(connection)
        except sqlite3.Error:
            continue
        if version > VERSION:
            connection.close()
            raise _newer(path)
        if version:
            return Reader(connection, Blobs(path, path))
        connection.close()
    raise Unusable(f"The cache in {path} can be neither written nor read. Make the folder readable.")


def _open(
    path: Path,
    budget: int,
    warn: Callable[[str], None],
    short_of_disk: Callable[[], None],
    damage: str | None,
) -> Folder:
    path.mkdir(parents=True, exist_ok=True)
    room = Room(path, budget, OWN_NAMES)
    processes = Processes(path)
    blobs = Blobs(path, processes.temporary)
    with ExitStack() as undo, processes.opening_lock():
        undo.callback(processes.unregister)
        processes.register()
        blobs.make_folder()
        failpoint("store.open")
        living, dead = processes.other_processes()
        index = _index(path / INDEX, room.log_bytes, warn, damage, living > 0)
        undo.callback(index.close)
        reader = Reader(connect(path / INDEX), blobs)
        undo.callback(reader.close)
        folder = Folder(path, index, reader, blobs, processes, room, short_of_disk)
        folder.remove_doomed()
        if not living and (dead or index.fresh):
            folder.sweep(set())
        folder.begin(alone=not living)
        if not living and dead:
            processes.remove_stale()
        undo.pop_all()
        return folder


def _index(
    path: Path, log_bytes: int, warn: Callable[[str], None], damage: str | None, in_use: bool
) -> Index:
    """Open the index at a path; if it is damaged, move it aside and create a new one."""
    if damage is None:
        try:
            return Index(path, log_bytes)
        except sqlite3.DatabaseError as error:
            if ErrorKind.of(error) is not ErrorKind.DAMAGED:
                raise
            damage = str(error)
    if in_use:
        raise Unusable(
            f"The index of the cache {path} is damaged ({damage}), and other processes are using it. Nothing "
            "is cached on disk until they have ended."
        )
    n = 1
    while (aside := path.with_name(DAMAGED_INDEX.replace("*", str(n)))).exists():
        n += 1
    path.rename(aside)
    for suffix in ("-wal", "-shm"):
        path.with_name(path.name + suffix).unlink(missing_ok=True)
    warn(
        f"The index of the cache was damaged ({damage}). It was moved to {aside} and replaced by a "
        "new one, so results are computed again. You may delete the old file."
    )
    return Index(path, log_bytes)
