"""What each run did, as one file of JSON lines in the home folder: the newest runs are kept."""

from __future__ import annotations

import os
import time
from collections import Counter
from collections.abc import Callable
from contextlib import suppress
from pathlib import Path
from types import TracebackType
from typing import Self

from engine import faults
from engine.errors import said
from engine.event_line import event_line
from engine.events import Event

KEPT = 200
"""How many runs are kept."""
PRUNED_EVERY = 20
"""After how many runs of a process older ones are looked for again."""

_opened: Counter[str] = Counter()  # folder -> how many journals this process began there


class Journal:
    """The journal of one run; call it with each event.

    A line is written as it is told (about 2 microseconds), so a killed process has said all that it did.
    Nothing here raises: a journal that cannot be written says so once, and the run goes on without it.

    Args:
        folder: made when it does not exist; the file is called by the time in UTC and chance.
        warn: told when it cannot be written.
    """

    def __init__(self, folder: Path, warn: Callable[[str], None]) -> None:
        now = time.time()
        stamp = time.strftime("%Y%m%d-%H%M%S", time.gmtime(now))
        self.run = f"{stamp}-{int(now % 1 * 1000):03d}-{os.urandom(3).hex()}"
        """The id of this run; ids sort by time."""
        self.path = folder / f"{self.run}.jsonl"
        self._warn = warn
        self._start = time.perf_counter()
        self._file: int | None = None
        try:
            self._file = self._open()
        except OSError as error:
            self._broken(error)

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
                    os.unlink(f"{folder}/{name}")
        _opened[folder] += 1
        return file

    def __call__(self, event: Event) -> None:
        """Write one line."""
        if self._file is None:
            return
        try:
            line = event_line(event, self._start)
            if faults.ON:
                faults.at("journal.write", line.encode(), self._file)
            os.write(self._file, line.encode())
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
            os.close(file)

    def _broken(self, error: Exception) -> None:
        self.close()
        self._warn(f"The journal of this run is not kept: {self.path} cannot be written: {said(error)}")
