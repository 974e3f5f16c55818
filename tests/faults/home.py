"""A look at a home from outside, without the engine: what is committed, what is written, what lies about."""

from __future__ import annotations

import shutil
import sqlite3
import tempfile
from contextlib import closing
from pathlib import Path

from tests.faults import history
from tests.faults.work import expected


def committed(home: Path) -> set[str]:
    """The keys that the index holds, read from a copy, so that the index itself stays as it was left."""
    with tempfile.TemporaryDirectory() as scratch:
        for path in (home / "store").glob("index.sqlite*"):
            shutil.copy(path, scratch)
        index = Path(scratch) / "index.sqlite"
        if not index.exists():
            return set()
        with closing(sqlite3.connect(index)) as connection:
            if not connection.execute("SELECT 1 FROM sqlite_master WHERE name = 'entries'").fetchone():
                return set()
            return {key for (key,) in connection.execute("SELECT key FROM entries")}


def strays(home: Path) -> list[str]:
    """Files that nobody needs: half-written ones, and those that no row of the index speaks of."""
    store = home / "store"
    with closing(sqlite3.connect(store / "index.sqlite")) as connection:
        known = {digest for (digest,) in connection.execute("SELECT digest FROM blobs")}
    blobs = (path for path in (store / "blobs").rglob("*") if path.is_file())
    found = [path for path in blobs if path.parent.name + path.name not in known]
    found += [path for path in (store / "tmp").rglob("*") if path.is_file()]
    found += [path for path in home.rglob("*.part")]
    return sorted(str(path.relative_to(home)) for path in found)


def wrong_outputs(home: Path, size: int, *salts: int) -> dict[str, int]:
    """How many outputs of these runs are not there, how many are there twice, how many are something else."""
    wanted = [data for salt in salts for data in expected(size, salt).values()]
    written = [path.read_bytes() for path in (home / "outputs").glob("*.bin")]
    return {
        "lost": len(set(wanted) - set(written)),
        "duplicated": len(written) - len(set(written)),
        "mismatched": len(set(written) - set(wanted)),
    }


def illegal(home: Path) -> list[str]:
    """What the journals tell that cannot be; nobody is at work in this home."""
    return list(history.check(history.history(home), history.is_alive, idle=True))
