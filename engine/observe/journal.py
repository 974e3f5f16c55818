"""Writes the events of runs to files of JSON lines in the home folder; only the newest files are kept."""

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

from engine.errors import error_text
from engine.events import Done, Event
from engine.failpoints import failpoint
from engine.observe.event_line import event_line

KEPT = 200
"""The number of files to keep."""
PRUNED_EVERY = 20
"""After this many new files, a process deletes old ones again."""
MAX_BYTES = 1 << 20
"""From this size in bytes on, the next run goes to a new file."""

_FIRST_LINE_BYTES = 4096

_opened: Counter[str] = Counter()  # folder -> the number of files that this process created there


class Journals:
    """The journals of a session. Consecutive runs share a file; simultaneous runs have different files.

    Consecutive runs share a file because creating one takes longer than many runs do.

    Args:
        folder: the folder of the files; it is created if it does not exist.
        warn: receives a warning if a journal cannot be written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        self._folder, self._warn = folder, warn
        self._idle: list[Journal] = []
        self._lock = Lock()

    @contextmanager
    def one(self) -> Iterator[Journal]:
        """Context manager: a journal for one run, from the event `Planned` to `Finished`."""
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

    def last_written(self, pid: int) -> float:
        """Return the time of a process's last journal line, in seconds since the epoch; 0 if it has none."""
        latest = 0.0
        with suppress(OSError):
            names = sorted(name for name in os.listdir(self._folder) if name.endswith(".jsonl"))
            for name in reversed(names):
                path = f"{self._folder}/{name}"
                with suppress(OSError), open(path, "rb") as file:
                    if f'"pid":{pid},'.encode() in file.readline(_FIRST_LINE_BYTES):
                        latest = max(latest, os.fstat(file.fileno()).st_mtime)
        return latest

    def close(self) -> None:
        """Close all files."""
        with self._lock:
            while self._idle:
                self._idle.pop().close()


class Journal:
    """A file with the events of consecutive runs: a listener that is called with each event.

    Each event is written at once (in about 3 microseconds), except `Done`, which is written together with the
    next event. So the journal of a killed process shows every step that it had begun. No method raises: if
    the journal cannot be written, there is one warning, and the run continues.

    Args:
        folder: the folder of the file; it is created if it does not exist. The name of the file consists of
            the time in UTC and a random number.
        warn: receives a warning if the file cannot be written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        self.path = folder / f"{stamp}-{int(now % 1 * 1e6):06d}-{os.urandom(3).hex()}.jsonl"
        """The path of the file. Sorted paths are in the order of time."""
        self._pending = b""
        self.size = 0
        """The bytes written so far."""
        self._warn = warn
        self._start = time.perf_counter()
        self._process = os.getpid()
        self._file: int | None = None
        try:
            self._file = self._open()
        except OSError as error:
            self._broken(error)

    def again(self) -> bool:
        """Begin another run in this file. Returns False if the run needs a new file."""
        if self._file is None or self._process != os.getpid():
            return False
        if not os.fstat(self._file).st_nlink:  # it was deleted
            self.close()
            return False
        self._start = time.perf_counter()
        return True

    def _open(self) -> int:
        failpoint("journal.open")
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
                    if name != self.path.name:  # a name that sorts first if the clock was set back
                        os.unlink(f"{folder}/{name}")
        _opened[folder] += 1
        return file

    def __call__(self, event: Event) -> None:
        """Write the line of an event."""
        if self._file is None:
            return
        try:
            line = event_line(event, self._start).encode()
            if type(event) is Done:  # the next event follows immediately, and one call writes both
                self._pending += line
                return
            line, self._pending = self._pending + line, b""
            failpoint("journal.write", line, self._file)
            written = os.write(self._file, line)
            self.size += written
            if written < len(line):
                raise OSError(errno.ENOSPC, os.strerror(errno.ENOSPC))
        except Exception as error:  # a full disk, or a message of a node that cannot be encoded
            self._broken(error)

    def __enter__(self) -> Self:
        return self

    def __exit__(
        self, kind: type[BaseException] | None, error: BaseException | None, trace: TracebackType | None
    ) -> None:
        self.close()

    def close(self) -> None:
        """Close the file."""
        file, self._file = self._file, None
        if file is not None:
            with suppress(OSError):
                os.write(file, self._pending)
            os.close(file)

    def _broken(self, error: Exception) -> None:
        self.close()
        self._warn(
            f"the journal of this run is not saved: {self.path} cannot be written: {error_text(error)}"
        )
