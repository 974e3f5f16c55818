"""Named places where a test may let this program die or fail; nothing in production can turn them on."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Sequence
from threading import Lock
from typing import Literal, NamedTuple

ON = False
"""Asked at each site before anything else, so that a site costs one look at a global.

Only a call of `arm` sets it. There is no setting, no request and no variable of the environment that does:
whoever can make one of those say something must not be able to kill a server with it.
"""

SITES = (
    "store.open",  # between being seen by other processes and having the index
    "blob.write",
    "blob.rename",
    "blob.remove",
    "index.begin",
    "index.insert",
    "index.evict",
    "index.commit",
    "index.checkpoint",  # the log is about to be brought home
    "journal.open",
    "journal.write",
    "file.write",  # files that are whole or not there: outputs among them
    "file.flush",
    "file.rename",
    "digests.write",
    "claim.take",
    "claim.announce",
    "node.run",  # for the nodes of tests
)

Kind = Literal["kill", "torn", "EIO", "ENOSPC", "memory", "delay"]
"""What happens: SIGKILL; a part of the bytes is written, then SIGKILL; a part of them is written, then an
error of the disk, or no room on it; MemoryError; or a wait of up to 20 ms."""

_CODES = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
_OF_SQLITE = ("index.", "digests.")


class Fault(NamedTuple):
    """One thing that goes wrong; its `repr` is all that is needed to see it again."""

    site: str
    """One of `SITES`, or `*` for any of them."""
    nth: int
    """At which passing of the site, from 1."""
    kind: Kind
    seed: int = 0
    """Decides how much of the bytes is written and how long a wait is."""


_armed: Sequence[Fault] = ()
_passed: list[str] = []
_lock = Lock()


def arm(*faults: Fault) -> None:
    """From now on, in this process, these go wrong; without any, passings are only counted.

    Raises:
        ValueError: there is no such site.
    """
    global ON, _armed  # one constant is what keeps the sites free of cost
    unknown = {fault.site for fault in faults} - {*SITES, "*"}
    if unknown:
        raise ValueError(f"no such site: {', '.join(sorted(unknown))}")
    _passed.clear()
    ON, _armed = True, faults


def disarm() -> None:
    """Nothing goes wrong any more."""
    global ON, _armed
    ON, _armed = False, ()


def passed() -> list[str]:
    """The sites passed since `arm`, in order."""
    return list(_passed)


def at(site: str, data: bytes | memoryview = b"", into: int | None = None) -> None:
    """Say that a site is passed; does what was armed for this passing of it.

    Args:
        site: one of `SITES`.
        data: the bytes that are about to be written there, if any.
        into: the open file that they are about to be written to.

    Raises:
        OSError: an error of the disk, at sites of files.
        sqlite3.OperationalError: the same at sites of an index.
        MemoryError: memory ran out.
    """
    with _lock:
        _passed.append(site)
        counts = {site: _passed.count(site), "*": len(_passed)}
    for fault in _armed:
        if counts.get(fault.site) == fault.nth:
            _strike(fault, site, data, into)


def _strike(fault: Fault, site: str, data: bytes | memoryview, into: int | None) -> None:
    chance = random.Random(fault.seed)
    if fault.kind == "delay":
        time.sleep(chance.uniform(0, 0.02))
        return
    if fault.kind == "memory":
        raise MemoryError
    if fault.kind != "kill" and into is not None and data:
        os.write(into, data[: chance.randrange(len(data))])
    if fault.kind in ("kill", "torn"):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows ends a process at SIGTERM
    number = _CODES[fault.kind]
    if not site.startswith(_OF_SQLITE):
        raise OSError(number, os.strerror(number))
    import sqlite3

    error = sqlite3.OperationalError(os.strerror(number))
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR if number == errno.EIO else sqlite3.SQLITE_FULL
    raise error
