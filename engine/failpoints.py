"""Named points in the engine where a test can kill the process or make a call fail."""

from __future__ import annotations

import errno
import os
import random
import signal
import time
from collections.abc import Sequence
from threading import Lock
from typing import Literal, NamedTuple

QUEUE_SITES = (
    "queue.commit",  # a transaction of the server's queue is about to be committed
    "queue.committed",
)
"""The failpoints of a server's queue; runs of the command line pass none of them."""

SITES = (
    "store.open",  # the process is registered in the folder, the index is not open yet
    "blob.write",
    "blob.rename",
    "blob.remove",
    "index.begin",
    "index.insert",
    "index.evict",
    "index.commit",
    "index.checkpoint",  # the write-ahead log is about to be copied into the index
    "journal.open",
    "journal.write",
    "file.write",  # files of `engine.whole_file`, such as outputs
    "file.flush",
    "file.rename",
    "facts.write",
    "step_lock.take",
    "step_lock.announce",
    *QUEUE_SITES,
    "node.run",  # used only by nodes of the tests
)
"""Every failpoint in the engine."""

Kind = Literal["kill", "torn", "EIO", "ENOSPC", "memory", "delay"]
"""The kind of fault.

`kill`: SIGKILL. `torn`: write part of the bytes, then SIGKILL. `EIO` and `ENOSPC`: write part of the bytes,
then raise that error. `memory`: raise MemoryError. `delay`: wait for up to 20 ms.
"""

_CODES = {"EIO": errno.EIO, "ENOSPC": errno.ENOSPC}
_SQLITE_SITES = ("index.", "facts.", "queue.")


class Fault(NamedTuple):
    """One fault to inject at a failpoint. Its `repr` is enough to replay it."""

    site: str
    """One of `SITES`, or `*` for any of them."""
    nth: int
    """Inject the fault at the n-th pass through the site, counted from 1."""
    kind: Kind
    seed: int = 0
    """The seed of the random number of bytes written and of the length of a delay."""


class _Armed:
    """The armed faults of this process."""

    faults: Sequence[Fault] | None = None
    """The armed faults; None if `arm` was not called, so that passes are not counted either."""


_passed: list[str] = []
_lock = Lock()


def failpoint(site: str, data: bytes | memoryview = b"", into: int | None = None) -> None:
    """Mark a point where a fault can be injected. Does nothing unless a test has called `arm`.

    Args:
        site: one of `SITES`.
        data: the bytes to be written next, if any.
        into: the descriptor of the open file that the bytes will be written to.

    Raises:
        OSError: an injected disk error, at sites that write files.
        sqlite3.OperationalError: an injected disk error, at sites that write to a database.
        MemoryError: an injected shortage of memory.
    """
    if _Armed.faults is not None:
        _pass(_Armed.faults, site, data, into)


def arm(*faults: Fault) -> None:
    """Inject these faults in this process from now on; without faults, only count passes. For tests only.

    No setting, environment variable or request can arm a fault, so users cannot crash a server with one.

    Raises:
        ValueError: a fault names an unknown site.
    """
    unknown = {fault.site for fault in faults} - {*SITES, "*"}
    if unknown:
        raise ValueError(f"no such site: {', '.join(sorted(unknown))}")
    _passed.clear()
    _Armed.faults = faults


def disarm() -> None:
    """Stop injecting faults."""
    _Armed.faults = None


def is_armed() -> bool:
    """Whether `arm` has been called in this process."""
    return _Armed.faults is not None


def passed() -> list[str]:
    """Return the names of the failpoints reached since `arm` was called, in order."""
    return list(_passed)


def _pass(faults: Sequence[Fault], site: str, data: bytes | memoryview, into: int | None) -> None:
    with _lock:
        _passed.append(site)
        counts = {site: _passed.count(site), "*": len(_passed)}
    for fault in faults:
        if counts.get(fault.site) == fault.nth:
            _inject(fault, site, data, into)


def _inject(fault: Fault, site: str, data: bytes | memoryview, into: int | None) -> None:
    chance = random.Random(fault.seed)
    if fault.kind == "delay":
        time.sleep(chance.uniform(0, 0.02))
        return
    if fault.kind == "memory":
        raise MemoryError
    if fault.kind != "kill" and into is not None and data:
        os.write(into, data[: chance.randrange(len(data))])
    if fault.kind in ("kill", "torn"):
        os.kill(os.getpid(), getattr(signal, "SIGKILL", signal.SIGTERM))  # Windows has SIGTERM only
    number = _CODES[fault.kind]
    if not site.startswith(_SQLITE_SITES):
        raise OSError(number, os.strerror(number))
    import sqlite3

    error = sqlite3.OperationalError(os.strerror(number))
    error.sqlite_errorcode = sqlite3.SQLITE_IOERR if number == errno.EIO else sqlite3.SQLITE_FULL
    raise error
