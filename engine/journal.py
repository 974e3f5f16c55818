"""What runs did, as files of JSON lines in the home folder: the newest files are kept."""

from __future__ import annotations

import errno
import os
import time
from collections import Counter
from collections.abc import Callable, Iterator
from contextlib import contextmanager, suppress
from pathlib import Path
from threading import Lock
from types import TracebackType
from typing import Self

from engine import faults
from engine.errors import said
from engine.event_line import event_line
from engine.events import Done, Event

KEPT = 200
"""How many files are kept."""
PRUNED_EVERY = 20
"""After how many files of a process older ones are looked for again."""
MAX_BYTES = 1 << 20
"""From this size on the next run of a process begins a new file."""

_opened: Counter[str] = Counter()  # folder -> how many journals this process began there


class Journals:
    """The journals of a session: runs that follow one another share a file, those at once have their own.

    Making a file takes longer than many a run.

    Args:
        folder: made when it does not exist.
        warn: told when a journal cannot be written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder, self._warn = folder, warn
        self._idle: list[Journal] = []
        self._lock = Lock()

    @contextmanager
    def one(self) -> Iterator[Journal]:
        """A journal for one run, which begins with the event `Planned` and ends with `Finished`."""
        with self._lock:
            journal = self._idle.pop() if self._idle else None
        if journal is None or not journal.again():
            journal = Journal(self._folder, self._warn)
        whole = False
        try:
            yield journal
            whole = True
        finally:
            if whole and journal.size < MAX_BYTES:
                with self._lock:
                    self._idle.append(journal)
            else:
                journal.close()

    def close(self) -> None:
        """Let go of all files."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()


class Journal:
    """A file that runs are written to, one after the other; call it with each event.

    That a step begins is written as it is told (about 3 microseconds), and that it is done together with what
    is told next: so a process that is killed at work has said all that it did before.
    Nothing here raises: a journal that cannot be written says so once, and the run goes on without it.

    Args:
        folder: made when it does not exist; the file is called by the time in UTC and chance.
        warn: told when it cannot be written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        self.path = folder / f"{stamp}-{int(now % 1 * 1e6):06d}-{os.urandom(3).hex()}.jsonl"
        """Names sort by time."""
        self._held = b""
        self.size = 0
        """How many bytes were written."""
        self._warn = warn
        self._start = time.perf_counter()
        self._process = os.getpid()
        self._file: int | None = None
        try:
            self._file = self._open()
        except OSError as error:
            self._broken(error)

    def again(self) -> bool:
        """Begin another run; False if that needs another file."""
        if self._file is None or self._process != os.getpid():
            return False
        if not os.fstat(self._file).st_nlink:  # somebody has deleted it
            self.close()
            return False
        self._start = time.perf_counter()
        return True

    def _open(self) -> int:
        if faults.ON:
            faults.at("journal.open")
        flags = os.O_CREAT | os.O_EXCL | os.O_WRONLY | os.O_APPEND | getattr(os, "O_CLOEXEC", 0)
        try:
            file = os.open(self.path, flags, 0o644)
        except FileNotFoundError:
            self.path.parent.mkdir(parents=True, exist_ok=True)
            file = os.open(self.path, flags, 0o644)
        folder = str(self.path.parent)
        if _opened[folder] % PRUNED_EVERY == 0:
            names = sorted(name for name in os.listdir(folder) if name.endswith(".jsonl"))
            for name in names[:-KEPT]:
                with suppress(OSError):
                    if name != self.path.name:  # as it may be after the clock was set back
                        os.unlink(f"{folder}/{name}")
        _opened[folder] += 1
        return file

    def __call__(self, event: Event) -> None:
        """Write one line."""
        if self._file is None:
            return
        try:
            line = event_line(event, self._start).encode()
            if type(event) is Done:  # what follows comes at once, and one call writes both
                self._held += line
                return
            line, self._held = self._held + line, b""
            if faults.ON:
                faults.at("journal.write", line, self._file)
            written = os.write(self._file, line)
            self.size += written
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except Exception as error:  # a full disk, or what a node pack put into a message
            self._broken(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Let go of the file."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.write(file, self._held)
            os.close(file)

    def _broken(self, error: Exception) -> None:
        self.close()
        self._warn(f"The journal of this run is not kept: {self.path} cannot be written: {said(error)}")
