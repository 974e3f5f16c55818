"""Keeps track of the processes that use a folder of results, and cleans up after dead ones."""

from __future__ import annotations

import os
import time
from collections.abc import Iterator
from contextlib import contextmanager, suppress
from pathlib import Path

try:
    import fcntl
except ImportError:  # Windows: every registered process then counts as alive
    fcntl = None  # type: ignore[assignment]

_OPENING_SECONDS = 10.0
_BUSY_SHARE = 0.02
"""A process that uses less than this share of a CPU only waits, and perhaps polls for something."""
_BUSY_BYTES = 100_000
"""A process that reads less than this many bytes a second only waits, unless it uses the CPU."""


class Processes:
    """The processes that use a folder. Each one registers with a locked file in a sub-folder of its own.

    The operating system releases the lock when a process ends, also after a crash, so other processes can
    recognise the sub-folder of a dead process. The sub-folders also contain half-written files.

    Args:
        folder: the folder that the processes share.
    """

    def __init__(self, folder: Path) -> None:
        self._folder = folder
        self._all = folder / "tmp"
        self.name = f"{os.getpid()}-{os.urandom(4).hex()}"
        """The name of this process among those that use the folder."""
        self.temporary = self._all / self.name
        """The sub-folder of this process, for files that it is writing."""
        self._lock_file: int | None = None

    @contextmanager
    def opening_lock(self) -> Iterator[None]:
        """Hold the lock that lets only one process at a time open, repair or clean up the folder.

        Raises:
            TimeoutError: another process has held the lock for ten seconds.
        """
        handle = os.open(self._folder / "lock", os.O_CREAT | os.O_RDWR, 0o644)
        try:
            deadline = time.monotonic() + _OPENING_SECONDS
            while not _lock(handle):
                if time.monotonic() > deadline:
                    raise TimeoutError(
                        f"another process{self._named_others()} has been opening it for ten seconds"
                    )
                time.sleep(0.005)
            yield
        finally:
            os.close(handle)

    def register(self) -> None:
        """Register this process as a user of the folder; call it inside `opening_lock`."""
        if self._lock_file is None:
            self.temporary.mkdir(parents=True)
            self._lock_file = os.open(self.temporary / "alive", os.O_CREAT | os.O_RDWR, 0o644)
            _lock(self._lock_file)

    def unregister(self) -> None:
        """Remove the registration of this process."""
        if self._lock_file is not None:
            _remove(self.temporary)
            os.close(self._lock_file)
            self._lock_file = None

    def other_processes(self) -> tuple[int, int]:
        """Count the other processes that use the folder, and the dead ones that did not unregister."""
        alive = [_is_alive(place) for place in self._all.iterdir() if place != self.temporary]
        return sum(alive), len(alive) - sum(alive)

    def remove_stale(self) -> None:
        """Remove the sub-folders of dead processes, with their half-written files."""
        for place in list(self._all.iterdir()):
            if place != self.temporary and not _is_alive(place):
                _remove(place)

    def living_pids(self) -> list[int]:
        """Return the process ids of the other processes that use the folder."""
        try:
            names = [
                place.name for place in self._all.iterdir() if place != self.temporary and _is_alive(place)
            ]
        except OSError:
            return []
        pids = {int(pid) for name in names if (pid := name.partition("-")[0]).isdigit()}
        return sorted(pids - {os.getpid()})

    def _named_others(self) -> str:
        pids = self.living_pids()
        return f" ({', '.join(map(str, pids))})" if pids else ""


class Activity:
    """Tells whether other processes work, by their CPU time and by the bytes that they read (Linux only)."""

    def __init__(self) -> None:
        self._seen: dict[int, tuple[float, float, int]] = {}  # by process id: time, CPU seconds, bytes read

    def since_last(self, pid: int) -> bool:
        """Return True if a process has worked since the last call for it, and for the first call."""
        before, now = self._seen.get(pid), (time.monotonic(), *_used(pid))
        self._seen[pid] = now
        if before is None:
            return True
        elapsed, cpu, read = (new - old for new, old in zip(now, before, strict=True))
        return cpu >= _BUSY_SHARE * elapsed or read >= _BUSY_BYTES * elapsed


def _used(pid: int) -> tuple[float, int]:
    """Return the CPU seconds that a process has used, and the bytes that it has read; 0 if unknown."""
    cpu, read = 0.0, 0
    with suppress(OSError, ValueError, IndexError):
        fields = Path(f"/proc/{pid}/stat").read_text("ascii", "replace").rpartition(")")[2].split()
        cpu = (int(fields[11]) + int(fields[12])) / os.sysconf("SC_CLK_TCK")
    with suppress(OSError, ValueError):
        lines = Path(f"/proc/{pid}/io").read_text("ascii").splitlines()
        counts = dict(line.split(": ", 1) for line in lines)
        read = int(counts["rchar"]) + int(counts["read_bytes"])  # the latter has those of mapped files
    return cpu, read


def lock_holder(path: Path, first: int) -> int | None:
    """Return the id of the process that has locked a file from byte `first` on; None if unknown."""
    try:
        stat = os.stat(path)
        lines = Path("/proc/locks").read_text("ascii").splitlines()  # Linux only
    except (OSError, ValueError):
        return None
    file = f"{os.major(stat.st_dev):02x}:{os.minor(stat.st_dev):02x}:{stat.st_ino}"
    for line in lines:
        fields = line.replace("->", "").split()
        if len(fields) >= 8 and fields[3] == "WRITE" and fields[5] == file and fields[6] == str(first):
            pid = int(fields[4])
            return pid if pid > 0 and pid != os.getpid() else None
    return None


def _is_alive(place: Path) -> bool:
    """Return True if the process that created a sub-folder still holds its lock."""
    try:
        handle = os.open(place / "alive", os.O_RDWR)
    except (FileNotFoundError, NotADirectoryError):
        return False
    try:
        return not fcntl or not _lock(handle)
    finally:
        os.close(handle)


def _remove(place: Path) -> None:
    """Delete a sub-folder; files that cannot be deleted are left for the next cleanup."""
    with suppress(OSError):
        for file in place.iterdir():
            file.unlink(missing_ok=True)
        place.rmdir()


def _lock(handle: int) -> bool:
    """Lock an open file until it is closed; return False if another process has locked it."""
    if fcntl:
        try:
            fcntl.flock(handle, fcntl.LOCK_EX | fcntl.LOCK_NB)
        except BlockingIOError:
            return False
    return True
